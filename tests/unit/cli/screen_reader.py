"""A program on a terminal of its own, and what its screen holds: enough of ECMA-48 and xterm for ours."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence

_SEQUENCE = re.compile(rb"\033\[(\?)?([0-9;]*)([A-Za-z])")


class Terminal:
    """``rows`` lines of ``columns`` characters, and the bytes that made them."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], rows: int = 40, columns: int = 100) -> None:
        self._master, slave = pty.openpty()
        self.rows, self.columns = rows, columns
        self.lines: list[str] = [""] * 200
        self.is_aside = self.is_cursor_hidden = False
        self.sent = b""
        self._at, self._rest = (0, 0), b""
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        env = {**os.environ, "TERM": "xterm-256color", **environment}
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
        self._slave = slave
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """The screen."""
        return "\n".join(self.lines).rstrip()

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def resize(self, rows: int, columns: int) -> None:
        """Another size of the window."""
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGWINCH)

    def is_as_before(self) -> bool:
        """Whether the program has left the terminal as it was."""
        return termios.tcgetattr(self._slave) == self.before and not self.is_aside and not self.is_cursor_hidden

    def close(self) -> None:
        """End the program, if it has not."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._slave)
        self._reader.join(5)
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                ready, _, _ = select.select([self._master], [], [], 30)
                data = os.read(self._master, 65536) if ready else b""
            except OSError:
                return
            if not data:
                return
            self.sent += data
            self._take(self._rest + data)

    def _take(self, data: bytes) -> None:
        while data:
            if data.startswith(b"\033"):
                match = _SEQUENCE.match(data)
                if match is None:
                    break
                self._obey(match)
                data = data[match.end() :]
                continue
            end = next((index for index, byte in enumerate(data) if byte in b"\033\r\n"), len(data))
            if end:
                self._write(data[:end].decode(errors="replace"))
                data = data[end:]
            else:
                self._at = (self._at[0] + 1, 0) if data[:1] == b"\n" else (self._at[0], 0)
                data = data[1:]
        self._rest = data

    def _write(self, text: str) -> None:
        row, column = self._at
        line = self.lines[row].ljust(column)
        self.lines[row] = line[:column] + text + line[column + len(text) :]
        self._at = (row, column + len(text))

    def _obey(self, match: "re.Match[bytes]") -> None:
        private, given, what = match.groups()
        row, column = self._at
        if private:
            is_set = what == b"h"
            self.is_aside = is_set if given == b"1049" else self.is_aside
            self.is_cursor_hidden = not is_set if given == b"25" else self.is_cursor_hidden
        elif what == b"H":
            numbers = [int(each) for each in given.split(b";") if each] or [1, 1]
            self._at = (numbers[0] - 1, numbers[1] - 1)
        elif what == b"K":
            self.lines[row] = self.lines[row][:column]
        elif what == b"J":
            start = 0 if given == b"2" else row
            self.lines[start:] = [""] * (len(self.lines) - start)
