"""How events change what is known of source addresses: who keeps theirs, and who masquerades what."""

from dataclasses import replace

from ncgd.decision.world import Rows, World
from ncgd.model.masquerade import AGENT
from ncgd.model.masquerade_event import AgentConfigRead, AgentRulesRead, ExemptionRead, MasqueradeEvent, NatChainsRead
from ncgd.resources.agent_config import ConfigInvalid, parse


def fold_masquerade(world: World, event: MasqueradeEvent) -> World:
    """The World after one reading."""
    match event:
        case ExemptionRead(prefixes=prefixes, own=own):
            protection, drift = world.protection, 0
            if protection.exempt.is_read:
                drift = len(protection.exempt.held ^ prefixes) + len(protection.own ^ own)
            protection.exempt.read(prefixes, protection.unjudged)
            protection.own = own
            return replace(world, drift=world.drift + drift)
        case NatChainsRead(chains=chains, unread=unread):
            return replace(world, nat_chains=chains, nat_unread=unread)
        case AgentConfigRead(text=text):
            try:
                return replace(world, agent=parse(text), agent_flaw="")
            except ConfigInvalid as error:  # what was valid last stays, as with the agent itself
                return replace(world, agent_flaw=str(error))
        case AgentRulesRead(rules=rules):
            found: Rows = {AGENT: rules} if rules else {}
            believed = world.written.get("agent", found)
            drift = int(believed != found and None not in believed.values())
            return replace(world, written={**world.written, "agent": found}, drift=world.drift + drift)
