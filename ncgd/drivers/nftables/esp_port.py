"""UDP ports whose ESP the kernel unwraps also while the IKE daemon that has them is away; table ``inet ncgd_esp``.

ESP in UDP (RFC 3948) is unwrapped by the socket that it is sent to, so behind a NAT a dead charon takes the way in
along, though all SAs are still there. A socket of ncgd's unwraps meanwhile: where the ``socket`` expression finds none
at the port, what is ESP goes on to ours. There is no moment in between, and nobody has to notice that charon died.
"""

import json
import logging
import socket
from typing import Any

from ncgd.drivers.nftables.transport import Nft
from ncgd.errors import DriverError, TimedOut
from ncgd.model.delta import Delta, Outcome
from ncgd.model.ike import EspPort

_log = logging.getLogger(__name__)

TABLE = "ncgd_esp"
_PRIORITY_RAW = -300
_UDP_ENCAP, _ESP_IN_UDP = 100, 2  # linux/udp.h


class EspPortTable:
    """OwnedTable of UDP ports, by number."""

    def __init__(self, nft: Nft) -> None:
        self._nft = nft
        self._sockets: dict[int, socket.socket] = {}

    async def read(self) -> dict[int, EspPort]:
        """The ports of which both rules are in force, with our sockets. Raises DriverError."""
        listing = await self._nft.listed(TABLE)
        rules = _rules(json.loads(listing)) if listing else []
        ours = {port: each.getsockname()[1] for port, each in self._sockets.items()}
        return {port: EspPort(port=port) for port, our in ours.items() if {(port, 0), (port, our)} <= set(rules)}

    async def write(self, delta: Delta[int, EspPort]) -> Outcome[int]:
        """Replace the table in one transaction, with sockets that are there before it.

        A kernel that cannot do it is told to the log and no failure: all works as well, until charon dies. Raises
        TimedOut: a busy machine can do it later.
        """
        given_up = [self._sockets.pop(port) for port in delta.remove if port in self._sockets]
        try:
            self._sockets |= {port: _unwrapping_socket() for port in delta.set if port not in self._sockets}
            await self._nft.run(
                "-f", "-", text=_text({port: each.getsockname()[1] for port, each in self._sockets.items()})
            )
        except TimedOut:
            raise
        except (OSError, DriverError) as error:
            _log.info("a charon that dies takes ESP in UDP along: %s", error, extra={"event": "esp_port"})
        finally:
            for each in given_up:
                each.close()
        return Outcome()


def _rules(listing: dict[str, Any]) -> list[tuple[int, int]]:
    """The port that each rule is about, and where it sends that, or 0: it leaves it alone."""
    found = []
    for rule in (row["rule"] for row in listing["nftables"] if "rule" in row):
        ports = [each["match"]["right"] for each in rule["expr"] if _is_port(each.get("match", {}).get("left"))]
        to = [each["mangle"]["value"] for each in rule["expr"] if _is_port(each.get("mangle", {}).get("key"))]
        found += [(port, sum(to)) for port in ports]
    return found


def _is_port(left: object) -> bool:
    return left == {"payload": {"protocol": "udp", "field": "dport"}}


def _unwrapping_socket() -> socket.socket:
    """A socket at any port whose ESP the kernel decrypts; all else that comes is left unread."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        opened.setsockopt(socket.IPPROTO_UDP, _UDP_ENCAP, _ESP_IN_UDP)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        opened.bind(("", 0))
    except OSError:
        opened.close()
        raise
    return opened


def _text(ports: dict[int, int]) -> bytes:
    """The whole table: charon's port → ours. What begins with four zero bytes is IKE (RFC 3948 §2.2).

    The kernel sends ESP in UDP without checksum, and nft would make one of it that is wrong.
    """
    lines = [f"add table inet {TABLE}", f"delete table inet {TABLE}"]
    if ports:
        lines += [
            f"add table inet {TABLE}",
            f"add chain inet {TABLE} away {{ type filter hook prerouting priority {_PRIORITY_RAW}; policy accept; }}",
        ]
    for port, ours in ports.items():
        esp = f"add rule inet {TABLE} away meta nfproto ipv4 udp dport {port} @th,64,32 != 0"
        lines += [f"{esp} socket wildcard 1 accept", f"{esp} udp dport set {ours} udp checksum set 0"]
    return ("\n".join(lines) + "\n").encode()
