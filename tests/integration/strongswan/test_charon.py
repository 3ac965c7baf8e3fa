"""charon absent, hanging, killed: what the driver says, and what it leaves alone."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from ncgd.drivers.strongswan.charon import find_installation, launch, socket_path
from ncgd.drivers.strongswan.driver import Strongswan
from ncgd.errors import Unavailable
from ncgd.model.delta import Delta
from ncgd.model.event import CharonLost, CharonUp
from ncgd.model.ike import Charon, DataplaneMode
from ncgd.model.secret import Vault
from tests.integration.netns import until
from tests.integration.strongswan.site import Site, Watch, bring_up, running

pytestmark = pytest.mark.root


def test_the_socket_may_come_late(gateway: Site, tmp_path: Path) -> None:
    async def scenario() -> None:
        watch = Watch()
        link = tmp_path / "late.vici"
        driver = Strongswan("charon-t0", link, Vault(b""), watch.post)
        async with running(driver):
            await watch.until(lambda: watch.of(CharonLost), "CharonLost")
            assert "is charon running?" in watch.of(CharonLost)[0].reason
            with pytest.raises(Unavailable):
                await driver.connections.write(Delta(set={"t0": gateway.connection(0)}))
            charon = gateway.charons[gateway.charon_name(0)]
            charon.session()  # it listens by now
            link.symlink_to(socket_path(charon.directory))
            await watch.until(lambda: watch.of(CharonUp), "CharonUp")
            assert len(watch.of(CharonLost)) == 1, "the same trouble is told once"

    asyncio.run(scenario())


def test_a_charon_that_hangs_is_lost_and_found_again_with_its_sas(gateway: Site) -> None:
    async def scenario() -> None:
        watch = Watch()
        driver = gateway.driver(watch, 0, poll_seconds=0.1, answer_seconds=1.0)
        pid = gateway.charons[gateway.charon_name(0)].process.pid
        async with running(driver):
            before = await bring_up(gateway, watch, driver, 0)
            watch.events.clear()
            os.kill(pid, signal.SIGSTOP)
            try:
                await watch.until(lambda: watch.of(CharonLost), "CharonLost")
            finally:
                os.kill(pid, signal.SIGCONT)
            assert "no answer within 1 s" in watch.of(CharonLost)[0].reason
            await watch.until(lambda: watch.of(CharonUp), "CharonUp again")
            assert (await watch.installed("t0")).ike_id == before.ike_id

    asyncio.run(scenario())


def test_a_killed_charon_comes_back_empty_and_its_tunnel_is_made_again(gateway: Site) -> None:
    async def scenario() -> None:
        watch = Watch()
        name = gateway.charon_name(0)
        driver = gateway.driver(watch, 0)
        async with running(driver):
            await bring_up(gateway, watch, driver, 0)
            until(lambda: len(gateway.peers[0].ike_ids()) == 1, what="one IKE SA at the peer")
            (orphan,) = gateway.peers[0].ike_ids()
            process = gateway.charons[name].process
            watch.events.clear()
            process.kill()
            await asyncio.to_thread(process.wait)
            await watch.until(lambda: watch.of(CharonLost), "CharonLost")
            # Its pid file is still there, and its process id may have become another program's.
            (gateway.charons[name].directory / "charon.pid").write_text(f"{os.getpid()}\n")
            gateway.start_charon(name)
            await watch.until(lambda: watch.of(CharonUp), "CharonUp again")
            assert watch.of(CharonUp)[0].tunnels == frozenset()
            await watch.until(lambda: watch.sa("t0") is None, "an empty table")
            await bring_up(gateway, watch, driver, 0)
            gateway.address(0)
            assert await asyncio.to_thread(gateway.ping, 0)
            # INITIAL_CONTACT made the peer drop what the killed charon had left there.
            until(lambda: len(gateway.peers[0].ike_ids()) == 1, what="the orphan is gone")
            assert orphan not in gateway.peers[0].ike_ids()

    asyncio.run(scenario())


def test_two_charons_whose_files_lie_below_run_share_no_pid_file(gateway: Site) -> None:
    """The run directory stays visible although each charon has a /run of its own."""
    name = gateway.charon_name(0)
    own_run = f"/proc/{gateway.charons[name].process.pid}/root/run"
    until(lambda: Path(own_run, "charon.pid").exists(), what="a pid file")
    assert not Path("/run/charon.pid").exists()
    directory = Path("/run/sw-test")
    try:
        made = Site(gateway.space, gateway.mode, directory, gateway.cleanup)
        charon = Charon(name="below-run", mode=gateway.mode, ike_port=10601, nat_port=14601)
        plan = launch(charon, made.installation, directory)
        directory.mkdir(mode=0o700)
        for file in plan.files:
            file.path.write_text(file.text)
        process = gateway.space.start(*plan.argv, env=dict(plan.environment))
        until(socket_path(directory).exists, what="the socket of a charon below /run")
        process.terminate()
        process.wait()
    finally:
        for path in sorted(directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        directory.rmdir()


def test_a_missing_or_old_charon_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"not installed.*install strongswan"):
        asyncio.run(find_installation((tmp_path / "charon",)))
    old = tmp_path / "charon"
    old.write_text("#!/bin/sh\necho Linux strongSwan 5.8.4\n")
    old.chmod(0o755)
    with pytest.raises(Unavailable, match=r"strongSwan 5\.8\.4; ncgd needs 5\.9\.6"):
        asyncio.run(find_installation((old,)))
    old.write_text("#!/bin/sh\necho Linux strongSwan U5.9.13/K6.8\n")
    (tmp_path / "plugins").mkdir()
    for name in ("nonce", "kdf", "kernel-netlink", "socket-default", "vici"):
        (tmp_path / "plugins" / f"libstrongswan-{name}.so").touch()
    poor = asyncio.run(find_installation((old,)))
    assert poor.version == (5, 9, 13)
    launch(Charon(name="c", mode=DataplaneMode.KERNEL), poor, tmp_path)
    with pytest.raises(Unavailable, match=r"kernel-libipsec.*install libcharon-extra-plugins"):
        launch(Charon(name="c", mode=DataplaneMode.USERSPACE), poor, tmp_path)
