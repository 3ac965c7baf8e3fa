"""The status screen: gateway, tunnels, sessions, routes, what is wrong and what to do about it."""

import textwrap
from typing import Any

from ncgd.cli.table import amount, duration, lay_out

WIDTH = 110
_COLOURS = {
    "Healthy": "32",
    "established": "32",
    "Degraded": "33",
    "connecting": "33",
    "Standby": "36",
    "Down": "31",
    "down": "31",
}


def render(status: dict[str, Any], *, colour: bool = False) -> str:
    """The whole screen as text; ``colour`` for terminals."""
    dataplane = status["dataplane"]
    lines = [
        f"Gateway   {paint(status['status'], colour)}   {status['gateway']} on node {status['node']}, {status['mode']}",
        *_role(status["role"]),
        *_crossing(status["crossing"]),
        *_wrapped(f"Dataplane {dataplane['mode']}: {dataplane['reason']}", " " * 10),
        "",
        *_tunnels(status["tunnels"], colour),
        "",
        *_sessions(status["peers"], colour),
        "",
        _routes(status["routes"]),
        *_wrapped(f"Leaks     {_leaks(status['leakProtection'])}", " " * 10),
        *_wrapped(f"Sources   {_sources(status['masquerade'])}", " " * 10),
        *(f"Waiting   {table}: {reason}" for table, reason in status["held"].items()),
        "",
        *_problems(status["problems"], colour),
    ]
    return "\n".join(lines)


def _role(role: dict[str, Any]) -> list[str]:
    if role["part"] == "Standalone":
        return []
    held_over = "" if role["mayInitiate"] else ", held over"
    return _wrapped(f"Role      {role['part']}{held_over}: {role['message']}", " " * 10)


def _crossing(crossing: dict[str, Any] | None) -> list[str]:
    """How this node sends to the gateway; nothing on the gateway itself."""
    if crossing is None:
        return []
    refused = f", {sum(crossing['refused'].values())} of them refused" if crossing["refused"] else ""
    count = crossing["prefixes"]
    told = f"{count} prefix{'' if count == 1 else 'es'} from it{refused}"
    return _wrapped(f"Crossing  {crossing['transport']}: {crossing['message']}; {told}", " " * 10)


def paint(word: str, colour: bool) -> str:
    """The word in its colour, or as it is."""
    return f"\033[{_COLOURS[word]}m{word}\033[0m" if colour and word in _COLOURS else word


def _tunnels(tunnels: list[dict[str, Any]], colour: bool) -> list[str]:
    if not tunnels:
        return ["Tunnels   none"]
    header = ("TUNNEL", "STATUS", "USABLE", "REMOTE", "INTERFACE", "MTU", "IN", "OUT", "UP", "ESP")
    rows = [
        (
            tunnel["name"],
            tunnel["status"],
            "yes" if tunnel["usable"] else f"no: {tunnel['reason']}",
            tunnel["remote"],
            tunnel["interface"],
            tunnel["mtu"] or "",
            amount(tunnel["bytesIn"]),
            amount(tunnel["bytesOut"]),
            duration(tunnel["establishedSeconds"]) if tunnel["child"] else "",
            tunnel["child"],
        )
        for tunnel in tunnels
    ]
    return [_painted(line, colour) for line in lay_out(header, rows)]


def _sessions(peers: list[dict[str, Any]], colour: bool) -> list[str]:
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
    return [_painted(line, colour) for line in lay_out(header, rows)]


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
    return f"{text}, from {rules or 'no rule that was found'}"


def _problems(problems: list[dict[str, Any]], colour: bool) -> list[str]:
    if not problems:
        return ["Problems  none"]
    lines = ["Problems"]
    for problem in problems:
        mark = "warning" if problem["severity"] == "warning" else "ERROR"
        code = "33" if mark == "warning" else "31"
        mark = f"\033[{code}m{mark}\033[0m" if colour else mark
        lines += _wrapped(f"  {mark} {problem['reason']} {problem['object']}: {problem['message']}", " " * 8)
        if problem["hint"]:
            lines += _wrapped(f"        → {problem['hint']}", " " * 10)
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _painted(line: str, colour: bool) -> str:
    for word in ("established", "connecting", " down "):
        if colour and word in line:
            return line.replace(word, paint(word, colour) if word.strip() == word else f" {paint('down', colour)} ", 1)
    return line
