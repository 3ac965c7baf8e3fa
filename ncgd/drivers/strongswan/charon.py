"""How a charon is started: its binary, its configuration, its command. Nothing is started here.

Options are those of strongSwan's ``conf/options/charon.opt`` and ``conf/plugins/*.opt``, checked against 5.9.8
(Debian 12) and 6.0.6; charon ignores an option that it does not know.
"""

import asyncio
import re
import shlex
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ncgd.errors import Unavailable
from ncgd.model.ike import Charon, DataplaneMode
from ncgd.model.process import Handover, Launch, LaunchFile

BINARIES = (
    Path("/usr/lib/ipsec/charon"),
    Path("/usr/libexec/ipsec/charon"),
    Path("/usr/lib/strongswan/charon"),
    Path("/usr/libexec/strongswan/charon"),
    Path("/usr/local/libexec/ipsec/charon"),
)
"""Where Debian and Ubuntu, upstream, openSUSE, Fedora and a local build put charon."""

OLDEST = (5, 9, 6)
"""First release with ``start_action`` lists, child filters in ``list-sas`` and the ``kdf`` plugin (NEWS)."""

ROUTING_TABLE_BASE = 157_000_000
"""A userspace charon's routing table is this plus its ``nat_port``: its own, and ours by the first digits."""

