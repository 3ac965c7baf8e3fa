"""Log lines: text for people, JSON for machines, the same fields in both."""

import logging
import sys
from datetime import UTC, datetime

import msgspec

_FIELDS = ("event", "tunnel", "peer", "reason", "object", "status")


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """``{"time", "level", "logger", "message", …}``."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: str(getattr(record, name)) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def configure(style: str, level: str) -> None:
    """Send all logging to standard error, as ``text`` or ``json``."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)-7s %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if style == "json" else text)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # The libraries' own chatter is theirs; ours says what matters.
    for name in ("asyncio", "pyroute2"):
        logging.getLogger(name).setLevel(logging.WARNING)
