"""The folder source against a real folder: live changes, and every way a folder can be broken."""

# ruff: noqa: ASYNC240  # the tests are the ones who write
import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ncgd.model.event import IntentRead
from ncgd.model.secret import Vault
from ncgd.model.spec import Intent
from ncgd.sources import files
from ncgd.sources.files import FilesSource
from tests.unit.resources.manifests import KEY, a_file, changed, good_files, peer, secret, tunnel

DEADLINE_SECONDS = 20


class Watched:
    """A running source, and everything that it has posted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vault = Vault(b"salt")
        self.posted: list[Intent] = []
        self._news = asyncio.Event()

    def post(self, event: IntentRead) -> None:
        self.posted.append(event.intent)
        self._news.set()

    async def until(self, condition: Callable[[Intent], bool]) -> Intent:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (self.posted and condition(self.posted[-1])):
                self._news.clear()
                await self._news.wait()
        return self.posted[-1]

    async def until_found(self, reason: str) -> Intent:
        return await self.until(lambda intent: reason in {finding.reason for finding in intent.findings})

    async def until_good(self) -> Intent:
        return await self.until(lambda intent: len(intent.peers) == 2 and not intent.findings)


def watch(folder: Path, scenario: Callable[[Watched], Awaitable[None]]) -> None:
    async def run() -> None:
        watched = Watched(folder)
        source = asyncio.create_task(FilesSource(folder, watched.vault, watched.post).run())
        try:
            await scenario(watched)
            assert not source.done()
        finally:
            source.cancel()
            await asyncio.wait([source])
        assert source.cancelled()

    asyncio.run(run())


def fill(folder: Path, files: dict[str, bytes] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in (good_files() if files is None else files).items():
        (folder / name).write_bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path / "resources")
    return tmp_path / "resources"


def test_reads_at_the_start_and_posts_once(folder: Path) -> None:
    async def scenario(it: Watched) -> None:
        intent = await it.until_good()
        assert it.vault.get(intent.tunnels["tunnel-1"].psk) == KEY
        (folder / "tunnels.yaml").touch()
        (folder / "more.yaml").write_bytes(a_file(changed(peer(1, "more"), "spec.peerASN", 1)))
        await it.until_found("DuplicateSession")
        assert len(it.posted) == 2

    watch(folder, scenario)


def test_every_way_of_writing_a_file_is_seen(folder: Path, tmp_path: Path) -> None:
    def mtu(value: int) -> Callable[[Intent], bool]:
        return lambda intent: intent.tunnels["tunnel-1"].mtu == value

    def text(value: int) -> bytes:
        return a_file(changed(tunnel(1), "spec.mtu", value), tunnel(2))

    async def scenario(it: Watched) -> None:
        await it.until_good()
        target = folder / "tunnels.yaml"
        target.write_bytes(text(1301))  # in place
        await it.until(mtu(1301))
        (folder / ".tunnels.yaml.swp").write_bytes(text(1302))  # as an editor does: beside, then renamed
        (folder / ".tunnels.yaml.swp").rename(target)
        await it.until(mtu(1302))
        (tmp_path / "elsewhere").write_bytes(text(1303))
        (tmp_path / "elsewhere").rename(target)
        await it.until(mtu(1303))
        target.unlink()
        await it.until(lambda intent: not intent.tunnels)
        (folder / "tunnels.yml").write_bytes(text(1304))
        await it.until(lambda intent: bool(intent.tunnels) and mtu(1304)(intent))

    watch(folder, scenario)


def test_a_file_that_is_rewritten_while_the_folder_is_read_without_a_change_seen_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truncated, it has no tunnels; a moment later it has them again."""
    monkeypatch.setattr(files, "RESCAN_SECONDS", 0.001)
    monkeypatch.setattr(files, "QUIET_SECONDS", 0.3)  # a test that gets no CPU for a while is no slow editor
    text = (folder / "tunnels.yaml").read_bytes()

    async def scenario(it: Watched) -> None:
        await it.until_good()
        for number in range(8):
            await asyncio.sleep(2 * files.QUIET_SECONDS + number / 1000)  # when the folder is read without an event
            with (folder / "tunnels.yaml").open("wb") as file:
                await asyncio.sleep(0.06)
                file.write(text)
        assert all(intent.tunnels for intent in it.posted)

    watch(folder, scenario)


