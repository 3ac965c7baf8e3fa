from pathlib import Path

import pytest

from ncgd.drivers.strongswan.charon import Installation, launch, tun_interface
from ncgd.errors import Unavailable
from ncgd.model.ike import Charon, DataplaneMode

BINARY = Path("/usr/lib/ipsec/charon")
FULL = Installation(binary=BINARY, version=(5, 9, 8), plugins=None)
USER = Charon(name="charon-t1", mode=DataplaneMode.USERSPACE, ike_port=10501, nat_port=14501)
KERNEL = Charon(name="charon", mode=DataplaneMode.KERNEL)


def options(charon: Charon) -> dict[str, str]:
    (file,) = launch(charon, FULL, Path("/var/lib/x")).files
    assert file.mode == 0o600
    pairs = (line.split("=", 1) for line in file.text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def test_each_userspace_charon_has_ports_and_a_routing_table_of_its_own() -> None:
    user = options(USER)
    assert (user["port"], user["port_nat_t"], user["routing_table"]) == ("10501", "14501", "157014501")
    assert user["fwmark"] == "0x7fff0001"
    assert user["allow_peer_ts"] == "yes"
    names = user["load"].split()
    assert names.index("kernel-libipsec") < names.index("kernel-netlink")


def test_the_kernel_charon_makes_no_rule_and_no_route() -> None:
    kernel = options(KERNEL)
    assert kernel["routing_table"] == "0"
    assert kernel["install_routes"] == "no"
    assert "kernel-libipsec" not in kernel["load"].split()
    assert "fwmark" not in kernel


def test_nothing_that_meddles_is_loaded() -> None:
    for charon in (USER, KERNEL):
        loaded = set(options(charon)["load"].split())
        assert not loaded & {"farp", "bypass-lan", "connmark", "updown", "forecast", "stroke"}
        assert {"kdf", "vici", "socket-default", "nonce"} <= loaded


def test_missing_plugins_are_named_with_their_package() -> None:
    bare = Installation(binary=BINARY, version=(5, 9, 8), plugins=frozenset({"nonce", "kdf", "kernel-netlink"}))
    with pytest.raises(Unavailable, match=r"socket-default, vici .*install strongswan-libcharon, strongswan-swanctl"):
        launch(KERNEL, bare, Path("/var/lib/x"))


def test_the_process_stays_the_one_that_was_spawned() -> None:
    plan = launch(USER, FULL, Path("/run/ncgd/it's"))
    assert plan.argv[0] == "unshare"
    assert plan.argv[-1].splitlines()[-1] == f"exec {BINARY}"
    assert launch(USER, FULL, Path("/x"), private_run=False).argv == (str(BINARY),)


def test_the_tun_device_is_found_by_its_descriptor(tmp_path: Path) -> None:
    folder = tmp_path / "42" / "fdinfo"
    folder.mkdir(parents=True)
    (folder / "3").write_text("pos:\t0\nflags:\t02\n")
    assert tun_interface(42, tmp_path) is None
    (folder / "9").write_text("pos:\t0\nflags:\t02\niff:\tipsec1\n")
    assert tun_interface(42, tmp_path) == "ipsec1"
    assert tun_interface(43, tmp_path) is None


def test_the_tun_device_is_found_while_charon_closes_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "42" / "fdinfo"
    folder.mkdir(parents=True)
    for number in range(3, 9):
        (folder / str(number)).symlink_to("closed-meanwhile")
    (folder / "9").write_text("pos:\t0\niff:\tipsec1\n")
    for number in range(10, 16):
        (folder / str(number)).write_text("pos:\t0\niff:\t\n")  # opened, and no device made yet
    assert tun_interface(42, tmp_path) == "ipsec1"
