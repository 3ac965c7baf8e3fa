"""What there is to say of the way to the active gateway, and what to do about it."""

from collections import Counter
from collections.abc import Iterator

from ncgd.decision.crossing import GATEWAY, Crossing, ways_back
from ncgd.decision.world import World
from ncgd.model import prefix as px
from ncgd.model.reason import REFUSAL_TEXT, CrossingReason
from ncgd.model.report import CrossingReport, Problem
from ncgd.model.role import Part

_HINTS: dict[CrossingReason, str] = {
    CrossingReason.NO_GATEWAY: "label a node that can be it (networking.gke.io/ncgd-gateway), and see to its ncgd; "
    "until then packets for the VPC are held back",
    CrossingReason.NO_ADDRESS: "its Node object has no InternalIP; until then packets for the VPC are held back",
    CrossingReason.NO_ROUTE: "give this node a route to the other nodes; until then packets for the VPC are held back",
    CrossingReason.NOT_ON_LINK: "until then packets for the VPC are held back",
}
_SHOWN = 3


def report_crossing(world: World, crossing: Crossing) -> CrossingReport:
    """How this node sends to the gateway."""
    table = world.rib.peers.get(GATEWAY)
    return CrossingReport(
        transport=str(crossing.transport or "none"),
        reason=str(crossing.reason),
        message=crossing.message,
        prefixes=len(table.paths) if table else 0,
        refused={str(reason): count for reason, count in Counter(table.refused.values()).items()} if table else {},
    )


def problems_of_crossing(world: World, crossing: Crossing) -> Iterator[Problem]:
    """What is wrong with the way to the gateway, and with what it says is to be sent there; on the gateway, back."""
    if world.role.part == Part.ACTIVE:
        yield from _of_ways_back(world)
    if world.role.is_gateway or not world.role.is_decided:
        return
    if hint := _HINTS.get(crossing.reason):
        yield Problem(reason=str(crossing.reason), object="crossing", message=crossing.message, hint=hint)
    table = world.rib.peers.get(GATEWAY)
    if table is None:
        if world.packing.is_read and not world.packing.held:
            yield Problem(
                reason="NoSlices",
                object="crossing",
                message="no OverlayRouteSlice has been published, so nothing is known to be the VPC's",
                hint="see status and log of ncgd on the active gateway",
                is_error=False,
            )
        return
    if table.refused:
        first = sorted(table.refused, key=px.sort_key)[:_SHOWN]
        text = "; ".join(f"{px.text(prefix)}: {REFUSAL_TEXT[table.refused[prefix]]}" for prefix in first)
        more = f"; and {len(table.refused) - _SHOWN} more" if len(table.refused) > _SHOWN else ""
        yield Problem(
            reason="PrefixRefused",
            object="crossing",
            message=f"not sent to the gateway from this node: {text}{more}",
            hint="two networks cannot have the same addresses; renumber one, or refuse it in spec.importPolicy.deny",
            is_error=False,
        )
    address = crossing.address
    if address and any(px.version(prefix) != address.version for prefix in table.accepted):
        yield Problem(
            reason="NoWayForIPVersion",
            object="crossing",
            message=f"prefixes of the other IP version than {address} have no way to the gateway and are held back",
            hint=f"refuse IPv{10 - address.version} prefixes in spec.importPolicy, or have the gateway's node use it",
            is_error=False,
        )


def _of_ways_back(world: World) -> Iterator[Problem]:
    """Answers go to other nodes' pods as the CNI's routes say; the default route leads out of the cluster."""
    lost = []
    for address, pods in ways_back(world).items():
        way = world.ways.get(address)
        if address in world.ways and (way is None or way.length == 0):
            lost.append(f"{px.text(pods.prefix)} ({pods.owner})")
    if lost:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        yield Problem(
            reason="NoRouteToPods",
            object="crossing",
            message=f"this node has no route but a default one to the pods of {', '.join(lost[:_SHOWN])}{more}: what "
            "the VPC answers does not reach them, unless the network between the nodes routes the addresses of pods",
            hint="if they get no answer, see to the CNI: ncgd makes no routes between nodes",
            is_error=False,
        )
