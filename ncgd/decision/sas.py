"""SAs: when to initiate, when to terminate. Initiation is ours alone; charon heals what it can by itself."""

from ncgd.decision.desired import Desired
from ncgd.decision.failover import lost_at
from ncgd.decision.renewal import PATIENCE_SECONDS, is_drained
from ncgd.decision.sessions import vitality
from ncgd.decision.world import World
from ncgd.model.delta import Delta
from ncgd.model.ike import Connection, Repair, SaState, StaleSa, TunnelSa
from ncgd.model.probe import Pulse

REPAIR_AFTER_SECONDS = 1.0
"""How long a data path is dead, and its IKE SA old, before a new one is tried: most that fails comes back sooner."""
AUTHENTICATION_SECONDS = 10.0
"""charon tries anew after 9 s of silence: an attempt that is answered and not up by then is not about to be."""


def plan_sas(world: World, desired: Desired) -> Delta[object, object]:
    """Initiate what should be up and is not; terminate what is no longer wanted.

    An SA made from an older configuration (another digest) is replaced make before break: the new one is initiated
    beside it, and the old one is terminated once the new one is installed. What carries traffic is emptied before.
    """
    initiate: dict[object, object] = {}
    terminate: set[object] = set()
    not_yet = _not_yet(world, desired)
    for name, plan in desired.tunnels.items():
        sa = world.sa(name)
        charon = world.charons.get(plan.charon.name)
        if charon is None or not charon.is_read or not charon.is_up or plan.obstacle:
            continue
        if world.written.get("connections", {}).get(name) != plan.connection:
            continue
        if world.written.get("credentials", {}).get(name) != plan.credential:
            continue
        if plan.interface not in (world.interfaces or {}) and plan.connection.if_id is not None:
            continue
        if _is_due(name, plan.connection, sa, world) and name not in not_yet:
            initiate[name] = plan.connection
        elif sa is not None and world.role.may_initiate and _needs_repair(sa, plan.connection, world):
            initiate[Repair(tunnel=name)] = plan.connection
        if sa is not None:
            terminate |= _superfluous(sa, plan.connection, plan.charon.name, world)
    for charon_name, view in world.charons.items():
        for name, sa in view.sas.items():
            wanted = desired.tunnels.get(name)
            if view.is_up and (wanted is None or wanted.charon.name != charon_name):
                terminate |= {
                    StaleSa(charon=charon_name, ike_id=ike_id) for ike_id in (sa.ike_id, *sa.stale_ike_ids) if ike_id
                }
    waiting = {key for (table, key), retry in world.retries.items() if table == "sas" and retry.due > world.now}
    return Delta(set=initiate, remove=frozenset(terminate - waiting))


def _not_yet(world: World, desired: Desired) -> set[str | None]:
    """While a tunnel is renewed, the others that carry wait for their turn, and it waits until it is empty.

    The last that carries waits for another that may carry again in a moment. Once the Lease has run out, all wait.
    """
    if not world.role.may_initiate or not desired.tunnels:
        return set(desired.tunnels)
    peers, able = world.intent.peers if world.intent else {}, desired.carriers
    carrying = {peers[name].tunnel for name in able.trusted}
    if desired.renewing is None:
        others = [lost_at(name, world) for name in able.recovering | able.doubtful]
        return carrying if any(world.now - moment < PATIENCE_SECONDS for moment in others) else set()
    is_empty = is_drained(desired.renewing, world, desired.tables, able)
    return carrying if is_empty else carrying | {desired.renewing}


def _is_due(name: str, connection: Connection, sa: TunnelSa | None, world: World) -> bool:
    retry = world.retries.get(("sas", name))
    waits = retry is not None and retry.due > world.now and retry.row == connection
    if waits:
        return False
    if sa is None or sa.state == SaState.DOWN:
        return True
    if sa.state == SaState.INSTALLED and sa.digest == connection.digest:
        return False
    if not _attempt(sa):
        return True
    # Under way: charon keeps trying by itself (keyingtries = 0), but maybe an older configuration than ours.
    return sa.digest != connection.digest if retry is None else retry.row != connection


def _needs_repair(sa: TunnelSa, connection: Connection, world: World) -> bool:
    """Whether a tunnel whose data path is dead gets a new IKE SA, although charon takes the old one for good.

    The peer may have lost its state without a word; charon's dead peer detection takes some 20 s to find that out. The
    new one is negotiated beside the old one, which goes once the new one is installed.
    """
    path = vitality(sa.tunnel, world)
    is_old = sa.established_seconds > REPAIR_AFTER_SECONDS and world.now - path.since >= REPAIR_AFTER_SECONDS
    if path.pulse != Pulse.DEAD or not is_old or sa.pending_ike_id:
        return False
    if sa.state != SaState.INSTALLED or sa.digest != connection.digest:
        return False
    retry = world.retries.get(("sas", Repair(tunnel=sa.tunnel)))
    return retry is None or retry.due <= world.now


def repair_text(tunnel: str, world: World) -> str:
    """What is done about a dead data path, for people; empty when nothing is, or not yet."""
    retry = world.retries.get(("sas", Repair(tunnel=tunnel)))
    if retry is None:
        return ""
    sa, failure = world.sa(tunnel), world.ike_failures.get(tunnel)
    if sa is not None and sa.pending_ike_id:
        return "; repairing: a new IKE SA is being negotiated" + (f": {failure.message}" if failure else "")
    left = max(0.0, retry.due - world.now)
    return f"; repairing: new IKE SA ({retry.attempts} so far, the next in {left:.0f} s if needed)"


def _attempt(sa: TunnelSa) -> str:
    """Id of the IKE SA that is being negotiated; empty when there is none."""
    return sa.ike_id if sa.state == SaState.CONNECTING else sa.pending_ike_id


def _superfluous(sa: TunnelSa, connection: Connection, charon: str, world: World) -> set[object]:
    """The IKE SAs of a wanted tunnel to end.

    An attempt that the peer has answered is given time to come up, and is ended then: charon breaks attempts off
    without a word, and a peer that has authenticated one keeps it until its dead peer detection.
    """
    if sa.pending_ike_id and not world.role.may_initiate:  # the peer would take the new one, and forget the old one
        return {StaleSa(charon=charon, ike_id=sa.pending_ike_id)}
    asked = world.retries.get(("sas", sa.tunnel))
    is_current = sa.state == SaState.INSTALLED and sa.digest == connection.digest
    is_unwanted = (
        asked is not None and asked.row != connection if is_current else _is_due(sa.tunnel, connection, sa, world)
    )
    ending = {_attempt(sa)} if is_unwanted else set()
    if is_current or sa.state == SaState.CONNECTING:
        ending |= set(sa.stale_ike_ids)
    since = world.charons[charon].answered
    spared = {each for each in sa.answered_ike_ids if world.now - since.get(each, world.now) < AUTHENTICATION_SECONDS}
    return {StaleSa(charon=charon, ike_id=ike_id) for ike_id in ending - spared - {""}}
