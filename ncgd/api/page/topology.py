"""The picture of a moment: on the gateway its tunnels between site and cloud, elsewhere the way to the gateway."""

import math
from collections.abc import Sequence

from ncgd.api.history import Track
from ncgd.api.page.drawing import LANES, Lane, Scene, Side, draw
from ncgd.api.page.markup import Html
from ncgd.api.page.view import View, session_mood, tunnel_mood
from ncgd.api.page.words import Mood, count, milliseconds, rate
from ncgd.decision.prefixes import first_prefixes
from ncgd.model.report import CrossingReport, PeerReport, TunnelReport

_LISTED = 3
_NOTHING = Track()


def topology(view: View) -> Html:
    """The drawing."""
    crossing = view.report.crossing
    return draw(_elsewhere(view, crossing) if crossing else _gateway(view))


def _gateway(view: View) -> Scene:
    report = view.report
    by_tunnel = view.peers_by_tunnel
    lanes = [_lane(tunnel, by_tunnel.get(tunnel.ref.name, ()), view) for tunnel in report.tunnels]
    drawn = sorted(lanes, key=lambda lane: lane.mood == Mood.GOOD)[:LANES] if len(lanes) > LANES else lanes
    carrying = sum(tunnel.is_usable for tunnel in report.tunnels)
    told = [each.prefix for each in report.exports if each.is_told]
    intent = view.world.intent
    peers = intent.peers.values() if intent else ()
    return Scene(
        here=Side(
            title="SITE",
            name=report.gateway.name,
            detail=_systems({peer.local_asn for peer in peers}),
            foot=f"{count(len(told), 'network')} told to the cloud",
            listed=_some(told, len(told)),
        ),
        there=Side(
            title="CLOUD",
            name="VPC",
            detail=_systems({peer.peer_asn for peer in peers}),
            foot=f"{count(len(view.world.rib.best), 'prefix', 'prefixes')} learned from it",
            listed=_some(first_prefixes(view.world, _LISTED), len(view.world.rib.best)),
        ),
        lanes=drawn,
        rest=_rest(lanes, drawn) if lanes else "no tunnel is configured",
        caption=f"Site {report.gateway.name}, cloud, and {count(len(lanes), 'tunnel')} between; "
        f"{carrying} of them {'carries' if carrying == 1 else 'carry'} traffic",
    )


def _lane(tunnel: TunnelReport, peers: Sequence[PeerReport], view: View) -> Lane:
    mood, word = tunnel_mood(tunnel)
    track = view.tracks.get(tunnel.ref.name, _NOTHING)
    probe = tunnel.probe
    passing = (track.rate_in or 0.0) + (track.rate_out or 0.0)
    answers = f"answers in {milliseconds(probe.rtt_seconds)}" if probe and probe.rtt_seconds is not None else word
    return Lane(
        name=tunnel.ref.name,
        mood=mood,
        width=_width(passing),
        is_flowing=tunnel.is_usable and passing > 0,
        above=answers if mood == Mood.GOOD else f"{word}: {tunnel.reason}",
        below=f"↑ {rate(track.rate_out)}   ↓ {rate(track.rate_in)}" if tunnel.status == "established" else "no SA",
        word=word,
        session=_session(peers),
        session_mood=max((session_mood(peer) for peer in peers), key=list(Mood).index, default=Mood.IDLE),
        here=tunnel.interface,
        there=tunnel.remote,
    )


def _session(peers: Sequence[PeerReport]) -> str:
    if not peers:
        return "no BGP session"
    if len(peers) == 1:
        (peer,) = peers
        prefixes = f", {count(peer.accepted, 'prefix', 'prefixes')}" if peer.status == "established" else ""
        return f"BGP {peer.status}{prefixes}"
    up = sum(peer.status == "established" for peer in peers)
    return f"BGP {up} of {len(peers)} established"


def _width(bytes_per_second: float) -> float:
    """Pixels: 3 for nothing, one more for each factor of 30 above 1 kB/s, 7 at most."""
    return round(min(7.0, 3.0 + max(0.0, math.log(max(bytes_per_second, 1.0) / 1000, 30) + 0.5)), 1)


def _rest(lanes: Sequence[Lane], drawn: Sequence[Lane]) -> str:
    if len(drawn) == len(lanes):
        return ""
    left = [lane for lane in lanes if lane not in drawn]
    bad = sum(lane.mood != Mood.GOOD for lane in left)
    return f"and {len(left)} more, {f'{bad} of which do not carry' if bad else 'all of which carry traffic'}"


def _some(texts: Sequence[str], known: int) -> tuple[str, ...]:
    if known <= _LISTED:
        return tuple(texts)
    return (*texts[: _LISTED - 1], f"and {known - _LISTED + 1} more")


def _systems(numbers: set[int]) -> str:
    return f"AS {', '.join(map(str, sorted(numbers)))}" if numbers else ""


def _elsewhere(view: View, crossing: CrossingReport) -> Scene:
    report, role = view.report, view.report.role
    works = crossing.transport != "none"
    prefixes = count(crossing.prefixes, "prefix", "prefixes")
    lane = Lane(
        name=crossing.transport if works else "no way",
        mood=Mood.GOOD if works else Mood.BAD,
        width=4.0,
        is_flowing=False,
        above=crossing.reason,
        below="to the gateway's node" if works else "packets for the cloud are held back",
        word=crossing.reason,
        session=f"{prefixes} told by the gateway",
        session_mood=Mood.IDLE,
        here="",
        there=str(role.holder_address or ""),
    )
    return Scene(
        here=Side(title="THIS NODE", name=report.node, detail=str(role.part), foot=""),
        there=Side(
            title="GATEWAY",
            name=role.holder or "none",
            detail=f"epoch {role.epoch}",
            foot="its tunnels lead to the cloud",
        ),
        lanes=[lane],
        rest="",
        caption=f"{report.node} sends to gateway {role.holder or 'nobody'}: {crossing.message}",
    )
