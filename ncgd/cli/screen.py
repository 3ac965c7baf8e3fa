"""The status screen: gateway, tunnels, sessions, routes, what is wrong and what to do about it."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ncgd.cli.colours import CYAN, GREEN, RED, YELLOW, paint
from ncgd.cli.table import amount, duration, fitted, printable

WIDTH = 110
SHOWN_LOSS = 0.01
"""Share of echoes lost that is worth a word."""
_DISPENSABLE_OF_TUNNELS = (
    ("ESP",),
    ("INTERFACE",),
    ("MTU",),
    ("IN", "OUT"),
    ("SA AGE",),
    ("REMOTE",),
    ("RTT",),
    ("IN/S", "OUT/S"),
)
_DISPENSABLE_OF_SESSIONS = (("ASN",), ("PEER",), ("TUNNEL",), ("UP",), ("ADVERTISED",), ("RECEIVED",))
_SHORT = {"OverlayVPNTunnel": "tunnel", "OverlayBGPPeer": "peer", "NetworkConnectivityGateway": "gateway"}
_COLOURS = {
    "Healthy": GREEN,
    "established": GREEN,
    "Degraded": YELLOW,
    "connecting": YELLOW,
    "Standby": CYAN,
    "Down": RED,
    "down": RED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a screen is to look."""

    colour: bool = False
    width: int = WIDTH
    """Columns for text, which is wrapped."""
    table_width: int | None = None
    """Columns for tables, which are shown without what finds no room; None where there is no edge, as in a file."""
    rates: Mapping[str, tuple[float, float]] | None = None
    """What passes now through each tunnel, in and out, in bytes per second; None where that is not known."""
    rows: int | None = None
    """Lines that are seen at once, on the live screen, which is terse; None where all are, as in a file."""

    def wrapped(self, text: str, indent: int = 10) -> list[str]:
        """Lines no longer than the screen is wide, the later ones indented."""
        indented = " " * indent
        return textwrap.wrap(
            printable(text), self.width, subsequent_indent=indented, break_long_words=False, break_on_hyphens=False
        )


def render(status: dict[str, Any], look: Look = Look()) -> str:
    """The whole screen as text."""
    return "\n".join(lines(status, look))


def lines(status: dict[str, Any], look: Look) -> list[str]:
    """The whole screen."""
    word = status["status"]
    painted = paint(word, _COLOURS.get(word, ""), colour=look.colour)
    first, *rest = look.wrapped(f"Gateway   {word}   {status['gateway']} on node {status['node']}, {status['mode']}")
    head = [
        *_stall(status["stalledSeconds"], look),
        first.replace(word, painted, 1),
        *rest,
        *_role(status["role"], look),
        *_crossing(status["crossing"], look),
        *look.wrapped(f"Dataplane {_dataplane(status['dataplane'], look)}"),
    ]
    facts = [
        *look.wrapped(_routes(status["routes"])),
        *look.wrapped(f"Leaks     {_leaks(status['leakProtection'])}"),
        *look.wrapped(f"Sources   {_sources(status['masquerade'])}"),
        *(line for table, reason in status["held"].items() for line in look.wrapped(f"Waiting   {table}: {reason}")),
    ]
    blocks = [head, _tunnels(status["tunnels"], look), _sessions(status["peers"], look), facts]
    problems = _problems(status["problems"], look)
    blocks.insert(_place(problems, blocks, look.rows), problems)
    return [line for block in blocks for line in ("", *block)][1:]


def _place(problems: list[str], blocks: list[list[str]], rows: int | None) -> int:
    """How many blocks come before the problems: all where there is room, else as many as leave the problems whole."""
    if rows is None:
        return len(blocks)
    above = [sum(len(block) + 1 for block in blocks[:count]) for count in range(len(blocks) + 1)]
    return max((count for count in range(2, len(above)) if above[count] + len(problems) <= rows), default=1)


def _dataplane(dataplane: dict[str, str], look: Look) -> str:
    # what the probe saw stands in brackets after the verdict
    reason = dataplane["reason"] if look.rows is None else dataplane["reason"].partition(" (")[0]
    return f"{dataplane['mode']}: {reason}"


def _stall(seconds: int, look: Look) -> list[str]:
    if not seconds:
        return []
    text = f"Stalled   ncgd has made no pass for {seconds} s; what follows is what it saw then"
    return [paint(line, RED, colour=look.colour) for line in look.wrapped(text)]


def _role(role: dict[str, Any], look: Look) -> list[str]:
    if role["part"] == "Standalone":
        return []
    held_over = "" if role["mayInitiate"] else ", held over"
    return look.wrapped(f"Role      {role['part']}{held_over}: {role['message']}")


def _crossing(crossing: dict[str, Any] | None, look: Look) -> list[str]:
    """How this node sends to the gateway; nothing on the gateway itself."""
    if crossing is None:
        return []
    refused = f", {sum(crossing['refused'].values())} of them refused" if crossing["refused"] else ""
    count = crossing["prefixes"]
    told = f"{count} prefix{'' if count == 1 else 'es'} from it{refused}"
    return look.wrapped(f"Crossing  {crossing['transport']}: {crossing['message']}; {told}")


