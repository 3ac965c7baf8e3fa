"""Sysctls, by dotted path: ``net.ipv4.ip_forward``, ``net.ipv4.conf.<interface>.rp_filter``."""

import re
from pathlib import Path

from ncgd.model.delta import Delta, Outcome

PROC_SYS = Path("/proc/sys")
_PER_INTERFACE = re.compile(r"(net)\.(ipv4|ipv6)\.(conf|neigh)\.(.+)\.([a-z0-9_]+)")
"""The name of an interface may hold dots itself (``eth0.100``), but never a slash."""


class Sysctls:
    """OwnedTable of kernel settings; a value is a text, or several by ``|``: any will do, else the first is written.

    Nobody's value is put back when a key is removed. ``root`` is /proc/sys, or where a container that has it read-only
    sees it writable.
    """

    def __init__(self, root: Path = PROC_SYS) -> None:
        self._root = root

    async def write(self, delta: Delta[str, str]) -> Outcome[str]:
        """Write the values that differ; failures by path. Removed keys keep the value they have."""
        failed = {}
        for key, value in delta.set.items():
            try:
                _set(path_of(key, self._root), value)
            except FileNotFoundError:
                failed[key] = f"sysctl {key} does not exist here: its interface or kernel module is missing"
            except OSError as error:
                failed[key] = (
                    f"cannot set sysctl {key} to {value}: {error.strerror}; when /proc/sys is read-only "
                    f"(a container), set it from outside: sysctl -w {key}={value}"
                )
        return Outcome(failed)


def path_of(key: str, root: Path = PROC_SYS) -> Path:
    """The file of a setting. Raises FileNotFoundError for what cannot be one."""
    match = _PER_INTERFACE.fullmatch(key)
    parts = match.groups() if match else key.split(".")
    if any("/" in part or part in ("", ".", "..") for part in parts):
        raise FileNotFoundError(key)
    return root.joinpath(*parts)


def _set(path: Path, value: str) -> None:
    first, *others = value.split("|")
    if path.read_text().split() not in [each.split() for each in (first, *others)]:
        path.write_text(first)