_PLUGIN_FOLDERS = (
    Path("/usr/lib/ipsec/plugins"),
    Path("/usr/lib/strongswan/plugins"),
    Path("/usr/lib64/strongswan/plugins"),
    Path("/usr/lib64/ipsec/plugins"),
    Path("/usr/local/lib/ipsec/plugins"),
)
_REQUIRED = ("nonce", "kernel-netlink", "socket-default", "vici")
_WELCOME = (
    "random", "openssl", "kdf", "aes", "sha1", "sha2", "hmac", "gcm", "curve25519", "gmp", "pem", "pkcs1", "x509",
    "counters",
)  # fmt: skip
_PACKAGES = {"vici": "strongswan-swanctl", "kernel-libipsec": "libcharon-extra-plugins"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """An installed charon. ``plugins`` is None when it has no plugin folder (a monolithic build)."""

    binary: Path
    version: tuple[int, ...]
    plugins: frozenset[str] | None

    def has(self, plugin: str) -> bool:
        """True when the plugin is there, as far as files tell."""
        return self.plugins is None or plugin in self.plugins


async def find_installation(binaries: Iterable[Path] = BINARIES) -> Installation:
    """The first charon that is there, with its version and plugins.

    Raises Unavailable when there is none, when it does not run, or when it is older than OLDEST.
    """
    places = tuple(binaries)
    binary = next((path for path in places if path.is_file()), None)
    if binary is None:
        looked = ", ".join(map(str, places))
        raise Unavailable(f"charon is not installed (looked for {looked}); install strongswan-charon")
    version = await _version(binary)
    if version < OLDEST:
        found, wanted = (".".join(map(str, numbers)) for numbers in (version, OLDEST))
        raise Unavailable(f"{binary} is strongSwan {found}; ncgd needs {wanted} or newer: upgrade strongswan-charon")
    folders = (binary.parent / "plugins", *_PLUGIN_FOLDERS)
    folder = next((path for path in folders if path.is_dir()), None)
    stem = "libstrongswan-"
    plugins = frozenset(file.stem.removeprefix(stem) for file in folder.glob(f"{stem}*.so")) if folder else None
    return Installation(binary=binary, version=version, plugins=plugins)


async def _version(binary: Path) -> tuple[int, ...]:
    """``Linux strongSwan 5.9.8`` → (5, 9, 8)."""
    try:
        process = await asyncio.create_subprocess_exec(
            str(binary), "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
    except OSError as error:
        raise Unavailable(f"{binary} does not run: {error.strerror or error}") from error
    match = re.search(rb"strongSwan U?(\d+)\.(\d+)(?:\.(\d+))?", output)
    if match is None:
        raise Unavailable(f"{binary} --version does not name a strongSwan release; is this charon?")
    return tuple(int(number or 0) for number in match.groups())


def socket_path(directory: Path) -> Path:
    """Where a charon launched with this directory serves VICI."""
    return directory / "charon.vici"


def log_path(directory: Path) -> Path:
    """Where a charon launched with this directory writes its log (never keys)."""
    return directory / "charon.log"


def launch(
    charon: Charon, installation: Installation, directory: Path, *, private_run: bool = True, log: str = ""
) -> Launch:
    """How to start ``charon`` with its files in ``directory`` (absolute): configuration, socket, log.

    charon's pid file is compiled in as ``/run/charon.pid``, so two of them need two ``/run``: with
    ``private_run`` the directory is charon's ``/run``, in a private mount namespace (needs CAP_SYS_ADMIN). Its
    files are then all ``/run/charon.*``, which is what Debian's and Ubuntu's AppArmor profile of charon allows.
    ``log`` may be ``stderr``, for a container, in place of the log file.
    Raises Unavailable when a plugin is missing.
    """
    seen = Path("/run") if private_run else directory
    command = (str(installation.binary),)
    return Launch(
        argv=_in_private_run(directory, command) if private_run else command,
        environment={"STRONGSWAN_CONF": str(seen / "charon.conf")},
        files=(LaunchFile(path=directory / "charon.conf", text=_configuration(charon, installation, seen, log)),),
        directories=(directory,),
        # The kernel goes on with the SAs of a charon that is killed; in userspace they end with it.
        handover=Handover.KILL if charon.mode is DataplaneMode.KERNEL else Handover.WAIT,
    )


def _in_private_run(directory: Path, command: tuple[str, ...]) -> tuple[str, ...]:
    """``exec`` all the way, so the pid stays that of the spawned process.

    A pid file that a killed charon left behind goes: once its number is somebody else's, charon would refuse to start.
    """
    steps = [
        "set -e",
        "mount -n --make-rprivate /",
        f"mount -n --bind {_q(directory)} /run",
        "rm -f /run/charon.pid",
        f"exec {shlex.join(command)}",
    ]
    return ("unshare", "--mount", "--", "sh", "-c", "\n".join(steps))


def _q(path: Path) -> str:
    return shlex.quote(str(path))


def _plugins(charon: Charon, installation: Installation) -> list[str]:
    """The load list. Explicit, so that farp, bypass-lan, connmark, updown, forecast and stroke stay out."""
    required = list(_REQUIRED)
    if charon.mode is DataplaneMode.USERSPACE:
        # Both offer an ESP implementation; charon takes the one that is loaded first.
        required.insert(required.index("kernel-netlink"), "kernel-libipsec")
    missing = [name for name in required if not installation.has(name)]
    if missing:
        packages = ", ".join(sorted({_PACKAGES.get(name, "strongswan-libcharon") for name in missing}))
        raise Unavailable(
            f"{installation.binary} lacks the plugin {', '.join(missing)} for charon {charon.name}; install {packages}"
        )
    return [name for name in _WELCOME if installation.has(name)] + required


def _configuration(charon: Charon, installation: Installation, directory: Path, log: str) -> str:
    plugins = _plugins(charon, installation)
    version = ".".join(map(str, installation.version))  # makes another launch of an upgraded charon
    if charon.mode is DataplaneMode.USERSPACE:
        # kernel-libipsec routes 0.0.0.0/0 into its TUN in spite of install_routes=no. The route goes to a table
        # that only this charon has, and the rule that looks there wants a mark that no packet carries.
        table = ROUTING_TABLE_BASE + charon.nat_port
        dataplane = "kernel-libipsec {\n            allow_peer_ts = yes\n        }"
        mark = "fwmark = 0x7fff0001"
    else:
        table = 0
        dataplane = ""
        mark = "parallel_xfrm = yes"
    return f"""\
# Written by ncgd for charon {charon.name} ({charon.mode}) of strongSwan {version}; changes are lost.
charon {{
    load = {" ".join(plugins)}
    port = {charon.ike_port}
    port_nat_t = {charon.nat_port}
    routing_table = {table}
    install_routes = no
    install_virtual_ip = no
    process_route = no

    # 1 s, 1.3 s, 1.7 s, 2.2 s, 2.9 s: a peer is given up after 9 s of silence.
    retransmit_timeout = 1.0
    retransmit_base = 1.3
    retransmit_tries = 4

    # A changed configuration gets an IKE SA of its own beside the old one.
    reuse_ikesa = no
    make_before_break = yes
    close_ike_on_child_failure = yes
    fragment_size = 1280
    replay_window = 1024

    plugins {{
        vici {{
            socket = unix://{socket_path(directory)}
        }}
        kernel-netlink {{
            roam_events = no
            {mark}
        }}
        {dataplane}
    }}
    filelog {{
        ncgd {{
            path = {log or log_path(directory)}
            append = yes
            flush_line = yes
            ike_name = yes
            time_format = %Y-%m-%dT%H:%M:%S
            # Quiet: no packets, dead peer detection, retransmissions. ncgd keeps the file short.
            default = 1
            ike = 0
            net = 0
            enc = 0
        }}
    }}
    syslog {{
        daemon {{
            default = -1
        }}
        auth {{
            default = -1
        }}
    }}
}}
"""


def tun_interface(pid: int, proc: Path = Path("/proc")) -> str | None:
    """Name of the TUN device that a userspace charon holds open; None while (or when) it has none.

    ``/proc/<pid>/fdinfo/*`` names it as ``iff:`` (kernel ``drivers/net/tun.c``). kernel-libipsec calls it
    ``ipsec0``, ``ipsec1``, … in order of start, and finds it again by that name: it must not be renamed.
    """
    try:
        files = list((proc / str(pid) / "fdinfo").iterdir())
    except OSError:
        return None
    for file in files:
        with suppress(OSError):  # closed meanwhile
            for line in file.read_text().splitlines():
                key, _, name = line.partition(":")
                if key == "iff" and name.strip():
                    return name.strip()
    return None
