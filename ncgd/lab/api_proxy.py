"""``python -m ncgd.lab.api_proxy KUBECONFIG ADDRESS PORT``: a real API server, in the lab's cluster, without TLS.

Takes connections where it runs, which is a node of the lab, and makes its own where the machine's first process lives.
One request each. Runs in the virtual environment.
"""

import asyncio
import socket
import ssl
import sys
from contextlib import suppress
from urllib.parse import urlsplit

from lightkube.config.client_adapter import verify_cluster
from lightkube.config.kubeconfig import KubeConfig, SingleConfig

from ncgd.lab.proof import socket_at

_HOST = "/proc/1/ns/net"
_CHUNK = 1 << 16


class Proxy:
    """Hands requests on, with the credentials of a kubeconfig."""

    def __init__(self, config: SingleConfig) -> None:
        """Tokens and client certificates."""
        url = urlsplit(config.cluster.server)
        self._host, self._port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        self._token = config.user.token if config.user else None
        self._tls: ssl.SSLContext | None = None
        if url.scheme == "https":
            self._tls = verify_cluster(config.cluster, config.user, config.abs_file, trust_env=False)  # type: ignore[arg-type]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(OSError, EOFError):
            head = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n").split(b"\r\n")
            kept = [
                line for line in head if line.split(b":")[0].lower() not in {b"connection", b"host", b"authorization"}
            ]
            kept += [b"Host: " + self._host.encode(), b"Connection: close"]
            if self._token:
                kept.append(b"Authorization: Bearer " + self._token.encode())
            upstream = await asyncio.to_thread(socket_at, _HOST)
            await asyncio.to_thread(upstream.connect, (self._host, self._port))
            upstream.setblocking(False)
            name = self._host if self._tls else None
            back, forth = await asyncio.open_connection(sock=upstream, ssl=self._tls, server_hostname=name)
            forth.write(b"\r\n".join(kept) + b"\r\n\r\n")
            sending = asyncio.create_task(_copy(reader, forth))
            await _copy(back, writer)
            sending.cancel()
            forth.close()
        writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()


async def serve(kubeconfig: str, address: str, port: int) -> None:
    """Serve until cancelled."""
    config = KubeConfig.from_file(kubeconfig).get()
    if config is None:
        sys.exit(f"{kubeconfig} has no current context")
    server = await asyncio.start_server(Proxy(config).handle, address, port, family=socket.AF_INET)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