def test_a_file_that_is_rewritten_just_as_ncgd_starts_again_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier ncgd's tunnels are up: without their manifests they would have been ended."""
    monkeypatch.setattr(files, "QUIET_SECONDS", 0.5)
    text = (folder / "tunnels.yaml").read_bytes()
    (folder / "tunnels.yaml").write_bytes(b"")

    async def scenario(it: Watched) -> None:
        await asyncio.sleep(0.05)
        (folder / "tunnels.yaml").write_bytes(text)
        await it.until_good()
        assert all(intent.tunnels for intent in it.posted)

    watch(folder, scenario)


def test_a_config_map_is_followed(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    fill(tmp_path, {})
    mount.mkdir()

    def publish(version: str, files: dict[str, bytes]) -> None:
        fill(mount / version, files)
        (mount / "..data_tmp").symlink_to(version)
        (mount / "..data_tmp").rename(mount / "..data")

    publish("..v1", good_files())
    for name in good_files():
        (mount / name).symlink_to(f"..data/{name}")

    async def scenario(it: Watched) -> None:
        await it.until_good()
        publish("..v2", good_files() | {"tunnels.yaml": a_file(changed(tunnel(1), "spec.mtu", 1300), tunnel(2))})
        shutil.rmtree(mount / "..v1")
        intent = await it.until(lambda intent: intent.tunnels["tunnel-1"].mtu == 1300)
        assert intent.findings == ()

    watch(mount, scenario)


def test_a_broken_file_keeps_what_it_held_and_is_mended(folder: Path) -> None:
    async def scenario(it: Watched) -> None:
        good = await it.until_good()
        (folder / "tunnels.yaml").write_bytes(b"a: [")
        broken = await it.until_found("YamlSyntax")
        assert (broken.tunnels, broken.peers) == (good.tunnels, good.peers)
        (folder / "tunnels.yaml").write_bytes(b"#" * (10 * 1024 * 1024))
        assert (await it.until_found("FileTooLarge")).tunnels == good.tunnels
        (folder / "tunnels.yaml").unlink()
        (folder / "tunnels.yaml").mkdir()
        assert (await it.until_found("FileUnreadable")).tunnels == good.tunnels
        (folder / "tunnels.yaml").rmdir()
        os.mkfifo(folder / "tunnels.yaml")
        await it.until(lambda intent: "it is not a regular file" in intent.findings[0].message)
        (folder / "tunnels.yaml").unlink()
        (folder / "tunnels.yaml").symlink_to("nowhere")
        await it.until(lambda intent: "No such file" in intent.findings[0].message)
        (folder / "tunnels.yaml").unlink()
        fill(folder)
        assert await it.until_good() == good

    watch(folder, scenario)


def test_a_missing_folder_is_found_when_it_comes(tmp_path: Path) -> None:
    async def scenario(it: Watched) -> None:
        intent = await it.until_found("FolderMissing")
        assert not intent.is_complete
        assert intent.findings[0].where == str(tmp_path / "later")
        fill(tmp_path / "later")
        assert (await it.until_good()).is_complete

    watch(tmp_path / "later", scenario)


def test_a_folder_that_goes_away_leaves_everything_in_force(folder: Path, tmp_path: Path) -> None:
    async def scenario(it: Watched) -> None:
        good = await it.until_good()
        folder.rename(tmp_path / "aside")
        gone = await it.until_found("FolderMissing")
        assert (gone.tunnels, gone.peers, gone.is_complete) == (good.tunnels, good.peers, True)
        fill(tmp_path / "new", good_files() | {"peers.yaml": a_file(peer(1))})
        (tmp_path / "new").rename(folder)
        await it.until(lambda intent: list(intent.peers) == ["peer-1"] and not intent.findings)
        (folder / "peers.yaml").write_bytes(good_files()["peers.yaml"])
        await it.until_good()
        folder.rename(tmp_path / "again")
        folder.write_text("a file")
        unreadable = await it.until_found("FolderUnreadable")
        assert unreadable.tunnels == good.tunnels

    watch(folder, scenario)


def test_keys_that_nothing_refers_to_are_forgotten(folder: Path) -> None:
    async def scenario(it: Watched) -> None:
        first = (await it.until_good()).tunnels["tunnel-1"].psk
        keys = [first]
        for text in (b"second", b"third"):
            (folder / "secret.yaml").write_bytes(a_file(secret(key=text)))
            last = keys[-1]
            intent = await it.until(lambda intent, last=last: intent.tunnels["tunnel-1"].psk != last)  # type: ignore[misc]
            keys.append(intent.tunnels["tunnel-1"].psk)
        assert [it.vault.get(key) for key in keys[1:]] == [b"second", b"third"]
        with pytest.raises(KeyError):
            it.vault.get(first)

    watch(folder, scenario)
