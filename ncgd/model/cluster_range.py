"""Address ranges that a cluster has given to its nodes and Services."""

from dataclasses import dataclass
from enum import StrEnum

from ncgd.model.prefix import Prefix


class RangeKind(StrEnum):
    """What a range is for; also the reason why it is advertised."""

    POD = "PodCIDR"
    """``Node.spec.podCIDRs``."""
    LOAD_BALANCER = "LoadBalancer"
    """``Service.status.loadBalancer.ingress[].ip``, as a host prefix."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ClusterRange:
    """One range, and whose it is: ``node worker-1``, ``Service default/web``."""

    prefix: Prefix
    kind: RangeKind
    owner: str
