"""How events are counted. What an earlier ncgd has seen is not counted again: counters begin with this one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from ncgd.decision.desired import SPEAKER
from ncgd.decision.world import World
from ncgd.model import event as ev
from ncgd.model.ike import SaState, Traffic, TunnelSa
from ncgd.model.tally import Negotiation, Setback, Tally, TunnelTally

K = TypeVar("K")

CHARON = "charon"
"""Stands for all IKE daemons."""
REMEMBERED_CHILDREN = 8
"""Of those that a tunnel had before."""


def counted(world: World, event: ev.Event) -> Tally:
    """The tally after one event; ``world`` is as it was before."""
    tally = world.tally
    match event:
        case ev.SasRead(charon=charon, sas=sas):
            view = world.charons.get(charon)
            known = {name: each for name, each in tally.tunnels.items() if _is_known(name, world)}
            before = view.sas if view and view.was_read else None
            return replace(tally, tunnels=known | dict(_read(sas, before, tally.tunnels)))
        case ev.TableWritten(table=table, outcome=outcome):
            return replace(tally, refused_rows=_more(tally.refused_rows, table, len(outcome.failed)))
        case ev.RoutesWritten(outcome=outcome):
            return replace(tally, refused_rows=_more(tally.refused_rows, "routes", len(outcome.failed)))
        case ev.CharonLost(charon=charon):
            was_up = charon in world.charons and world.charons[charon].is_up
            return _set_back(tally, CHARON, Setback.UNREACHABLE) if was_up else tally
        case ev.SpeakerLost():
            return _set_back(tally, SPEAKER, Setback.UNREACHABLE) if world.speaker.is_up else tally
        case ev.ProcessChanged(name=name, is_running=False, reason=reason) if reason:
            return _set_back(tally, SPEAKER if name == SPEAKER else CHARON, Setback.ENDED)
        case _:
            return tally


def _is_known(tunnel: str, world: World) -> bool:
    return world.intent is None or tunnel in world.intent.tunnels


def _read(
    sas: Mapping[str, TunnelSa], before: Mapping[str, TunnelSa] | None, tallies: Mapping[str, TunnelTally]
) -> Iterator[tuple[str, TunnelTally]]:
    """The tallies of tunnels after their SAs were read; ``before`` is None when that charon is read for the first time.

    SAs that are there at the first reading are those of an earlier ncgd.
    """
    for name, sa in sas.items():
        tally = tallies.get(name, TunnelTally())
        if before is None:
            yield name, replace(tally, children=sa.children)
            continue
        fresh = (traffic.since(tally.children.get(child, Traffic())) for child, traffic in sa.children.items())
        negotiations = tally.negotiations
        for each in _negotiated(before.get(name), sa):
            negotiations = _more(negotiations, each, 1)
        carried = sum(fresh, tally.carried)
        yield name, replace(tally, carried=carried, children=_marks(tally, sa), negotiations=negotiations)


def _marks(tally: TunnelTally, sa: TunnelSa) -> Mapping[str, Traffic]:
    """Also of children that were not listed now: one that is handed over just then may be listed again."""
    others = {child: traffic for child, traffic in tally.children.items() if child not in sa.children}
    return {**dict([*others.items()][-REMEMBERED_CHILDREN:]), **sa.children}


def _negotiated(before: TunnelSa | None, now: TunnelSa) -> Iterator[Negotiation]:
    if now.state != SaState.INSTALLED:
        return
    if before is None or before.state != SaState.INSTALLED:
        yield Negotiation.NEW
        return
    # A rekeyed IKE SA hands its children over and goes; beside a new one the old one is there for a while.
    is_same = before.ike_id == now.ike_id
    is_heir = bool(before.children.keys() & now.children.keys()) and before.ike_id not in now.stale_ike_ids
    if not is_same:
        yield Negotiation.IKE_REKEY if is_heir else Negotiation.NEW
    if before.child_id != now.child_id and (is_same or is_heir):
        yield Negotiation.ESP_REKEY


def _set_back(tally: Tally, program: str, kind: Setback) -> Tally:
    return replace(tally, setbacks=_more(tally.setbacks, (program, kind), 1))


def _more(counts: Mapping[K, int], key: K, more: int) -> Mapping[K, int]:
    return {**counts, key: counts.get(key, 0) + more} if more else counts
