"""A tunnel, from the way out to what comes back."""

from collections.abc import Iterator

from ncgd.decision.diagnosis.step import Scene, Step, Taken, fine, found, wrong
from ncgd.decision.sa_problems import IKE_HINTS
from ncgd.decision.sessions import watch_text
from ncgd.decision.tunnels import TunnelPlan, tunnel_state
from ncgd.model.ike import SaState, TunnelSa
from ncgd.model.look import IkeReach, Walk, seen
from ncgd.model.prefix import IPAddress
from ncgd.model.reason import Cause, TunnelReason
from ncgd.model.report import Problem

_WAY_OUT = frozenset(
    {
        TunnelReason.NO_CHARON,
        TunnelReason.NO_BIND_ADDRESS,
        TunnelReason.ADDRESS_IN_USE,
        TunnelReason.NO_INTERFACE,
        TunnelReason.INTERFACE_DOWN,
        TunnelReason.UPLINK_DOWN,
    }
)
"""What there has to be before the peer is asked."""
_OF_KEYS = (Cause.TS_NARROWED, Cause.PFS_MISMATCH, "SaOrphaned", *IKE_HINTS)
_IKE, _NAT = 500, 4500
_ANSWERED, _SILENT = "answered", "silent"
_SOME_PACKETS = 3
_SOME_SECONDS = 5


def tunnel_steps(name: str, scene: Scene) -> Iterator[Taken]:
    """The steps of one tunnel; each tells what is wrong only if those before it are fine."""
    plan = scene.desired.tunnels.get(name)
    if plan is None:
        yield _not_attempted(name, scene)
        return
    yield _way_out(plan, scene)
    yield _ike(plan, scene)
    yield _keys(plan, scene)
    yield _data_path(plan, scene)
    yield _whole(plan, scene)


def _not_attempted(name: str, scene: Scene) -> Step:
    row = next((each for each in scene.report.tunnels if each.ref.name == name), None)
    reason, why = (row.reason, row.message) if row else (str(TunnelReason.NOT_ACTIVE), scene.world.role.message)
    return wrong("tunnel", name, reason, f"it is not attempted: {why}", "ask on the gateway's node")


def _way_out(plan: TunnelPlan, scene: Scene) -> Step:
    _, reason, message = tunnel_state(plan, scene.world)
    about = str(plan.tunnel.ref)
    problem = scene.told(*_WAY_OUT, about=about)
    if problem is None and reason in _WAY_OUT:
        problem = scene.told(about=plan.charon.name) or Problem(reason=str(reason), object=about, message=message)
    if problem:
        return found("way out", plan.tunnel.name, problem)
    return fine("way out", plan.tunnel.name, f"interface {plan.interface} is up, and so is {plan.charon.name}")


def _ike(plan: TunnelPlan, scene: Scene) -> Walk[Step]:
    name, tunnel = plan.tunnel.name, plan.tunnel
    _, reason, message = tunnel_state(plan, scene.world)
    sa = scene.world.sa(name)
    if reason not in {TunnelReason.CONNECTING, TunnelReason.SA_DOWN}:
        return fine("IKE", name, sa.ike_text if sa and sa.ike_text else message)
    problem = scene.told(about=str(tunnel.ref)) or Problem(reason=reason, object=str(tunnel.ref), message=message)
    match problem.reason:
        case "PeerUnreachable":
            return (yield from _unreachable(plan, sa, problem))
        case "AuthenticationFailed":
            return found("IKE", name, problem, _presented(plan, scene))
        case "NoProposalChosen":
            ours = f"ours are {', '.join(tunnel.ike.ike_proposals)} for IKE and {', '.join(tunnel.ike.esp_proposals)}"
            return found("IKE", name, problem, f"{ours} for ESP")
    return found("IKE", name, problem)


