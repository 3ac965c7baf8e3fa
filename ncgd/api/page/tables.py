"""The tables: tunnels with their last minutes, sessions, prefixes and why, and what the cloud is told."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ncgd.api.history import SLOT_SECONDS, SLOTS, Sample, Track
from ncgd.api.page import spark
from ncgd.api.page.markup import Html, Part, tag
from ncgd.api.page.view import QUERY_CHARACTERS, View, asked, asking, session_mood, short, tunnel_mood
from ncgd.api.page.words import NOTHING, Mood, amount, count, milliseconds, rate, span, state
from ncgd.decision.explain import explain
from ncgd.decision.prefixes import Found, PrefixRow, Standing, find
from ncgd.model.report import PeerReport, TunnelReport

PAGE_ROWS = 25
MOST_ROWS = 12
"""Of tunnels and of sessions, unless all are asked for."""
MOST_CARRIERS = 4
"""Of one prefix that are named."""
T = TypeVar("T")
_NO_TRACK = Track()
_STANDING_MOODS = {
    Standing.ROUTED: Mood.GOOD,
    Standing.REFUSED: Mood.WARN,
    Standing.REMEMBERED: Mood.IDLE,
    Standing.HELD: Mood.BAD,
    Standing.OVERRULED: Mood.BAD,
    Standing.MISSING: Mood.BAD,
}


def _first(rows: Sequence[T], mood: Callable[[T], Mood], view: View) -> tuple[Sequence[T], Html | None]:
    """As many as a page stays small with, what is not well first, and a line about the rest."""
    if view.is_whole or len(rows) <= MOST_ROWS:
        return rows, None
    ordered = sorted(rows, key=lambda each: mood(each) == Mood.GOOD)
    rest = ordered[MOST_ROWS:]
    bad = sum(mood(each) != Mood.GOOD for each in rest)
    text = f"and {len(rest)} more, {f'{bad} of them not well' if bad else 'all of them well'}: "
    return ordered[:MOST_ROWS], tag("p", text, tag("a", "show all", href="/?all=1"), cls="soft rest")


def tunnels(view: View) -> Html:
    """One row per tunnel."""
    minutes = int(SLOTS * SLOT_SECONDS / 60)
    graphs = (f"Traffic, {minutes} min", f"Round trip, {minutes} min")
    head = ("Tunnel", *graphs, "Security association", "Its age, and carried")
    shown, rest = _first(view.report.tunnels, lambda each: tunnel_mood(each)[0], view)
    rows = [_tunnel(tunnel, view) for tunnel in shown]
    return _section("Tunnels", "tunnels", _table(head, rows, "no tunnel is configured"), rest)


def _tunnel(tunnel: TunnelReport, view: View) -> Html:
    mood, word = tunnel_mood(tunnel)
    if mood != Mood.GOOD:
        word = f"{word}: {tunnel.message}"
    name = tunnel.ref.name
    track = view.tracks.get(name, _NO_TRACK)
    probe = tunnel.probe
    samples: Sequence[Sample] = tuple(track.samples)
    rtt = probe.rtt_seconds if probe else None
    up = span(tunnel.established_seconds) if tunnel.child else NOTHING
    proven = probe if probe and probe.vitality.is_proven else None  # some peers never answer: nothing is lost
    loss = f"{proven.loss:.0%} lost" if proven and proven.loss else ""
    out, in_ = rate(track.rate_out), rate(track.rate_in)
    most = max((max(each.rate_out, each.rate_in) for each in samples), default=0.0)
    longest = max((each.rtt_seconds for each in samples if each.rtt_seconds is not None), default=None)
    caption = f"{name}: {out} to the cloud, {in_} from it; at most {rate(most)}"
    return tag(
        "tr",
        _cell("Tunnel", state(mood, tag("b", asked(name))), _small(word)),
        _cell("Traffic", spark.traffic(samples, caption), _small(*_both(out, in_))),
        _cell(
            "Round trip",
            spark.round_trip(samples, f"{name}: {milliseconds(rtt)}; at most {milliseconds(longest)}"),
            _small(milliseconds(rtt), tag("span", loss, cls="warn") if loss else None),
        ),
        _cell(
            "Security association",
            tag("span", _cipher(tunnel.child) or "none", cls="mono"),
            _small(f"{tunnel.interface or 'no interface'} → {tunnel.remote}"),
        ),
        _cell("Its age, and carried", up, _small(*_carried(view, name))),
        cls=mood,
    )


def _cipher(child: str) -> str:
    """``INSTALLED AES_GCM_16-256 0.0.0.0/0…`` → ``AES_GCM_16-256``."""
    return child.split()[1] if len(child.split()) > 1 else child


def _carried(view: View, tunnel: str) -> tuple[Part, ...]:
    """Since ncgd started."""
    tally = view.report.tally.tunnels.get(tunnel)
    return _both(amount(tally.carried.bytes_out), amount(tally.carried.bytes_in)) if tally else ()


def _both(out: str, in_: str) -> tuple[Part, ...]:
    parts = tag("span", tag("span", "↑ ", cls="out"), out), "  ", tag("span", tag("span", "↓ ", cls="in"), in_)
    return (tag("span", *parts, cls="rates"),)


def sessions(view: View) -> Html:
    """One row per BGP session."""
    head = ("Session", "Peer", "Tunnel", "Received", "Refused", "Advertised", "Up")
    shown, rest = _first(view.report.peers, session_mood, view)
    rows = [_session(peer) for peer in shown]
    return _section("BGP sessions", "sessions", _table(head, rows, "no peer is configured"), rest)


def _session(peer: PeerReport) -> Html:
    mood = session_mood(peer)
    is_up = peer.status == "established"
    meds = sorted({med for _, med in peer.advertised})
    refused = [tag("span", f"{reason} {number}", cls="item") for reason, number in sorted(peer.refused.items())]
    return tag(
        "tr",
        _cell("Session", state(mood, tag("b", asked(peer.ref.name))), _small(peer.status if is_up else peer.message)),
        _cell("Peer", tag("span", peer.peer_ip, cls="mono"), _small(f"AS {peer.peer_asn}")),
        _cell("Tunnel", short(peer.tunnel) if peer.tunnel else NOTHING),
        _cell("Received", f"{peer.received:,}", _small(f"{peer.accepted:,} accepted")),
        _cell("Refused", f"{sum(peer.refused.values()):,}", _small(*refused)),
        _cell("Advertised", len(peer.advertised), _small(f"MED {', '.join(map(str, meds))}" if meds else "")),
        _cell("Up", span(peer.uptime_seconds) if is_up else NOTHING),
        cls=mood,
    )


def prefixes(view: View) -> Html:
    """What was learned, with the reason of each decision; and the full story of what was asked for by name."""
    query = view.query.strip()
    found = find(query, (view.page - 1) * PAGE_ROWS, PAGE_ROWS, view.world, view.desired)
    tunnels_of = {peer.ref.name: peer.tunnel for peer in view.report.peers}
    rows = [_prefix(row, tunnels_of) for row in found.rows]
    nothing = f"nothing matches {query!r}" if query else "nothing is learned"
    return _section(
        "Prefixes",
        "prefixes",
        _search(query),
        _story(query, view),
        tag("p", _amount(found, query), cls="soft found"),
        _table(("Prefix", "State", "Through", "Why"), rows, nothing),
        _pages(found, view.page, query),
    )


def _search(query: str) -> Html:
    return tag(
        "form",
        tag("label", "Find, or ask why", for_="q"),
        tag(
            "input",
            type="search",
            name="q",
            id="q",
            value=query,
            maxlength=QUERY_CHARACTERS,
            placeholder="10.128.0.7, 10.0.0.0/8, refused, a tunnel, a peer",
            autocomplete="off",
            spellcheck="false",
        ),
        tag("button", "Find", type="submit"),
        tag("a", "Clear", href="/#prefixes") if query else None,
        method="get",
        action="/#prefixes",
        role="search",
    )


def _story(query: str, view: View) -> Html | None:
    lines = explain(query, view.world, view.desired) if query else None
    if not lines:
        return None
    return tag("div", tag("h3", lines[0]), *(tag("p", line.strip()) for line in lines[1:]), cls="story", role="note")


def _amount(found: Found, query: str) -> str:
    known = count(found.known, "prefix", "prefixes")
    text = f"{found.matching:,} of {known}" if query else f"{known} known"
    more = "; there are too many to look through all: name a prefix or an address" if found.is_partial else ""
    return text + more


def _prefix(row: PrefixRow, tunnels_of: dict[str, str]) -> Html:
    through = [tag("span", short(tunnels_of.get(peer) or peer)) for peer in row.carriers[:MOST_CARRIERS]]
    if len(row.carriers) > MOST_CARRIERS:
        through.append(tag("span", f"and {len(row.carriers) - MOST_CARRIERS} more"))
    return tag(
        "tr",
        _cell("Prefix", tag("a", row.prefix, href=asking(row.prefix), cls="mono")),
        _cell("State", state(_STANDING_MOODS[row.standing], str(row.standing))),
        _cell("Through", tag("span", *through, cls="list") if through else NOTHING),
        _cell("Why", tag("span", row.why, cls="soft")),
    )


def _pages(found: Found, page: int, query: str) -> Html | None:
    last = -(-found.matching // PAGE_ROWS)
    if last <= 1:
        return None
    before = tag("a", "← before", href=asking(query, page - 1), rel="prev") if page > 1 else None
    after = tag("a", "next →", href=asking(query, page + 1), rel="next") if page < last else None
    return tag("nav", before, tag("span", f"page {page} of {last}"), after, aria_label="Pages of prefixes", cls="pages")


def exports(view: View) -> Html | None:
    """Our networks, and why the cloud is told of them, or not."""
    told = view.report.exports
    if not told:
        return None
    ordered = sorted(told, key=lambda row: row.is_told)
    rows = [
        tag(
            "li",
            state(Mood.GOOD if row.is_told else Mood.WARN, tag("span", row.prefix, cls="mono")),
            _small(f"{'' if row.is_told else 'not told: '}{row.reason}: {row.message}"),
        )
        for row in ordered[:MOST_ROWS]
    ]
    more = f"and {len(told) - MOST_ROWS} more" if len(told) > MOST_ROWS else ""
    parts: list[Part] = [tag("ul", *rows), tag("p", more, cls="soft") if more else None]
    return _section("Told to the cloud", "exports", *parts)


def _section(title: str, name: str, *parts: Part) -> Html:
    return tag("section", tag("h2", title, id=f"{name}-title"), *parts, id=name, aria_labelledby=f"{name}-title")


def _table(head: Iterable[str], rows: Sequence[Html], nothing: str) -> Html:
    if not rows:
        return tag("p", nothing, cls="soft")
    header = tag("thead", tag("tr", *(tag("th", title, scope="col") for title in head)))
    return tag("table", header, tag("tbody", *rows))


def _cell(title: str, *parts: Part) -> Html:
    """``title`` is shown beside the cell where the table is a list: on a phone."""
    return tag("td", *parts, data_title=title)


def _small(*parts: Part) -> Html | None:
    return tag("small", *parts) if any(parts) else None
