"""A BGP session, from the first TCP segment to what was accepted."""

from collections.abc import Iterator
from ipaddress import IPv4Address

from ncgd.decision.desired import SPEAKER
from ncgd.decision.diagnosis.step import Scene, Step, Taken, fine, found, wrong
from ncgd.model.look import Heard, Knock, KnockAnswer, Walk, seen
from ncgd.model.reason import Cause, Refusal, SessionReason
from ncgd.model.report import PeerReport, Problem
from ncgd.model.spec import Peer

BGP_PORT = 179
_BAD_PEER_AS = "NOTIFICATION 2/2"
"""RFC 4271 section 6.2: OPEN Message Error, Bad Peer AS."""


def session_steps(name: str, scene: Scene) -> Iterator[Taken]:
    """The steps of one session, once its tunnel is fine."""
    row = next((each for each in scene.report.peers if each.ref.name == name), None)
    peer = scene.intent.peers.get(name)
    if row is None or peer is None:
        return
    yield _established(peer, row, scene)
    yield _received(row, scene)
    yield _accepted(row, scene)


def _established(peer: Peer, row: PeerReport, scene: Scene) -> Walk[Step]:
    name = peer.name
    if row.reason == SessionReason.ESTABLISHED:
        return fine("BGP session", name, f"{row.message} for {row.uptime_seconds} s")
    about = str(peer.ref)
    problem = scene.told("SessionDown", about=about) or Problem(reason=row.reason, object=about, message=row.message)
    if row.reason == SessionReason.SPEAKER_DOWN:
        problem = scene.told(about=SPEAKER) or problem
    said = scene.world.session(name).reason
    if _BAD_PEER_AS in said:
        return wrong(
            "BGP session",
            name,
            str(Cause.ASN_MISMATCH),
            f"{said}; here localASN is {peer.local_asn} and peerASN {peer.peer_asn}",
            "compare both with the Cloud Router's: its peer's ASN is our localASN, its own our peerASN",
        )
    plan = scene.desired.tunnels.get(peer.tunnel or "")
    ends = peer.local_ip, peer.peer_ip
    is_tried = row.reason in {SessionReason.CONNECTING, SessionReason.GRACEFUL}
    if not is_tried or plan is None or plan.interface is None:
        return found("BGP session", name, problem)
    match ends:
        case IPv4Address() as local, IPv4Address() as remote:
            knock = Knock(interface=plan.interface, local=local, remote=remote, port=BGP_PORT)
            return _judged(peer, knock, (yield from seen(knock)), problem)
    return found("BGP session", name, problem)


def _judged(peer: Peer, knock: Knock, answer: KnockAnswer, problem: Problem) -> Step:
    name, local, remote = peer.name, knock.local, knock.remote
    if answer.is_signed:
        return wrong(
            "BGP session",
            name,
            str(Cause.BGP_SIGNED),
            f"{remote} signs its TCP segments (RFC 2385): it expects a password, and drops what is not signed",
            "take the MD5 key off the peer's session: ncgd uses none, since the tunnel authenticates already",
        )
    if answer.failure or answer.heard == Heard.OPEN:
        said = answer.failure or f"TCP {BGP_PORT} answers there"
        return found("BGP session", name, problem, said)
    if answer.heard == Heard.REFUSED:
        return wrong(
            "BGP session",
            name,
            str(Cause.BGP_REFUSED),
            f"{remote} refuses TCP {BGP_PORT}: no BGP speaker listens there, or not for {local}",
            f"have a peer with address {local} and AS {peer.local_asn} on the Cloud Router's interface, and enabled",
        )
    return wrong(
        "BGP session",
        name,
        str(Cause.BGP_SILENT),
        f"{remote} does not answer on TCP {BGP_PORT}, though packets pass the tunnel",
        f"a firewall drops TCP {BGP_PORT} between {local} and {remote}, here or there; or the peer expects an MD5 key, "
        "which ncgd does not use: take it off there",
    )


def _received(row: PeerReport, scene: Scene) -> Step:
    name = row.ref.name
    if problem := scene.told("NothingReceived", about=str(row.ref)):
        return found("BGP received", name, problem)
    prefixes = "1 prefix" if row.received == 1 else f"{row.received} prefixes"
    return fine("BGP received", name, prefixes if row.received else "nothing so far; the session is young")


def _accepted(row: PeerReport, scene: Scene) -> Step:
    name = row.ref.name
    if problem := scene.told(*Refusal, about=str(row.ref)):
        return found("BGP accepted", name, problem, f"{row.accepted} of {row.received} are accepted")
    return fine("BGP accepted", name, f"all {row.accepted}; {len(row.advertised)} advertised")
