"""What a diagnosis may have looked at, and what such a look shows. Nothing of it changes anything."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Any, Generic, TypeVar

from ncgd.model.chains import Chain
from ncgd.model.fib import Way
from ncgd.model.prefix import IPAddress

A_co = TypeVar("A_co", covariant=True)


class Look(Generic[A_co]):
    """Something to look at; its kind says what the answer is."""

    __slots__ = ()


Walk = Generator[Look[Any], Any, A_co]
"""A decision that has things looked at on its way: what it yields is looked at, what is sent back is what was seen."""


def seen(look: Look[A_co]) -> Walk[A_co]:
    """What the look shows."""
    answer: A_co = yield look
    return answer


@dataclass(frozen=True, slots=True)
class Setting(Look[str]):
    """A sysctl, by its dotted path; the answer is its value, or empty where there is none."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAnswer:
    """What the kernel would do with a packet."""

    way: Way | None = None
    """Where it would send it; None: nowhere."""
    is_local: bool = False
    """It is for this machine itself."""
    refusal: str = ""
    """The kernel's own word when it would not take it: ``Invalid argument`` is a blackhole, or a source address that
    may not come from there; ``No route to host`` an unreachable route, or an interface that does not forward."""


@dataclass(frozen=True, slots=True)
class RouteOf(Look[RouteAnswer]):
    """What the kernel would do with a packet that is sent here, or that comes in by an ``interface``."""

    destination: IPAddress
    source: IPAddress | None = None
    interface: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoAnswer:
    """What became of an echo request. Interfaces and addresses as the packets had them."""

    failure: str = ""
    """Why it could not be sent: another program's packet filter, mostly."""
    unseen: str = ""
    """Why nobody could look; nothing was sent."""
    left_by: str = ""
    left_as: IPv4Address | None = None
    """The source address with which it left, which another program may have changed."""
    came_by: str = ""
    """Where the answer came in; empty: there was none."""
    passed_on: str = ""
    """Where the answer went on to; empty: nowhere, or it was for this machine."""
    milliseconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo(Look[EchoAnswer]):
    """An ICMP echo request, sent from here in the name of ``source``, which may be somebody else's address."""

    source: IPv4Address
    destination: IPv4Address


class Heard(StrEnum):
    """What answered."""

    OPEN = "Open"
    REFUSED = "Refused"
    SILENT = "Silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnockAnswer:
    """What a TCP port says to a SYN. No connection comes about."""

    heard: Heard
    is_signed: bool = False
    """Meanwhile the far side itself sent segments with a signature (RFC 2385, RFC 5925)."""
    failure: str = ""
    """Why it could not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock(Look[KnockAnswer]):
    """A TCP port behind an interface."""

    interface: str
    local: IPv4Address
    remote: IPv4Address
    port: int


@dataclass(frozen=True, slots=True)
class IkeReach(Look[Mapping[int, str]]):
    """Whether a peer answers IKE: by UDP port ``answered``, ``silent``, or what the kernel said."""

    peer: IPAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Chains of other programs, and what could not be read of them."""

    chains: tuple[Chain, ...] = ()
    unread: str = ""


@dataclass(frozen=True, slots=True)
class ForwardRules(Look[Rules]):
    """What decides here about packets that pass through."""


@dataclass(frozen=True, slots=True)
class NatRules(Look[Rules]):
    """What may translate source addresses here."""
