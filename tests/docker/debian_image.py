"""The base image on a machine that no registry reaches: the same Debian, made from this machine's own mirrors.

What this machine needs to reach them (proxy, CA certificates, /etc/pip.conf) goes into the stand-in, never into a
Dockerfile. It is for tests only.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound

from tests.kernel.debian import install_tools, sources, transport_settings

NAME = "debian:bookworm-slim"
_CERTIFICATES = Path("/usr/local/share/ca-certificates")
_PIP = Path("/etc/pip.conf")
_LEFT_OUT = ("man", "locale", "doc", "info", "lintian")


def ensure(client: docker.DockerClient) -> str:
    """The name of a base image that this engine has: pulled where a registry answers, else made here."""
    try:
        client.images.get(NAME)
    except ImageNotFound:
        try:
            client.images.pull(NAME)
        except APIError:
            _make(client)
    return NAME


def _make(client: docker.DockerClient) -> None:
    install_tools()
    with subprocess.Popen(list(_mmdebstrap()), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as made:
        assert made.stdin and made.stdout
        made.stdin.write("\n".join(sources("bookworm")).encode())
        made.stdin.close()
        client.api.import_image_from_stream(made.stdout, repository=NAME.partition(":")[0], tag=NAME.partition(":")[2])
    assert made.returncode == 0, "mmdebstrap failed"


def _mmdebstrap() -> Iterator[str]:
    yield from ("mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates")
    yield "--aptopt=" + " ".join(transport_settings().splitlines())
    for folder in _LEFT_OUT:
        yield f"--dpkgopt=path-exclude=/usr/share/{folder}/*"
    yield "--dpkgopt=path-include=/usr/share/doc/*/copyright"
    yield f'--setup-hook=mkdir -p "$1{_CERTIFICATES}"'
    for path in (*_CERTIFICATES.glob("*.crt"), *((_PIP,) if _PIP.exists() else ())):
        yield f"--customize-hook=copy-in {path} {path.parent}"
    yield '--customize-hook=chroot "$1" update-ca-certificates'
    yield '--customize-hook=rm -rf "$1"/var/lib/apt/lists/*'
    yield from ("bookworm", "-", "-")
