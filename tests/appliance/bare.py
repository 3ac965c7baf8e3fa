"""A Debian 12 with hardly anything in it: what ``apt install ./ncgd.deb`` meets on a host. Nothing runs there."""

import subprocess
from pathlib import Path

from tests.kernel import debian, image

INCLUDED = "systemd"
"""As on every host with units; a minimal Debian has not even this."""
ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")


def unpack(tree: Path, deb: Path) -> None:
    """Fill an empty folder with it; what a package depends on lies ready in apt's cache, not installed."""
    subprocess.run(["tar", "-C", tree, "--numeric-owner", "-xf", _tar(deb)], check=True)


def run(tree: Path, *argv: str) -> str:
    """Run a command in it, with a network, processes and mounts of its own; its output, of both kinds.

    AssertionError with that when the command fails.
    """
    own = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", f"--root={tree}", "--mount-proc"]
    ran = subprocess.run(
        [*own, "env", "-i", *ENVIRONMENT, *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{argv}: {ran.stdout}"
    return ran.stdout


def _tar(deb: Path) -> Path:
    field = subprocess.run(["dpkg-deb", "--field", deb, "Depends"], capture_output=True, text=True, check=True).stdout
    dependencies = sorted({dependency.split()[0] for dependency in field.split(",")})
    download = f"apt-get -qq install --yes --no-install-recommends --download-only {' '.join(dependencies)}"
    tar = image.cache() / f"bare-{image.digest(image.ROOT_SUITE, INCLUDED, download)}.tar"
    with image.built_once(tar) as (building, scratch):
        if building:
            transport = scratch / "transport"
            transport.write_text(debian.transport_settings())
            argv = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=tar"]
            argv += [f"--include={INCLUDED}", f"--aptopt={transport}", "--skip=cleanup/apt"]
            argv += [f'--customize-hook=APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" {download}']
            subprocess.run([*argv, image.ROOT_SUITE, str(building), *debian.sources(image.ROOT_SUITE)], check=True)
    return tar