def _tunnels(tunnels: list[dict[str, Any]], look: Look) -> list[str]:
    if not tunnels:
        return ["Tunnels   none"]
    per_second = ("IN/S", "OUT/S") if look.rates is not None else ()
    link = ("REMOTE", "INTERFACE", "MTU")
    header = ("TUNNEL", "STATUS", "USABLE", "RTT", *per_second, *link, "IN", "OUT", "SA AGE", "ESP")
    rows = [
        (
            tunnel["name"],
            tunnel["status"],
            "yes" if tunnel["usable"] else f"no: {tunnel['reason']}",
            _round_trip(tunnel),
            *_rates(tunnel["name"], look),
            tunnel["remote"],
            tunnel["interface"],
            tunnel["mtu"] or "",
            amount(tunnel["carried"]["bytesIn"]),
            amount(tunnel["carried"]["bytesOut"]),
            duration(tunnel["establishedSeconds"]) if tunnel["child"] else "",
            tunnel["child"],
        )
        for tunnel in tunnels
    ]
    return [_painted(line, look) for line in fitted(header, rows, look.table_width, _DISPENSABLE_OF_TUNNELS)]


def _round_trip(tunnel: dict[str, Any]) -> str:
    if not (probe := tunnel["probe"]):
        return ""
    if probe["pulse"] == "Unproven":  # some peers never answer: nothing is lost
        return "no echo yet"
    rtt, loss = probe["rttSeconds"], probe["loss"]
    lost = f"{loss:.0%} lost" if loss >= SHOWN_LOSS else ""
    return " ".join(part for part in (f"{1000 * rtt:.1f} ms" if rtt is not None else "", lost) if part)


def _rates(tunnel: str, look: Look) -> tuple[str, ...]:
    if look.rates is None:
        return ()
    return tuple(amount(rate) for rate in look.rates[tunnel]) if tunnel in look.rates else ("", "")


def _sessions(peers: list[dict[str, Any]], look: Look) -> list[str]:
    if not peers:
        return ["Sessions  none"]
    header = ("SESSION", "STATUS", "PEER", "ASN", "TUNNEL", "UP", "RECEIVED", "ACCEPTED", "REFUSED", "ADVERTISED")
    rows = [
        (
            peer["name"],
            peer["status"],
            peer["peerIP"],
            peer["peerASN"],
            peer["tunnel"],
            duration(peer["uptimeSeconds"]) if peer["status"] == "established" else "",
            peer["received"],
            peer["accepted"],
            peer["refused"],
            len(peer["advertised"]),
        )
        for peer in peers
    ]
    return [_painted(line, look) for line in fitted(header, rows, look.table_width, _DISPENSABLE_OF_SESSIONS)]


def _routes(routes: dict[str, int]) -> str:
    drift = f"; {routes['drift']} rows changed by others and put right" if routes["drift"] else ""
    return f"Routes    {routes['installed']} installed, {routes['desired']} desired{drift}"


def _leaks(leak: dict[str, Any]) -> str:
    if leak["mode"] != "Strict":
        return "not kept from happening: leakProtection is Off"
    guarded = "1 prefix leaves" if leak["guarded"] == 1 else f"{leak['guarded']} prefixes leave"
    text = f"{guarded} by a tunnel or not at all; {leak['dropped']} packets dropped"
    if leak["remembered"]:
        waits = ", ".join(leak["waitsFor"])
        until = f" the start, until {waits} sent all it has" if waits else ""
        text += f"; {leak['remembered']} of them remembered from before{until}"
    return text


def _sources(masquerade: dict[str, Any]) -> str:
    rules = "; ".join(masquerade["rules"])
    if masquerade["mode"] == "Off":
        return f"left to others, masquerade is Off; translated by {rules or 'no rule that was found'}"
    if not masquerade["exempt"]:
        return "nothing learned, so nothing is exempt from masquerade"
    prefixes = "1 prefix is" if masquerade["exempt"] == 1 else f"{masquerade['exempt']} prefixes are"
    text = f"{prefixes} exempt from masquerade, by nftables table {masquerade['table']}"
    return f"{text}, from {rules}" if rules else f"{text}; no rule of others was found that would masquerade"


def _problems(problems: list[dict[str, Any]], look: Look) -> list[str]:
    if not problems:
        return ["Problems  none"]
    lines, hint = ["Problems"], ""
    for problem in problems:
        mark, code = ("warning", YELLOW) if problem["severity"] == "warning" else ("ERROR", RED)
        about = problem["object"] if look.rows is None else short(problem["object"])
        first, *rest = look.wrapped(f"  {mark} {problem['reason']} {about}: {problem['message']}", 8)
        lines += [first.replace(mark, paint(mark, code, colour=look.colour), 1), *rest]
        is_told = look.rows is not None and problem["hint"] == hint
        hint = problem["hint"]
        if hint:
            lines += look.wrapped(f"        → {'as above' if is_told else hint}")
    return lines


def short(about: str) -> str:
    """``OverlayVPNTunnel/kube-system/tunnel-1`` → ``tunnel/tunnel-1``; what else is in it stays."""
    where, comma, of = about.rpartition(", ")  # a finding names its file and document first
    kind, _, rest = of.partition("/")
    return f"{where}{comma}{_SHORT[kind]}/{rest.rpartition('/')[2]}" if kind in _SHORT else about


def _painted(line: str, look: Look) -> str:
    for word in ("established", "connecting", " down "):
        if word in line:
            bare = word.strip()
            return line.replace(word, word.replace(bare, paint(bare, _COLOURS[bare], colour=look.colour)), 1)
    return line
