"""What is wrong with tunnels that carry traffic all the same: SAs that cannot be renewed, or are not as asked for."""

from collections.abc import Iterator

from ncgd.decision.desired import Desired
from ncgd.decision.tunnels import TunnelPlan, is_orphan
from ncgd.decision.world import World
from ncgd.model.ike import SaState, TunnelSa
from ncgd.model.reason import Cause
from ncgd.model.report import Problem

IKE_HINTS: dict[str, str] = {
    "AuthenticationFailed": "the keys differ (mind a trailing newline), or the peer expects another identity: "
    "it must be spec.self.publicIP",
    "PskMismatch": "have both ends hold the same key; mind a trailing newline",
    "NoProposalChosen": "compare spec.ike.ikeProposals and espProposals with what the peer accepts",
    "PeerUnreachable": "nothing comes back on UDP 500 or 4500: a firewall, a wrong peer.publicIP, or one-to-many NAT",
    "IdentityMismatch": "the peer presents another identity than its public address",
    "TsUnacceptable": "the peer does not accept 0.0.0.0/0 traffic selectors: it must be a route-based tunnel",
}
"""To what charon said of a negotiation that failed."""
EVERYTHING = frozenset({"0.0.0.0/0", "::/0"})
_WIDE = "have the far end be route-based, with 0.0.0.0/0 on both sides; routes decide what goes there"


def sa_problems(world: World, desired: Desired) -> Iterator[Problem]:
    """Tunnels whose SAs are installed, and not as they should be."""
    for name, plan in desired.tunnels.items():
        about = str(plan.tunnel.ref)
        if is_orphan(plan, world):
            yield Problem(
                reason="SaOrphaned",
                object=about,
                message="the kernel carries on with SAs of an IKE daemon that has died, without rekeying",
                hint="ncgd renews them, one tunnel after the other, while another one carries the traffic",
            )
        sa = world.sa(name)
        if sa is None or sa.state != SaState.INSTALLED:
            continue
        if narrowed := [each for each in sa.selectors if each not in EVERYTHING]:
            yield Problem(
                reason=str(Cause.TS_NARROWED),
                object=about,
                message=f"the peer lets no more through than {', '.join(narrowed)}",
                hint=_WIDE,
            )
        yield from _of_renewal(plan, sa, world)


def _of_renewal(plan: TunnelPlan, sa: TunnelSa, world: World) -> Iterator[Problem]:
    """An older configuration that goes on because the new one does not come up; keys that cannot be followed by new."""
    name = plan.tunnel.name
    about = str(plan.tunnel.ref)
    failure = world.ike_failures.get(name)
    if failure and sa.digest != plan.connection.digest:
        yield Problem(
            reason=failure.reason,
            object=about,
            message=f"still runs on its old configuration, the new one fails: {failure.message}",
            hint=IKE_HINTS.get(failure.reason, ""),
        )
    elif rekey := world.rekey_failures.get(name):
        is_pfs = rekey.failure.reason == "NoProposalChosen"
        yield Problem(
            reason=str(Cause.PFS_MISMATCH) if is_pfs else rekey.failure.reason,
            object=about,
            message=f"its keys cannot be renewed: {rekey.failure.message}",
            hint="the first keys of a tunnel need no DH group of their own, later ones do (RFC 7296 section 1.3.1): "
            "have the last part of espProposals be a group that the peer takes for perfect forward secrecy, or none "
            "if it wants none; when the keys run out, the tunnel is set up anew"
            if is_pfs
            else IKE_HINTS.get(rekey.failure.reason, ""),
        )
