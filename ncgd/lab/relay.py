"""Connections to a socket that was made outside come to the status port inside: run in a node, by ``page``.

A socket belongs to the namespace that it was made in, wherever it is listened on.
"""

import asyncio
import socket
import sys
from contextlib import suppress

STATUS_PORT = 9179
"""Where ncgd shows its page in a node, on loopback."""
_CHUNK = 65_536


def listener(port: int) -> socket.socket:
    """A socket on this machine's loopback, to be handed to a relay in a node. Raises OSError."""
    return socket.create_server(("127.0.0.1", port))


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", STATUS_PORT)
        async with asyncio.TaskGroup() as both:
            both.create_task(_copy(reader, far_writer))
            both.create_task(_copy(far_reader, writer))
    writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def _run(outside: socket.socket) -> None:
    server = await asyncio.start_server(_relay, sock=outside)
    await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(socket.socket(fileno=int(sys.argv[1]))))