def _unreachable(plan: TunnelPlan, sa: TunnelSa | None, problem: Problem) -> Walk[Step]:
    """Ask the peer from a fresh port, which no state of either end is in the way of."""
    name, peer = plan.tunnel.name, plan.tunnel.remote_address
    deaf, told = yield from _asked(peer)
    if not deaf and sa is not None and sa.state == SaState.CONNECTING and sa.ike_id in sa.answered_ike_ids:
        deaf = [_NAT]  # it answered the first message, which goes to 500, and not the second
    if len(deaf) == 1:
        return wrong(
            "IKE",
            name,
            str(Cause.UDP_BLOCKED),
            f"{peer} answers, but not on UDP {deaf[0]} ({told})",
            f"something on the way drops UDP {deaf[0]}: allow it in both directions, here and at the far end",
        )
    return found("IKE", name, problem, f"asked just now: {told}")


def _asked(peer: IPAddress) -> Walk[tuple[list[int], str]]:
    """Ports on which no IKE answers there, and what came of each."""
    answers = yield from seen(IkeReach(peer))
    deaf = [port for port in (_IKE, _NAT) if answers.get(port) != _ANSWERED]
    return deaf, ", ".join(f"UDP {port}: {answers.get(port, _SILENT)}" for port in (_IKE, _NAT))


def _presented(plan: TunnelPlan, scene: Scene) -> str:
    """What the peer was shown, and who is accepted with the same."""
    connection, key = plan.connection, plan.tunnel.psk
    text = f"we say to be {connection.local_id}, with the key of Secret {key.namespace}/{key.name}"
    up = [
        other
        for name, other in scene.desired.tunnels.items()
        if name != plan.tunnel.name and (sa := scene.world.sa(name)) and sa.state == SaState.INSTALLED
    ]
    if same := [each for each in up if each.connection.local_id == connection.local_id]:
        also = ", and with the key that this Secret held then" if same[0].tunnel.psk == key else ", and another key"
        text += f"; {same[0].tunnel.name} came up with the same identity{also}"
    return text


def _keys(plan: TunnelPlan, scene: Scene) -> Step:
    """What was negotiated, where packets pass all the same."""
    name = plan.tunnel.name
    _, reason, _ = tunnel_state(plan, scene.world)
    sa = scene.world.sa(name)
    if problem := scene.told(*_OF_KEYS, about=str(plan.tunnel.ref)):
        return found("ESP keys", name, problem)
    return fine("ESP keys", name, sa.child_text if sa and sa.child_text else str(reason))


def _data_path(plan: TunnelPlan, scene: Scene) -> Walk[Step]:
    name, about = plan.tunnel.name, str(plan.tunnel.ref)
    sa = scene.world.sa(name) or TunnelSa(tunnel=name, state=SaState.DOWN)
    packets = f"since its keys {sa.packets_out} packets went in, {sa.packets_in} came out"
    if problem := scene.told(TunnelReason.PATH_DEAD, about=about):
        _, told = yield from _asked(plan.tunnel.remote_address)
        common = scene.told("NothingAnswers", about=str(scene.intent.gateway.ref))
        return found("data path", name, common or problem, f"{packets}; asked just now: {told}")
    is_mute = sa.packets_out >= _SOME_PACKETS and not sa.packets_in and sa.child_seconds >= _SOME_SECONDS
    if is_mute:
        return wrong(
            "data path",
            name,
            str(TunnelReason.PATH_DEAD),
            f"IKE is up, but nothing has ever come out of the tunnel: {packets}",
            f"ESP is dropped on the way (UDP {_NAT} behind NAT, else protocol 50), or the far end sends nothing back",
        )
    plans = scene.desired.tunnels
    return fine("data path", name, f"{watch_text(plans[name], scene.intent, scene.world)}; {packets}")


def _whole(plan: TunnelPlan, scene: Scene) -> Step:
    name = plan.tunnel.name
    if problem := scene.told("LargePacketsLost", "DataPathLossy", about=str(plan.tunnel.ref)):
        return found("MTU and loss", name, problem)
    probe = scene.world.probes.get(name)
    large = "packets as large as it pass" if probe and probe.large_lost == 0 else "nobody has answered one as large"
    mtu = plan.link.mtu if plan.link else 0
    return fine("MTU and loss", name, f"MTU {mtu}; {large}")
