"""The VICI client against a far end that misbehaves."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ncgd.drivers.strongswan.transport import Commands, Events, Stream
from ncgd.errors import DriverError, Rejected, TimedOut, Unavailable

REGISTERED, UNKNOWN_EVENT, UNKNOWN_COMMAND, RESPONSE, EVENT = b"\x05", b"\x06", b"\x02", b"\x01", b"\x07"


def packet(content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + content


def value(key: bytes, text: bytes) -> bytes:
    return b"\x03" + bytes([len(key)]) + key + struct.pack("!H", len(text)) + text


def against(path: Path, script: list[bytes], client: Callable[[Stream], Awaitable[None]]) -> None:
    """Run ``client`` against a server that answers each request by the next line of ``script``, then hangs."""

    async def scenario() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                for answer in script:
                    (length,) = struct.unpack("!I", await reader.readexactly(4))
                    await reader.readexactly(length)
                    writer.write(answer)
                    if not answer:
                        return
                await reader.read()
            finally:
                writer.close()

        async with await asyncio.start_unix_server(serve, path):
            stream = await Stream.open(path, 5)
            try:
                await client(stream)
            finally:
                stream.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ([], TimedOut, "no answer within 0.2 s"),
        ([b""], Unavailable, "closed the connection$"),
        ([struct.pack("!I", 1 << 30)], Unavailable, "not charon"),
        ([packet(RESPONSE + b"\x03\x20abc")], Unavailable, "cannot be read"),
        ([packet(REGISTERED)], Unavailable, "out of step"),
        ([packet(UNKNOWN_COMMAND)], Rejected, "unknown to this charon"),
        ([packet(RESPONSE + value(b"success", b"no") + value(b"errmsg", b"because"))], Rejected, "because"),
    ],
)
def test_a_command_that_goes_wrong(tmp_path: Path, script: list[bytes], error: type[DriverError], words: str) -> None:
    async def client(stream: Stream) -> None:
        commands = Commands(stream, 0.2 if error is TimedOut else 5)
        with pytest.raises(error, match=words):
            await commands.call("version")
        if error is not Rejected:
            with pytest.raises(Unavailable, match="connection is closed"):
                await commands.call("version")

    against(tmp_path / "vici", script, client)


def test_a_cancelled_command_leaves_no_answer_for_the_next(tmp_path: Path) -> None:
    async def client(stream: Stream) -> None:
        commands = Commands(stream, 5)
        task = asyncio.create_task(commands.call("initiate"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(Unavailable, match="connection is closed"):
            await commands.call("version")

    against(tmp_path / "vici", [], client)


def test_streamed_answers_come_before_the_response(tmp_path: Path) -> None:
    row = packet(EVENT + b"\x07list-sa" + value(b"n", b"1")) + packet(EVENT + b"\x07list-sa" + value(b"n", b"2"))

    async def client(stream: Stream) -> None:
        commands = Commands(stream, 5)
        for _ in range(2):  # registered once, by the first call
            answers = await commands.call("list-sas", streams="list-sa")
            assert [dict(answer) for answer in answers] == [{"n": b"1"}, {"n": b"2"}, {}]

    against(tmp_path / "vici", [packet(REGISTERED), row + packet(RESPONSE), row + packet(RESPONSE)], client)


def test_unknown_events_are_left_out_and_early_ones_kept(tmp_path: Path) -> None:
    early = packet(EVENT + b"\x03log" + value(b"msg", b"early"))

    async def client(stream: Stream) -> None:
        events = Events(stream, 5)
        assert await events.register(["log", "alert"]) == {"log"}
        async for event in events.follow():
            assert (event.name, event.message["msg"]) == ("log", b"early")
            break

    against(tmp_path / "vici", [packet(REGISTERED) + early, packet(UNKNOWN_EVENT)], client)
