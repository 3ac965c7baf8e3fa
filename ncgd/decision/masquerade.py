"""Source addresses: what is to be said of who keeps theirs, and why."""

from ncgd.decision.world import World
from ncgd.model.masquerade import TABLE
from ncgd.model.report import MasqueradeReport
from ncgd.model.spec import Intent


def masquerade_report(world: World, intent: Intent) -> MasqueradeReport:
    """The exemption as it is."""
    held = len(world.protection.exempt.held)
    return MasqueradeReport(mode=str(intent.gateway.masquerade), exempt=held, table=TABLE if held else "")
