"""What a page is made from, and how good each thing in it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from ncgd.api.history import Track
from ncgd.api.page.markup import Html, Part, tag
from ncgd.api.page.words import Mood, shortened
from ncgd.api.server import STALLED_SECONDS
from ncgd.decision.desired import Desired
from ncgd.decision.timeline import Timeline
from ncgd.decision.world import World
from ncgd.model.reason import TunnelReason
from ncgd.model.report import Health, PeerReport, Report, TunnelReport

QUERY_CHARACTERS = 260
"""As long as a name can be."""
NAME_CHARACTERS = 28
"""Names may have 253 (Kubernetes, "Object Names and IDs"); their ends tell them apart more often than their middles."""
_HEALTH_MOODS = {
    Health.HEALTHY: Mood.GOOD,
    Health.DEGRADED: Mood.WARN,
    Health.DOWN: Mood.BAD,
    Health.STANDBY: Mood.IDLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One moment, as one reader asked for it."""

    report: Report
    world: World
    desired: Desired
    tracks: Mapping[str, Track] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)
    now: str
    """For people: RFC 3339, UTC."""
    age_seconds: float = 0.0
    """Of the last pass."""
    query: str = ""
    """What is looked for among the prefixes."""
    page: int = 1
    """Of the prefixes, from 1."""
    is_whole: bool = False
    """Show every tunnel, session and event, however many there are."""

    @property
    def is_stalled(self) -> bool:
        """Passes have ceased, so what is shown is old."""
        return self.age_seconds > STALLED_SECONDS

    @property
    def verdict(self) -> tuple[Mood, str]:
        """How it all is, and the word for it."""
        if self.is_stalled:
            return Mood.BAD, "Stalled"
        return _HEALTH_MOODS[self.report.health], str(self.report.health)

    @property
    def peers_by_tunnel(self) -> dict[str, list[PeerReport]]:
        """Sessions by the tunnel they run in; those of no tunnel under the empty name."""
        found: dict[str, list[PeerReport]] = {}
        for peer in self.report.peers:
            found.setdefault(peer.tunnel, []).append(peer)
        return found


_EXPLAINED = ("OverlayVPNTunnel/", "OverlayBGPPeer/")


def named(thing: str) -> tuple[Part, str]:
    """``OverlayBGPPeer/kube-system/peer-1`` as its name, which leads to why it is as it is, and its kind."""
    kind, _, name = thing.rpartition("/")
    return (asked(name) if thing.startswith(_EXPLAINED) else short(name)), kind.partition("/")[0]


def asked(name: str) -> Html:
    """A name that leads to why it is as it is."""
    return tag("a", short(name), href=asking(name))


def short(name: str) -> Part:
    """A name of at most NAME_CHARACTERS, the whole of it in its tooltip."""
    cut = shortened(name, NAME_CHARACTERS)
    return name if cut == name else tag("span", cut, title=name)


def asking(query: str, page: int = 1) -> str:
    """Where the page shows what matches, and why so."""
    fields = ({"q": query} if query else {}) | ({"page": str(page)} if page > 1 else {})
    return f"/?{urlencode(fields)}#prefixes"


def tunnel_mood(tunnel: TunnelReport) -> tuple[Mood, str]:
    """How good a tunnel is, and the word for it."""
    if tunnel.reason == TunnelReason.NOT_ACTIVE:
        return Mood.IDLE, "not here"
    if tunnel.reason == TunnelReason.RENEWING:
        return Mood.WARN, "renewing"
    if tunnel.is_usable:
        return Mood.GOOD, "carries traffic"
    return (Mood.WARN, "connecting") if tunnel.status == "connecting" else (Mood.BAD, "does not carry")


def session_mood(peer: PeerReport) -> Mood:
    """How good a session is; its status is the word."""
    if peer.reason == TunnelReason.NOT_ACTIVE:
        return Mood.IDLE
    return {"established": Mood.GOOD, "connecting": Mood.WARN}.get(peer.status, Mood.BAD)
