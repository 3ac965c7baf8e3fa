"""Whether a packet filter of another program drops what passes through this machine."""

from dataclasses import dataclass

from ncgd.decision.chains import Chains, Match, bases, by_name, walk
from ncgd.model import prefix as px
from ncgd.model.chains import Chain, Fate, Packet


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Where a packet is dropped: chain and rule."""

    where: str
    unless: str = ""
    """The rule that lets it pass before if its other conditions are met, which nobody knows; empty: none."""


def dropped(chains: tuple[Chain, ...], packet: Packet) -> Drop | None:
    """The first chain that drops such a packet; None: all let it pass.

    What cannot be known of a condition counts as met where the rule lets pass, and as not met where it drops: rules
    that drop what is invalid or too much are everywhere, and rarely the reason.
    """
    known = by_name(chains)
    for _, base in bases(chains):
        if base.version in {None, px.version(packet.destination)} and (drop := _asked(base, packet, known)):
            return drop
    return None


def _asked(base: Chain, packet: Packet, chains: Chains) -> Drop | None:
    unless = ""
    for asked in walk(base, packet, chains):
        is_sure = min(asked.match, asked.reached) == Match.YES
        if asked.rule.fate == Fate.ACCEPT:
            if is_sure:
                return None
            unless = unless or asked.text
        elif asked.rule.fate == Fate.DROP and is_sure:
            return Drop(where=asked.text, unless=unless)
    return Drop(where=f"{base.table} {base.name}: policy drop", unless=unless) if base.drops_rest else None
