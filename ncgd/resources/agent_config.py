"""The configuration of ip-masq-agent (kubernetes-sigs/ip-masq-agent): its format, defaults and rules. Pure."""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from ncgd.model import prefix as px
from ncgd.model.prefix import Prefix

CONFIG_MAP = "ip-masq-agent"
KEY = "config"
LIST = "nonMasqueradeCIDRs"
DEFAULTS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
"""What is not masqueraded where a configuration has no list (RFC 1918)."""
LINK_LOCAL = (px.parse("169.254.0.0/16"), px.parse("fe80::/10"))
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")


class ConfigInvalid(ValueError):
    """What the agent would refuse, and keep what it had; the text is for people."""


class ConfigUneditable(ConfigInvalid):
    """What the agent takes, and is written so that its list cannot be changed alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """What the agent is told. ``resync_seconds``: how often it writes its rules anew."""

    non_masquerade: tuple[str, ...] = DEFAULTS
    cidr_limit: int = 64
    masq_link_local: bool = False
    masq_link_local_v6: bool = False
    resync_seconds: float = 60.0

    @property
    def exempt(self) -> tuple[Prefix, ...]:
        """What is not masqueraded, link-local ranges among it."""
        links = zip(LINK_LOCAL, (self.masq_link_local, self.masq_link_local_v6), strict=True)
        return (*(link for link, is_masked in links if not is_masked), *map(px.parse, self.non_masquerade))


def parse(text: str) -> AgentConfig:
    """YAML or JSON. What is absent has its default. Raises ConfigInvalid where the agent would refuse it."""
    config = read(text)
    check_count(len(config.non_masquerade), config)
    return config


def check_count(count: int, config: AgentConfig) -> None:
    """Raises ConfigInvalid where a list of so many entries is too long."""
    if count > config.cidr_limit:
        raise ConfigInvalid(f"{LIST} has {count} entries, and cidrLimit is {config.cidr_limit}")


def read(text: str) -> AgentConfig:
    """The same, however long its list is."""
    try:
        given = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # the latter: a date or number that only looks like one
        raise ConfigInvalid(f"no YAML: {' '.join(str(error).split())}") from error
    if given is None:
        return AgentConfig()
    if not isinstance(given, dict):
        raise ConfigInvalid("not a mapping")
    values: dict[str, Any] = {}
    for field, (name, kind) in _FIELDS.items():
        if field in given:
            values[name] = kind(field, given[field])
    return AgentConfig(**values)


def _cidrs(field: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ConfigInvalid(f"{field} is no list")
    for each in value:
        try:
            is_aligned = isinstance(each, str) and "/" in each and px.text(px.parse(each)) == each.lower()
        except ValueError:
            is_aligned = False
        if not is_aligned:
            raise ConfigInvalid(f"{field}: {each!r} is no CIDR without host bits")
    return tuple(value)


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigInvalid(f"{field} is neither true nor false")
    return value


def _count(field: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigInvalid(f"{field} is no number")
    return value


def _duration(field: str, value: Any) -> float:
    """As Go spells it: ``60s``, ``1m30s``."""
    if not isinstance(value, str) or not re.fullmatch(f"(?:{_PART.pattern})+", value):
        raise ConfigInvalid(f"{field} is no duration as 60s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))


_FIELDS: dict[str, tuple[str, Any]] = {
    LIST: ("non_masquerade", _cidrs),
    "cidrLimit": ("cidr_limit", _count),
    "masqLinkLocal": ("masq_link_local", _flag),
    "masqLinkLocalIPv6": ("masq_link_local_v6", _flag),
    "resyncInterval": ("resync_seconds", _duration),
}
