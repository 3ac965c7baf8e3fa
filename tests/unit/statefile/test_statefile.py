"""The file of remembered prefixes: whole or not at all, and never overwritten when it cannot be understood."""

import asyncio
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncgd.drivers.statefile import text
from ncgd.drivers.statefile.table import GuardedPrefixes
from ncgd.errors import Rejected
from ncgd.model import prefix as px
from ncgd.model.delta import Delta
from ncgd.model.event import PrefixesRemembered
from ncgd.model.prefix import Prefix

VPC, OTHER, V6 = px.parse("10.128.0.0/20"), px.parse("10.200.0.0/16"), px.parse("2001:db8::/48")
NOTHING: frozenset[Prefix] = frozenset()

anything = st.integers(0, 32).flatmap(
    lambda length: st.integers(0, 2**32 - 1).map(lambda a: px.make(4, a >> (32 - length) << (32 - length), length))
) | st.integers(0, 128).flatmap(
    lambda length: st.integers(0, 2**128 - 1).map(lambda a: px.make(6, a >> (128 - length) << (128 - length), length))
)


@given(st.frozensets(anything))
def test_what_was_written_is_read(prefixes: frozenset[Prefix]) -> None:
    assert text.parse(text.render(prefixes)) == prefixes


@given(st.frozensets(anything, min_size=1), st.data())
def test_a_file_that_was_cut_or_changed_is_never_believed(prefixes: frozenset[Prefix], data: st.DataObject) -> None:
    whole = text.render(prefixes)
    cut = data.draw(st.integers(0, len(whole) - 2))  # the last newline alone says nothing
    with pytest.raises((text.Damaged, text.Newer)):
        text.parse(whole[:cut])
    at = data.draw(st.integers(0, len(whole) - 2))
    changed = bytes((*whole[:at], whole[at] ^ (1 << data.draw(st.integers(0, 7))), *whole[at + 1 :]))
    with pytest.raises((text.Damaged, text.Newer)):
        text.parse(changed)


@given(st.binary())
def test_rubbish_is_damaged(rubbish: bytes) -> None:
    with pytest.raises(text.Damaged):
        text.parse(rubbish)


def read(directory: Path) -> PrefixesRemembered:
    return asyncio.run(GuardedPrefixes(directory).read())


def write(directory: Path, *prefixes: Prefix) -> None:
    async def both() -> None:
        table = GuardedPrefixes(directory)
        await table.read()
        await table.write(Delta(set=dict.fromkeys(prefixes)))

    asyncio.run(both())


def test_the_next_ncgd_finds_what_was_added_and_not_what_was_removed(tmp_path: Path) -> None:
    directory = tmp_path / "var" / "ncgd"
    assert read(directory) == PrefixesRemembered(prefixes=NOTHING)

    async def live() -> None:
        table = GuardedPrefixes(directory)
        await table.read()
        await table.write(Delta(set=dict.fromkeys((VPC, OTHER, V6))))
        await table.write(Delta(remove=frozenset((OTHER,))))

    asyncio.run(live())
    assert read(directory) == PrefixesRemembered(prefixes=frozenset((VPC, V6)))
    write(directory, OTHER)
    assert read(directory).prefixes == {VPC, V6, OTHER}
    assert [path.name for path in directory.iterdir()] == ["guarded-prefixes"]
    assert stat.S_IMODE((directory / "guarded-prefixes").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


NEWER = text.render((VPC,)).replace(b" 1\n", b" 2\n", 1)


@pytest.mark.parametrize(
    ("content", "reason", "word"),
    [
        (b"", "StateDamaged", "damaged"),
        (text.render((VPC, OTHER))[:-10], "StateDamaged", "damaged"),
        (b"\x00" * 4096, "StateDamaged", "damaged"),
        (NEWER, "StateNewer", "newer"),
    ],
    ids=["empty", "truncated", "zeros", "newer"],
)
def test_a_file_that_cannot_be_understood_is_kept_aside_and_told(
    tmp_path: Path, content: bytes, reason: str, word: str
) -> None:
    path = tmp_path / "guarded-prefixes"
    for name in (f"guarded-prefixes.{word}", f"guarded-prefixes.{word}-2"):
        path.write_bytes(content)
        remembered = read(tmp_path)
        assert remembered.prefixes == NOTHING
        assert remembered.flaw is not None
        assert remembered.flaw.reason == reason
        assert str(path) in remembered.flaw.message
        assert str(tmp_path / name) in remembered.flaw.hint
        assert (tmp_path / name).read_bytes() == content
    write(tmp_path, VPC)
    assert read(tmp_path) == PrefixesRemembered(prefixes=frozenset((VPC,)))


def test_a_directory_in_its_place_is_kept_aside_too(tmp_path: Path) -> None:
    (tmp_path / "guarded-prefixes").mkdir()
    remembered = read(tmp_path)
    assert remembered.flaw is not None
    assert remembered.flaw.reason == "StateUnreadable"
    assert "Is a directory" in remembered.flaw.message
    write(tmp_path, VPC)
    assert (tmp_path / "guarded-prefixes.unreadable").is_dir()


def test_a_state_directory_that_is_none_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    directory.write_text("a file")
    remembered = read(directory)
    assert remembered.flaw is not None
    assert remembered.flaw.reason == "StateUnreadable"
    assert "Not a directory" in remembered.flaw.message
    assert "--state-dir" in remembered.flaw.hint
    with pytest.raises(Rejected, match="move it away"):
        write(directory, VPC)
    assert directory.read_text() == "a file"


def test_a_left_over_half_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "guarded-prefixes.new").write_text("half")
    write(tmp_path, VPC)
    assert read(tmp_path).prefixes == {VPC}


@contextmanager
def no_room(size: int) -> Iterator[None]:
    """Files may not grow beyond ``size`` bytes: the error that a full disk gives, but for its number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_where_there_is_no_room_the_old_file_stays_whole(tmp_path: Path) -> None:
    write(tmp_path, VPC)
    before = (tmp_path / "guarded-prefixes").read_bytes()
    with no_room(50), pytest.raises(Rejected, match=f"cannot write {tmp_path}.*: File too large"):
        write(tmp_path, OTHER)
    assert (tmp_path / "guarded-prefixes").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["guarded-prefixes"]
    write(tmp_path, OTHER)
    assert read(tmp_path).prefixes == {VPC, OTHER}
