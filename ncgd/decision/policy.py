"""Import and export policy: safe by default (RFC 8212 in spirit, DESIGN §5 "Safe imports").

An import check is compiled once per peer and asked for every prefix, so it works on integers only.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ncgd.model import prefix as px
from ncgd.model.bgp import Attributes
from ncgd.model.prefix import Prefix
from ncgd.model.reason import Refusal
from ncgd.model.spec import Policy, PrefixRule

# RFC 6890 special-purpose ranges that never belong in a VPC. Private (RFC 1918), shared (RFC 6598), benchmark
# and documentation ranges are left out on purpose: people do number their VPCs from them.
MARTIANS = tuple(
    px.parse(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/8",
        "fe80::/10",
        "ff00::/8",
    )
)


class Ranges:
    """A set of address ranges that answers "does this prefix overlap one of you?" by bisection."""

    def __init__(self, prefixes: Iterable[Prefix]) -> None:
        """Merge the prefixes into disjoint, sorted ranges."""
        self._prefixes = tuple(prefixes)
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(map(px.span, self._prefixes)):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(self._lasts[-1], last)
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def overlaps(self, first: int, last: int) -> bool:
        """True when an address between ``first`` and ``last`` (``prefix.span``) is in the set."""
        at = bisect_right(self._firsts, last) - 1
        return at >= 0 and self._lasts[at] >= first

    def clear_of(self, prefixes: Iterable[Prefix]) -> list[Prefix]:
        """Those without an address in the set; three times as fast as asking for each."""
        firsts, lasts = self._taken
        return [prefix for prefix in prefixes if lasts[bisect_right(firsts, prefix) - 1] < prefix]

    @cached_property
    def _taken(self) -> tuple[list[Prefix], list[Prefix]]:
        """First and last of the runs of Prefix numbers that overlap the set, ascending: some for each length."""
        runs: list[tuple[Prefix, Prefix]] = []
        for prefix in self._prefixes:
            version = px.version(prefix)
            width = 128 if version == 6 else 32
            first = px.address(prefix)
            last = first + (1 << width - px.length(prefix)) - 1
            runs += [(px.make(version, first, bits), px.make(version, last, bits)) for bits in range(width + 1)]
        firsts, lasts = [Prefix(-1)], [Prefix(-1)]  # below everything, so that there is always a run before
        for low, high in sorted(runs):
            if low > lasts[-1]:
                firsts.append(low)
                lasts.append(high)
            else:
                lasts[-1] = max(lasts[-1], high)
        return firsts, lasts


_MARTIAN_RANGES = Ranges(MARTIANS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What must stay reachable as it is, whatever a peer sends."""

    own: tuple[Prefix, ...] = ()
    """Networks that we advertise, that are the cluster's, or that are connected to this machine."""
    endpoints: tuple[Prefix, ...] = ()
    """Public addresses of our tunnels, both ends, as host prefixes."""


def matches(rules: tuple[PrefixRule, ...], prefix: Prefix) -> bool:
    """True when one of the rules matches (inside its prefix, length between ge and le)."""
    length = px.length(prefix)
    return any(rule.ge <= length <= rule.le and px.covers(rule.prefix, prefix) for rule in rules)


class ImportCheck:
    """The import policy of one peer, ready to be asked once per path. Equal inputs give equal checks."""

    def __init__(
        self, policy: Policy, surroundings: Surroundings, local_asn: int, peer_ip: str, *, in_tunnel: bool
    ) -> None:
        """``in_tunnel``: the NEXT_HOP does not matter, a tunnel has one far end."""
        self.key = (policy, surroundings, local_asn, peer_ip, in_tunnel)
        self._policy = policy
        self._surroundings = surroundings
        self._local_asn = local_asn
        self._peer_ip = peer_ip
        self._in_tunnel = in_tunnel

    # Every pass makes a check for each peer and asks most of them nothing.

    @cached_property
    def _endpoints(self) -> Ranges:
        return Ranges(self._surroundings.endpoints)

    @cached_property
    def _any_of_them(self) -> Ranges:
        return Ranges((*MARTIANS, *self._surroundings.own, *self._surroundings.endpoints))

    def refusal(self, prefix: Prefix, attributes: Attributes) -> Refusal | None:
        """Why this path is refused, or None when it is accepted."""
        return self.refusal_of_attributes(attributes) or self.refusal_of_prefix(prefix)

    def refusal_of_attributes(self, attributes: Attributes) -> Refusal | None:
        """Why every path with these attributes is refused; None: it depends on the prefix."""
        if self._local_asn in attributes.as_path:
            return Refusal.AS_LOOP
        if not self._in_tunnel and attributes.next_hop not in {"", self._peer_ip}:
            return Refusal.NEXT_HOP
        return None

    def refusal_of_prefix(self, prefix: Prefix) -> Refusal | None:
        """Why every path for this prefix is refused; None: it depends on the attributes."""
        if px.length(prefix) == 0:
            return self._by_rules(prefix) if self._policy.allow_default_route else Refusal.DEFAULT_ROUTE
        first, last = px.span(prefix)
        if not self._any_of_them.overlaps(first, last):
            return self._by_rules(prefix)
        if _MARTIAN_RANGES.overlaps(first, last):
            return Refusal.MARTIAN
        if self._endpoints.overlaps(first, last):
            return Refusal.TUNNEL_ENDPOINT
        return Refusal.OWN_PREFIX

    def harmless(self, prefixes: Iterable[Prefix]) -> list[Prefix]:
        """Those of many prefixes for which ``refusal_of_prefix`` is None, as far as that is seen at a glance."""
        if self._policy.allow or self._policy.deny:
            return []
        return self._any_of_them.clear_of(prefixes)

    def _by_rules(self, prefix: Prefix) -> Refusal | None:
        if self._policy.deny and matches(self._policy.deny, prefix):
            return Refusal.DENIED
        if self._policy.allow and not matches(self._policy.allow, prefix):
            return Refusal.NOT_ALLOWED
        return None


def may_export(policy: Policy, prefix: Prefix) -> bool:
    """True when an export policy lets a prefix of ours be advertised."""
    if matches(policy.deny, prefix):
        return False
    return not policy.allow or matches(policy.allow, prefix)
