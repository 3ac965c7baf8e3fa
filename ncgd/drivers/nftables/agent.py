"""What ip-masq-agent does on a node, done by a table of ours: ``inet ncgd_agent``, text for ``nft -f`` and back."""

import json
from typing import Any

from ncgd.drivers.nftables import prefix_sets
from ncgd.drivers.nftables.transport import Nft
from ncgd.model import prefix as px
from ncgd.model.delta import Delta, Outcome
from ncgd.model.masquerade import AGENT, AgentRules

TABLE = "ncgd_agent"
_CHAIN = "agent"
_PRIORITY = 101
"""After srcnat (100): what a CNI or kube-proxy has decided stays, as with the agent's chain at the end of iptables'."""
_SETS = {4: "exempt4", 6: "exempt6"}
_COMMENTS = ("local", "exempt4", "exempt6", "masquerade")


class AgentTable:
    """OwnedTable with one row, or none."""

    def __init__(self, nft: Nft) -> None:
        self._nft = nft

    async def read(self) -> dict[str, AgentRules]:
        """The rules in force; none when one of them is missing. Raises DriverError."""
        listing = await self._nft.listed(TABLE)
        return {} if listing is None else _parse(json.loads(listing))

    async def write(self, delta: Delta[str, AgentRules]) -> Outcome[str]:
        """Replace the table in one transaction, or remove it.

        Raises Unavailable without nft, Rejected without CAP_NET_ADMIN or when the kernel cannot translate, TimedOut.
        """
        rules = next(iter(delta.set.values()), None)
        await self._nft.run("-f", "-", text=_text(rules))
        return Outcome()


def _text(rules: AgentRules | None) -> bytes:
    lines = [f"add table inet {TABLE}", f"delete table inet {TABLE}"]
    if rules is not None:
        chain = f"add chain inet {TABLE} {_CHAIN} {{ type nat hook postrouting priority {_PRIORITY}; policy accept; }}"
        lines += [f"add table inet {TABLE}", chain]
        for version, name in _SETS.items():
            lines.append(f"add set inet {TABLE} {name} {{ type ipv{version}_addr; flags interval; }}")
            if texts := px.texts(each for each in rules.exempt if px.version(each) == version):
                lines.append(f"add element inet {TABLE} {name} {{ {', '.join(texts)} }}")
        # What this machine sends has its address already; a new port would only hurt IKE and ESP in UDP.
        bodies = (
            "fib daddr type local return",
            f"ip daddr @{_SETS[4]} return",
            f"ip6 daddr @{_SETS[6]} return",
            f"{'' if rules.has_v6 else 'meta nfproto ipv4 '}fib saddr type != local masquerade fully-random",
        )
        pairs = zip(_COMMENTS, bodies, strict=True)
        lines += [f'add rule inet {TABLE} {_CHAIN} {body} comment "{comment}"' for comment, body in pairs]
    return "\n".join((*lines, "")).encode()


def _parse(listing: dict[str, Any]) -> dict[str, AgentRules]:
    exempt: list[px.Prefix] = []
    comments: list[str] = []
    has_v6 = is_hooked = False
    for entry in listing["nftables"]:
        if found := entry.get("set"):
            exempt += [prefix for each in found.get("elem", []) for prefix in prefix_sets.intervals(each)]
        elif found := entry.get("chain"):
            is_hooked |= (found.get("hook"), found.get("prio")) == ("postrouting", _PRIORITY)
        elif found := entry.get("rule"):
            comments.append(found.get("comment", ""))
            has_v6 = comments[-1] == "masquerade" and "nfproto" not in json.dumps(found["expr"])
    if not is_hooked or tuple(comments) != _COMMENTS:
        return {}
    return {AGENT: AgentRules(exempt=frozenset(exempt), has_v6=has_v6)}
