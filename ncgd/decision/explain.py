"""Why is it so? For a prefix, a tunnel or a peer: the facts and the reasons, as lines for a person."""

from collections.abc import Callable

from ncgd.decision.desired import Desired
from ncgd.decision.export import exported, exports
from ncgd.decision.problems import shadow_text
from ncgd.decision.routes import active_tier
from ncgd.decision.sessions import advertised_meds, session_reason, watch_text
from ncgd.decision.tunnels import tunnel_state
from ncgd.decision.world import World
from ncgd.model import prefix as px
from ncgd.model.prefix import Prefix
from ncgd.model.reason import REFUSAL_TEXT, Refusal
from ncgd.model.spec import Intent

_SHOWN = 20
"""Refused prefixes listed per peer; the rest is counted."""


def explain(what: str, world: World, desired: Desired) -> list[str] | None:
    """The explanation of a tunnel, a peer, or a prefix or address; None when it is none of these."""
    intent = world.intent or Intent()
    if what in intent.tunnels:
        return _tunnel(what, world, desired, intent)
    if what in intent.peers:
        return _peer(what, world, desired, intent)
    try:
        asked = px.parse(what)
    except ValueError:
        return None
    return _prefix(asked, world, desired)


def _tunnel(name: str, world: World, desired: Desired, intent: Intent) -> list[str]:
    tunnel = intent.tunnels[name]
    lines = [f"tunnel {name}: {tunnel.public_address} (us) to {tunnel.remote_address}"]
    plan = desired.tunnels.get(name)
    if plan is None:
        why = desired.dataplane.reason if world.role.is_gateway and world.role.may_initiate else world.role.message
        return [*lines, f"  not attempted: {why}"]
    passes, reason, message = tunnel_state(plan, world)
    lines.append(f"  {reason}: {message}")
    sa = world.sa(name)
    if sa and sa.ike_text:
        lines.append(f"  IKE: {sa.ike_text}")
        lines.append(f"  child: {sa.child_text}")
    if failure := world.ike_failures.get(name):
        lines.append(f"  last failure: {failure.reason}: {failure.message}")
    lines.append(f"  data path: {watch_text(plan, intent, world) if passes else 'nothing can pass now'}")
    if plan.link:
        lines.append(f"  interface {plan.link.name}, MTU {plan.link.mtu} for {', '.join(tunnel.ike.esp_proposals)}")
    if retry := world.retries.get(("sas", name)):
        left = max(0.0, retry.due - world.now)
        lines.append(f"  attempts to initiate it: {retry.attempts}; the next in {left:.0f} s if needed")
    for peer in intent.peers.values():
        if peer.tunnel == name:
            code, text = session_reason(peer, world, desired.tunnels)
            lines.append(f"  session {peer.name}: {code}: {text}")
    return lines


def _peer(name: str, world: World, desired: Desired, intent: Intent) -> list[str]:
    peer = intent.peers[name]
    code, text = session_reason(peer, world, desired.tunnels)
    lines = [
        f"peer {name}: {peer.local_ip} AS {peer.local_asn} to {peer.peer_ip} AS {peer.peer_asn}",
        f"  {code}: {text}",
    ]
    med = advertised_meds(intent, desired.lost)[name]
    told = px.texts(exported(intent, world.own, peer))
    nothing = "nothing (spec.advertisedPrefixes, spec.export, exportPolicy)"
    lines.append(f"  advertised with MED {med}: {', '.join(told) or nothing}")
    table = world.rib.peers.get(name)
    if table is None:
        return [*lines, "  received: nothing yet"]
    stale = f", {len(table.stale)} kept from before the session went down" if table.stale else ""
    lines.append(f"  received {len(table.paths)}, accepted {len(table.accepted)}, refused {len(table.refused)}{stale}")
    for prefix in sorted(table.refused, key=px.sort_key)[:_SHOWN]:
        refusal = table.refused[prefix]
        lines.append(f"  refused {px.text(prefix)}: {refusal}: {REFUSAL_TEXT[refusal]}")
    if len(table.refused) > _SHOWN:
        lines.append(f"  … and {len(table.refused) - _SHOWN} more")
    return lines


