"""A charon that is killed leaves its SAs in the kernel: packets pass on, also behind a NAT, and ncgd is told so."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ncgd.drivers.kernel.esp import EspWatch
from ncgd.drivers.nftables.esp_port import EspPortTable
from ncgd.drivers.nftables.transport import Nft
from ncgd.model.delta import Delta
from ncgd.model.event import EspRead
from ncgd.model.ike import DataplaneMode, EspPort
from tests.integration.strongswan.site import Site, Watch, bring_up, running, site

pytestmark = [pytest.mark.root, pytest.mark.kernel_esp]


@pytest.fixture
def kernel_site(tmp_path: Path) -> Iterator[Site]:
    with site(DataplaneMode.KERNEL, tmp_path) as made:
        yield made


def encrypted_for(made: Site) -> frozenset[int]:
    """What EspWatch posts first, in the gateway's namespace."""

    async def first() -> frozenset[int]:
        watch = Watch()
        task = asyncio.create_task(EspWatch(watch.post).run())
        (read, *_) = await watch.until(lambda: watch.of(EspRead), "EspRead")
        task.cancel()
        return read.if_ids

    return made.space.call(lambda: asyncio.run(first()))


@pytest.mark.parametrize("force_encap", [False, True], ids=["ESP", "ESP in UDP"])
def test_packets_pass_on_without_charon_until_it_ends_in_good_order(kernel_site: Site, force_encap: bool) -> None:
    made = kernel_site
    made.peers[0].load(made.psks[0], is_kernel=True, encap="yes" if force_encap else "no")
    table = EspPortTable(Nft())
    made.space.call(lambda: asyncio.run(table.write(Delta(set={4500: EspPort(port=4500)}))))

    async def up() -> None:
        watch = Watch()
        driver = made.driver(watch, 0)
        async with running(driver):
            await bring_up(made, watch, driver, 0, force_encap=force_encap)

    asyncio.run(up())
    made.address(0)
    assert made.ping(0)
    assert encrypted_for(made) == {1}
    charon = made.charons.pop("charon").process
    charon.kill()
    charon.wait()
    assert " 0% packet loss" in made.space.run("ping", "-c", "100", "-i", "0.01", "-W", "2", "169.254.0.2")
    assert encrypted_for(made) == {1}
    made.start_charon("charon")
    asyncio.run(up())
    assert made.ping(0)
    assert encrypted_for(made) == {1}
    charon = made.charons["charon"].process
    charon.terminate()
    charon.wait()
    assert encrypted_for(made) == frozenset()
    made.space.call(lambda: asyncio.run(table.write(Delta(remove=frozenset({4500})))))
    assert "ncgd_esp" not in made.space.run("nft", "list", "tables")
