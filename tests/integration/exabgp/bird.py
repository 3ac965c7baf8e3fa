"""A BGP peer that our code has no part in: BIRD 2 in a namespace of its own."""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.integration.netns import Namespace, until

PEER_ASN = 64512


class Bird:
    """BIRD with one session, ``togw``, to the gateway. Everything else is the configuration's ``routes``."""

    def __init__(self, space: Namespace, folder: Path, local: str, remote: str) -> None:
        self._space = space
        self._folder = folder / space.name
        self._folder.mkdir(exist_ok=True)
        self._local, self._remote = local, remote
        self._asn, self._peer_asn = PEER_ASN, 65010
        self._process: subprocess.Popen[str] | None = None

    def start(
        self, routes: Iterable[str] = (), *, asn: int = PEER_ASN, peer_asn: int = 65010, is_enabled: bool = True
    ) -> None:
        """Start with these static routes (``10.0.0.0/8`` or with BIRD's attribute block behind it)."""
        self._asn, self._peer_asn = asn, peer_asn
        self._write(routes, is_enabled=is_enabled)
        self._process = self._space.start(
            "bird", "-f", "-c", str(self._config), "-s", str(self._control), log=self._folder / "log"
        )
        until(lambda: self._space.succeeds("birdc", "-s", str(self._control), "show", "status"), what="BIRD is up")

    def end(self) -> None:
        """Kill it: its TCP connection is closed by the kernel, without a NOTIFICATION."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._control.unlink(missing_ok=True)

    def set_routes(self, routes: Iterable[str]) -> None:
        """Advertise these from now on."""
        self._write(routes, is_enabled=True)
        assert "Reconfigured" in (answer := self.ask("configure")) or "in progress" in answer, answer

    def ask(self, command: str) -> str:
        """One birdc command."""
        return self._space.run("birdc", "-s", str(self._control), *command.split())

    def session(self) -> str:
        """Addresses and ports of the session's TCP connection: another session has another one (RFC 4271 section 8.2).

        BIRD's "up since" is no such name: it follows the clock of the machine, which may be slewed meanwhile.
        """
        _, _, *ends = self._space.run("ss", "-Htn", "state", "established").split()
        assert len(ends) == 2, ends
        return " ".join(ends)

    def is_up(self) -> bool:
        """True when the session is established."""
        return "Established" in self.ask("show protocols togw")

    def is_sending(self) -> bool:
        """True while something that it has sent was not taken."""
        return any(
            line.split()[1] != "0" for line in self._space.run("ss", "-Htn", "state", "established").splitlines()
        )

    def learned(self) -> dict[str, int]:
        """MED by prefix of what we advertise."""
        found: dict[str, int] = {}
        prefix = ""
        for line in self.ask("show route protocol togw all").splitlines():
            if match := re.match(r"(\S+/\d+) ", line):
                prefix = match[1]
            elif match := re.match(r"\s*BGP\.med: (\d+)", line):
                found[prefix] = int(match[1])
        return found

    @property
    def _config(self) -> Path:
        return self._folder / "bird.conf"

    @property
    def _control(self) -> Path:
        return self._folder / "bird.ctl"

    def _write(self, routes: Iterable[str], *, is_enabled: bool) -> None:
        rows = [row.partition(" ") for row in routes]
        families = {4: [row for row in rows if ":" not in row[0]], 6: [row for row in rows if ":" in row[0]]}
        statics = "".join(
            f"protocol static vpc{version} {{ ipv{version};\n"
            + "".join(f"  route {prefix} blackhole{' ' + block if block else ''};\n" for prefix, _, block in some)
            + "}\n"
            for version, some in families.items()
        )
        # BIRD sends a MED to another AS only when the export filter sets it.
        export = "if source != RTS_STATIC then reject; if defined(bgp_med) then bgp_med = bgp_med; accept;"
        channels = "".join(
            f"  ipv{version} {{ import all; export filter {{ {export} }}; next hop self; }};\n"
            for version in ((4,) if ":" not in self._local else (4, 6))
        )
        self._config.write_text(
            f"router id 192.0.2.{1 + len(self._space.name)};\nprotocol device {{}}\n{statics}"
            f"protocol bgp togw {{\n  {'' if is_enabled else 'disabled;'}\n"
            f"  local {self._local} as {self._asn}; neighbor {self._remote} as {self._peer_asn};\n"
            f"  hold time 60; connect delay time 5; error wait time 1,2; graceful restart on;\n"
            f"{channels}}}\n"
        )
