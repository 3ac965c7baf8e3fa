"""A clock that is wrong by a year makes every certificate look too young or too old."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest

from ncgd.errors import Unavailable
from ncgd.sources.kubernetes.client import connect

CONFIGURATION = """
[ca]
default_ca = only
[only]
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
x509_extensions = server
[any]
commonName = supplied
[server]
subjectAltName = IP:127.0.0.1
basicConstraints = critical, CA:true
"""


def certificate(folder: Path, start: str, end: str) -> ssl.SSLContext:
    """A server's, which is its own authority."""
    (folder / "ca.conf").write_text(CONFIGURATION.format(folder=folder))
    (folder / "index").touch()
    (folder / "serial").write_text("01")
    key, request, made = (str(folder / name) for name in ("key.pem", "request.pem", "made.pem"))
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server"]
    ca = ["-selfsign", "-config", str(folder / "ca.conf"), "-startdate", start, "-enddate", end, "-batch", "-notext"]
    for argv in (
        ["openssl", "req", *new, "-keyout", key, "-out", request],
        ["openssl", "ca", *ca, "-keyfile", key, "-in", request, "-out", made],
    ):
        subprocess.run(argv, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made, key)
    return context


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("20200101000000Z", "20200201000000Z", "certificate has expired"),
        ("20980101000000Z", "20990101000000Z", "certificate is not yet valid"),
    ],
)
def test_a_certificate_out_of_its_time_makes_one_think_of_the_clock(
    tmp_path: Path, start: str, end: str, words: str
) -> None:
    async def scenario() -> None:
        context = certificate(tmp_path, start, end)
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = tmp_path / "kubeconfig"
        config.write_text(
            "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],"
            f" clusters: [{{name: c, cluster: {{server: '{url}', certificate-authority: {tmp_path / 'made.pem'}}}}}],"
            " users: [{name: u, user: {token: t}}]}"
        )
        cluster = connect(config)
        try:
            with pytest.raises(Unavailable, match=f"{words}.*is the clock of this machine wrong") as told:
                await cluster.get("/version")
            assert url in str(told.value)
        finally:
            await cluster.close()
            server.close()

    asyncio.run(scenario())
