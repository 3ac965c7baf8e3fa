"""Sysctls."""

from collections.abc import Mapping

import pytest

from ncgd.drivers.kernel.tables import Kernel
from ncgd.model.delta import Delta
from ncgd.model.event import Event
from tests.integration.kernel.host import drive, host
from tests.integration.netns import Namespace

pytestmark = pytest.mark.root


def write(space: Namespace, rows: dict[str, str], remove: frozenset[str] = frozenset()) -> Mapping[str, str]:
    async def scenario(kernel: Kernel, _: list[Event]) -> Mapping[str, str]:
        return (await kernel.sysctls.write(Delta(rows, remove))).failed

    return drive(space, scenario)


def value(space: Namespace, path: str) -> str:
    return space.run("cat", f"/proc/sys/net/ipv4/{path}").strip()


def test_values_are_written_also_for_interfaces_with_dots() -> None:
    with host("kn-sysctl") as space:
        space.ip("link add kn.5 type veth peer name kn.6")
        rows = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.kn.5.rp_filter": "2"}
        assert not write(space, rows)
        assert (value(space, "ip_forward"), value(space, "conf/kn.5/rp_filter")) == ("1", "2")
        assert not write(space, rows)


def test_values_with_several_words_compare_by_word() -> None:
    with host("kn-sysctl") as space:
        path = "net.ipv4.ip_local_port_range"
        assert not write(space, {path: "20000 30000"})
        assert not write(space, {path: "20000\t30000"})
        assert value(space, "ip_local_port_range").split() == ["20000", "30000"]


def test_a_removed_key_keeps_its_value() -> None:
    with host("kn-sysctl") as space:
        write(space, {"net.ipv4.ip_forward": "1"})
        assert not write(space, {}, remove=frozenset(("net.ipv4.ip_forward",)))
        assert value(space, "ip_forward") == "1"


@pytest.mark.parametrize(
    "path",
    [
        "net.ipv4.conf.gone0.rp_filter",
        "net.ipv4.no_such_setting",
        "net.ipv4.conf.../../ip_forward.x",
        "net..x",
    ],
)
def test_a_path_that_does_not_exist_is_reported(path: str) -> None:
    with host("kn-sysctl") as space:
        failed = write(space, {path: "1", "net.ipv4.ip_forward": "1"})
        assert failed == {path: f"sysctl {path} does not exist here: its interface or kernel module is missing"}
        assert value(space, "ip_forward") == "1"


def test_a_value_that_the_kernel_refuses_is_reported() -> None:
    with host("kn-sysctl") as space:
        failed = write(space, {"net.ipv4.ip_forward": "perhaps"})
        assert "cannot set sysctl net.ipv4.ip_forward to perhaps: Invalid argument" in failed["net.ipv4.ip_forward"]
