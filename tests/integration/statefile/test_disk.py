"""The file of remembered prefixes on disks that are full, read-only, or somebody else's."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ncgd.drivers.statefile.table import GuardedPrefixes
from ncgd.errors import Rejected
from ncgd.model import prefix as px
from ncgd.model.delta import Delta
from ncgd.model.event import PrefixesRemembered
from ncgd.model.prefix import Prefix

pytestmark = pytest.mark.root

VPC = px.parse("10.128.0.0/20")
MANY = tuple(px.make(4, (10 << 24) + (number << 8), 24) for number in range(20_000))


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """A file system of 64 KiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "ncgd-test", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def write(directory: Path, *prefixes: Prefix) -> None:
    async def both() -> None:
        table = GuardedPrefixes(directory)
        await table.read()
        await table.write(Delta(set=dict.fromkeys(prefixes)))

    asyncio.run(both())


def read(directory: Path) -> PrefixesRemembered:
    return asyncio.run(GuardedPrefixes(directory).read())


def test_a_full_disk_is_told_and_the_old_file_stays(tmp_path: Path) -> None:
    with disk(tmp_path):
        write(tmp_path, VPC)
        with pytest.raises(Rejected, match="No space left on device"):
            write(tmp_path, *MANY)
        assert read(tmp_path) == PrefixesRemembered(prefixes=frozenset((VPC,)))
        write(tmp_path, MANY[0])
        assert read(tmp_path).prefixes == {VPC, MANY[0]}


def test_a_read_only_file_system_is_told_and_the_old_file_is_read(tmp_path: Path) -> None:
    with disk(tmp_path):
        write(tmp_path, VPC)
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        with pytest.raises(Rejected, match="Read-only file system"):
            write(tmp_path, MANY[0])
        assert read(tmp_path) == PrefixesRemembered(prefixes=frozenset((VPC,)))


def test_a_damaged_file_on_a_read_only_file_system_is_no_loop(tmp_path: Path) -> None:
    with disk(tmp_path):
        (tmp_path / "guarded-prefixes").write_text("rubbish")
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        flaw = read(tmp_path).flaw
        assert flaw is not None
        assert flaw.reason == "StateDamaged"
        assert "move it away" in flaw.hint
        with pytest.raises(Rejected, match=r"cannot be kept as guarded-prefixes\.damaged"):
            write(tmp_path, VPC)


def test_a_file_that_may_not_be_read_is_told_and_left_alone(tmp_path: Path) -> None:
    write(tmp_path, VPC)
    os.seteuid(65_534)
    try:
        flaw = read(tmp_path).flaw
        with pytest.raises(Rejected, match="Permission denied"):
            write(tmp_path, MANY[0])
    finally:
        os.seteuid(0)
    assert flaw is not None
    assert (flaw.reason, "Permission denied" in flaw.message) == ("StateUnreadable", True)
    assert read(tmp_path) == PrefixesRemembered(prefixes=frozenset((VPC,)))
