"""The lab's cloud, and in place of its gateway a virtual machine that boots the appliance's disk."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ncgd.lab import cloud, gateway, interface, machine, processes, topology
from tests.appliance.guest import Guest, install_tools
from tests.appliance.site import APPLIANCE

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "appliance"
DISK_BYTES = 6 << 30
"""Of the disk that was enlarged before the first boot; it is built with 3.3 GB."""


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder with the disks, which are built when they are not of this checkout."""
    subprocess.run([ROOT / "containers/appliance/build"], check=True)
    install_tools()
    return BUILT


@pytest.fixture(scope="module")
def site() -> Iterator[None]:
    """Everything but the gateway."""
    _away()
    try:
        topology.build(APPLIANCE)
        gateway.copy_resources("auto", 0, gateway.EXAMPLES / "standalone-vm")
        interfaces = interface.interfaces(gateway.RESOURCES)
        cloud.start(interfaces, kernel=machine.kernel_has_esp(), prefixes=0)
        yield
    finally:
        _away()


def _away() -> None:
    processes.end_all()
    topology.remove()


@pytest.fixture(scope="module")
def guest(
    request: pytest.FixtureRequest, site: None, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    """The appliance, switched on for the module's tests."""
    is_uefi, folder = getattr(request.module, "IS_UEFI", False), tmp_path_factory.mktemp("guest")
    disk = built / "ncgd.raw" if is_uefi else enlarged(built / "ncgd.qcow2", folder)
    it = Guest(disk, folder, is_uefi=is_uefi)
    it.seed(gateway.RESOURCES, has_key=getattr(request.module, "HAS_KEY", True))
    it.switch_on()
    try:
        yield it
    finally:
        it.switch_off()


def enlarged(disk: Path, folder: Path) -> Path:
    """The same disk with more room behind it, as for a person who has made a larger one of it."""
    larger = folder / "enlarged.qcow2"
    backing = ["-b", str(disk), "-F", "qcow2"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(larger), str(DISK_BYTES)], check=True)
    return larger
