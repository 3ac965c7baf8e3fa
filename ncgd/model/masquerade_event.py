"""Events about source addresses: who keeps theirs, and who masquerades what (see ``event``)."""

from dataclasses import dataclass

from ncgd.model.chains import Chain
from ncgd.model.masquerade import AgentRules, Extra
from ncgd.model.prefix import Prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class ExemptionRead:
    """What nftables exempts from masquerade; empty when one of its rules is missing."""

    prefixes: frozenset[Prefix]
    own: frozenset[Extra]
    """Networks of ours in it, and this machine's address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatChainsRead:
    """Chains of other programs that are asked at postrouting whether to translate, and those that they lead to."""

    chains: tuple[Chain, ...]
    unread: str = ""
    """What there is and could not be read, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfigRead:
    """ip-masq-agent's configuration, as its user has written it; empty where there is none."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRulesRead:
    """What nftables masquerades in ip-masq-agent's place; None: nothing, or a rule is missing."""

    rules: AgentRules | None


MasqueradeEvent = ExemptionRead | NatChainsRead | AgentConfigRead | AgentRulesRead
