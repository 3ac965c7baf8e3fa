"""Debian packages for the guest, from the mirror the host uses, leaving the host's apt configuration alone."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

HOST_TOOLS = {
    "cpio": "cpio",
    "depmod": "kmod",
    "git": "git",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "pip3": "python3-pip",
    "qemu-system-x86_64": "qemu-system-x86",
}
KERNEL_SUITES = ("bookworm", "bookworm-backports", "trixie")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def install_tools(tools: Mapping[str, str] = HOST_TOOLS) -> None:
    """Install packages for the programs or files that this machine lacks: what building and booting a guest needs."""
    missing = sorted({package for file, package in tools.items() if not (shutil.which(file) or Path(file).exists())})
    if not missing:
        return
    print(f"installing {' '.join(missing)}", flush=True)
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*apt, "update"], check=True)
    subprocess.run(
        [*apt, "install", "-y", "--no-install-recommends", *missing],
        check=True,
        env=quiet,
        stdout=subprocess.DEVNULL,
    )


def sources(suite: str) -> list[str]:
    """Give the lines of a sources.list for `suite`, on the host's mirrors (or ``$NCGD_DEBIAN_MIRROR``)."""
    codename = suite.removesuffix("-backports")
    mirrors = _mirrors()
    if suite != codename:
        mirrors[suite.removeprefix(codename)] = mirrors[""]
    return [f"deb [signed-by={_KEYRING}] {uri} {codename}{pocket} main" for pocket, uri in mirrors.items()]


def _mirrors() -> dict[str, str]:
    """Map each pocket of the host's own release ("", "-updates", "-security") to its URI."""
    if mirror := os.environ.get("NCGD_DEBIAN_MIRROR"):
        return {"": mirror}
    release = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)
    wanted = re.compile(rf"(\S+) {release[1] if release else '-'}(|-updates|-security) main")
    form = ["--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    listed = _output("apt-get", "indextargets", *form).splitlines()
    mirrors = {match[2]: match[1] for line in listed if (match := wanted.fullmatch(line))}
    if "" not in mirrors:
        raise SystemExit("no Debian mirror in /etc/apt: set NCGD_DEBIAN_MIRROR to the URL of one")
    return mirrors


def transport_settings() -> str:
    """Give the host's apt settings that say how to download (proxy, certificates), as a configuration file."""
    dump = _output("apt-config", "dump", "--no-empty", "--format", '%F "%v";%n', "Acquire")
    return "".join(line + "\n" for line in dump.splitlines() if "::IndexTargets" not in line)


class Archive:
    """The packages of some suites, read through an apt configuration of our own; a context manager."""

    def __init__(self, *suites: str) -> None:
        self._suites = suites

    def __enter__(self) -> "Archive":
        self._scratch = tempfile.TemporaryDirectory(prefix="ncgd-apt-")
        root = Path(self._scratch.name)
        for folder in ("lists/partial", "cache/archives/partial", "empty"):
            (root / folder).mkdir(parents=True)
        (root / "sources.list").write_text("\n".join(line for s in self._suites for line in sources(s)))
        (root / "status").touch()
        empty = ("Dir::Etc::parts", "Dir::Etc::sourceparts", "Dir::Etc::preferencesparts")
        settings = {
            **dict.fromkeys(empty, root / "empty"),
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::sourcelist": root / "sources.list",
            "Dir::State::lists": root / "lists",
            "Dir::State::status": root / "status",
            "Dir::Cache": root / "cache",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        if len(self._suites) == 1 and self._suites[0].endswith("-backports"):
            settings["APT::Default-Release"] = self._suites[0]  # apt never prefers backports by itself
        lines = [f'{name} "{value}";\n' for name, value in settings.items()]
        (root / "apt.conf").write_text(transport_settings() + "".join(lines))
        self._environment = {**os.environ, "APT_CONFIG": str(root / "apt.conf")}
        try:
            self._apt("apt-get", "-qq", "update")
        except BaseException:
            self._scratch.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def newest_kernel(self, version: str = "") -> str:
        """Give the newest cloud kernel of a version ("6.1.0-40", "6.12"), or the one the suite recommends."""
        if version:
            found = self._apt("apt-cache", "pkgnames", f"linux-image-{version}")
        else:
            found = self._apt("apt-cache", "depends", "-i", "linux-image-cloud-amd64")
        names: list[str] = re.findall(r"linux-image-(\d\S*)-cloud-amd64(?!\S)", found)
        names = [name for name in names if re.match(rf"{re.escape(version)}\b", name)]
        if not names:
            raise SystemExit(f"no cloud-amd64 kernel {version} in {', '.join(self._suites)} on the mirror")
        return max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])

    def extract(self, package: str, into: Path) -> None:
        """Unpack a package's files into a folder, without installing it."""
        download = Path(self._scratch.name) / package
        download.mkdir()
        self._apt("apt-get", "-qq", "download", package, folder=download)
        subprocess.run(["dpkg", "-x", *download.glob("*.deb"), into], check=True)

    def _apt(self, *argv: str, folder: Path | None = None) -> str:
        return _output(*argv, env=self._environment, cwd=folder)


def _output(*argv: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command and return its output; SystemExit carries its complaint."""
    result = subprocess.run(argv, capture_output=True, text=True, check=False, env=env, cwd=cwd)
    if result.returncode:
        raise SystemExit(f"{' '.join(argv)}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout
