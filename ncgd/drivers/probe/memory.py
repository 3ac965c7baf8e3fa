"""What was known of each path, for the next ncgd: a dead tunnel is not believed again because ncgd was restarted."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from ncgd.model.probe import Pulse

_log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Memory:
    """A small file, replaced whole. It holds for one boot: what it speaks of does not survive a reboot either.

    A file that is missing, broken, or of another boot means that nothing is known; one that cannot be written is
    logged, and nothing else suffers.
    """

    def __init__(self, path: Path) -> None:
        """``path``: where the file is, or will be."""
        self._path = path
        self._boot = _BOOT_ID.read_text().strip()
        self._kept: dict[str, str] = {}
        self._is_lost = False

    def recall(self) -> dict[str, Pulse]:
        """The last pulse of each path, by the name that it was kept under."""
        try:
            read = json.loads(self._path.read_bytes())
            if read["boot"] == self._boot:
                self._kept = {str(path): str(pulse) for path, pulse in read["pulses"].items()}
                return {path: Pulse(pulse) for path, pulse in self._kept.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            _log.warning("%s cannot be read, so no tunnel is known to be dead: %r", self._path, error)
        return {}

    def keep(self, pulses: Mapping[str, Pulse]) -> None:
        """Replace what is kept; does nothing when that is the same."""
        rows = {path: str(pulse) for path, pulse in sorted(pulses.items())}
        if rows == self._kept:
            return
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps({"boot": self._boot, "pulses": rows}, indent=1))
            fresh.replace(self._path)
        except OSError as error:
            if not self._is_lost:
                _log.warning("%s cannot be written, so the next ncgd will trust every tunnel: %s", self._path, error)
            self._is_lost = True
            return
        self._kept, self._is_lost = rows, False