def _prefix(asked: Prefix, world: World, desired: Desired) -> list[str]:
    prefix = _longest_match(asked, world)
    if prefix is None:
        refused = _longest_known(asked, world)
        lines = [f"{px.text(asked)}: not routed by ncgd; no accepted path covers it"]
        lines += [
            f"  ours: {row.prefix}: {'advertised' if row.is_told else 'NOT advertised'}: {row.reason}: {row.message}"
            for row in exports(world.intent or Intent(), world.own)
            if px.covers(px.parse(row.prefix), asked)
        ]
        if refused is not None:
            lines += _paths(refused, world)
        return [*lines, *_remembered(asked, world)]
    lines = [px.text(prefix)] if prefix == asked else [f"{px.text(asked)} is covered by {px.text(prefix)}"]
    lines += _paths(prefix, world)
    ranking = world.rib.best.get(prefix)
    if ranking:
        order = ", then ".join(" and ".join(tier) for tier in ranking)
        lines.append(f"  preference (RFC 4271 section 9.1): {order}")
        active = active_tier(ranking, desired.carriers)
        group = world.routes.desired.get(prefix)
        if active:
            lines.append(f"  forwards through {' and '.join(active)} (nexthop group {group})")
        else:
            lines.append(f"  dropped: none of them is usable now; a blackhole keeps it from leaking (group {group})")
    if shadow := world.routes.shadows.get(prefix):
        lines.append(f"  NOT used: {shadow_text(shadow)}")
    if prefix in world.protection.guard.held:
        lines.append("  guarded: it leaves by a tunnel or not at all")
    if world.routes.installed.get(prefix) == world.routes.desired.get(prefix):
        lines.append("  installed in the kernel")
    elif prefix in world.routes.failed:
        lines.append(f"  NOT installed: {world.routes.failed[prefix]}")
    else:
        lines.append("  not installed yet")
    return lines


def _remembered(asked: Prefix, world: World) -> list[str]:
    """What an earlier run has left to say of a prefix that no peer has spoken of."""
    protection = world.protection
    prefix = _covering(asked, lambda prefix: prefix in protection.memory)
    if prefix is None:
        return []
    peers = world.intent.peers.keys() if world.intent else set[str]()
    waits = ", ".join(sorted(peers - world.synced)) or "its resources"
    line = f"  {px.text(prefix)} was learned through a tunnel before ncgd started; waits for {waits} to send all it has"
    if prefix in protection.remembered:
        return [line, "  guarded: until then it leaves by a tunnel or not at all"]
    return [line, "  not guarded: the import policy would refuse it now"]


def _paths(prefix: Prefix, world: World) -> list[str]:
    lines = []
    for name, table in sorted(world.rib.peers.items()):
        path = table.paths.get(prefix)
        if path is None:
            continue
        as_path = " ".join(map(str, path.as_path)) or "empty"
        verdict = "accepted" if prefix in table.accepted else ""
        if refusal := table.refused.get(prefix):
            verdict = f"refused: {refusal}: {REFUSAL_TEXT[refusal]}"
        stale = " (kept from before the session went down)" if prefix in table.stale else ""
        lines.append(f"  {px.text(prefix)} from {name}: AS_PATH {as_path}, MED {path.med}, {verdict}{stale}")
    return lines


def covering_path(asked: Prefix, world: World) -> tuple[Prefix | None, Refusal | None]:
    """The longest prefix that is used for these addresses; else the longest received, and why it is refused."""
    if (prefix := _longest_match(asked, world)) is not None:
        return prefix, None
    prefix = _longest_known(asked, world)
    refusals = (
        (table.refused[prefix] for table in world.rib.peers.values() if prefix in table.refused) if prefix else ()
    )
    return prefix, next(iter(refusals), None)


def _longest_match(asked: Prefix, world: World) -> Prefix | None:
    return _covering(asked, lambda prefix: prefix in world.rib.best)


def _longest_known(asked: Prefix, world: World) -> Prefix | None:
    return _covering(asked, lambda prefix: any(prefix in table.paths for table in world.rib.peers.values()))


def _covering(asked: Prefix, is_known: Callable[[Prefix], bool]) -> Prefix | None:
    version, address = px.version(asked), px.address(asked)
    width = 128 if version == 6 else 32
    for length in range(px.length(asked), -1, -1):
        shorter = px.make(version, address >> (width - length) << (width - length), length)
        if is_known(shorter):
            return shorter
    return None
