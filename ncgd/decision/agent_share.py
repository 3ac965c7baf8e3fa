"""What of the learned prefixes goes into an ip-masq-agent's configuration, which takes 64 entries."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ncgd.model import prefix as px
from ncgd.model.prefix import Prefix
from ncgd.resources.agent_config import DEFAULTS, check_count, read
from ncgd.resources.agent_edit import has_list, with_list

_PRIVATE = tuple(map(px.parse, (*DEFAULTS, "100.64.0.0/10", "fc00::/7")))
"""Only inside one of these are prefixes joined: a wider one outside would take pods' way to the internet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The configuration as it should be."""

    text: str
    ours: tuple[str, ...]
    """The entries that are ours, or that stand there because of ours."""
    joined: int = 0
    """Prefixes that are in it only as parts of wider ones, which hold more than what was learned."""
    left_out: int = 0
    """Prefixes for which there is no room."""


def shared(text: str, ours: Collection[str], prefixes: Collection[Prefix]) -> Share:
    """The configuration ``text`` with these prefixes; ``ours`` are the entries made earlier. Raises ConfigInvalid."""
    config = read(text)
    is_list_ours = not has_list(text) or set(DEFAULTS) <= set(ours)
    base = DEFAULTS if is_list_ours else ()
    users = [] if not has_list(text) else [entry for entry in config.non_masquerade if entry not in ours]
    covering = [px.parse(entry) for entry in (*users, *base)]
    if prefixes:  # ours make way for what the user adds, and can be taken out of whatever there is
        check_count(len(covering), config)
    takes_v6 = any(px.version(each) == 6 for each in covering)  # an agent without --enable-ipv6 refuses them all
    wanted = [
        prefix
        for prefix in prefixes
        if (takes_v6 or px.version(prefix) == 4) and not any(px.covers(each, prefix) for each in covering)
    ]
    room = config.cidr_limit - len(covering)
    kept = fitted(wanted, room)
    entries = (*base, *px.texts(kept)) if kept else ()
    if kept:
        listed = [*users, *entries]
    elif not base or users:  # who has added to a list that we have made from the defaults has added to the defaults
        listed = [entry for entry in config.non_masquerade if entry in users or entry in base]
    else:
        listed = None
    made = with_list(text, listed)
    exact = set(px.collapse(wanted))
    joined = sum(1 for prefix in wanted if any(px.covers(each, prefix) for each in kept if each not in exact))
    left_out = sum(1 for prefix in wanted if not any(px.covers(each, prefix) for each in kept))
    return Share(text=made, ours=entries, joined=joined, left_out=left_out)


def fitted(prefixes: Iterable[Prefix], room: int) -> list[Prefix]:
    """At most ``room`` prefixes that hold these: joined where that wastes least; else the widest of them."""
    kept = px.collapse(prefixes)
    for length in range(max(map(px.length, kept), default=8) - 1, 7, -1):
        if len(kept) <= room:
            break
        kept = _joined(kept, length, room)
    if len(kept) > room:
        kept = sorted(kept, key=lambda each: px.span(each)[0] - px.span(each)[1])[: max(room, 0)]
    return sorted(kept, key=px.sort_key)


def _joined(prefixes: Sequence[Prefix], length: int, room: int) -> list[Prefix]:
    """Prefixes of the same network of this length are joined, the most populous networks first, until all fit."""
    groups: defaultdict[Prefix, list[Prefix]] = defaultdict(list)
    for prefix in prefixes:
        version = px.version(prefix)
        if px.length(prefix) > length and (version == 6 or length < 32):
            whole = px.make(version, px.address(prefix), length)
            if any(px.covers(block, whole) for block in _PRIVATE):
                groups[whole].append(prefix)
    kept = set(prefixes)
    for whole, parts in sorted(groups.items(), key=lambda each: (-len(each[1]), each[0])):
        if len(kept) <= room or len(parts) < 2:
            break
        kept.difference_update(parts)
        kept.add(whole)
    return list(kept)
