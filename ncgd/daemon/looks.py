"""What a diagnosis has looked at: each kind of look with the driver that can."""

from pathlib import Path
from typing import Any, TypeVar

from ncgd.drivers.kernel import lookups
from ncgd.drivers.nftables import others
from ncgd.drivers.nftables.transport import Nft
from ncgd.drivers.probe import single
from ncgd.drivers.strongswan.reach import reach
from ncgd.model.chains import FORWARD, POSTROUTING
from ncgd.model.look import Echo, ForwardRules, IkeReach, Knock, Look, NatRules, RouteOf, Setting, Walk

T = TypeVar("T")


class Looks:
    """Looks at things, once each for one walk."""

    def __init__(self, nft: Nft, sysctl_root: Path) -> None:
        self._nft = nft
        self._sysctl_root = sysctl_root

    async def along(self, walk: Walk[T]) -> T:
        """Have the walk see what it asks for, to its end; what it comes to."""
        seen: dict[Look[Any], Any] = {}
        answer: Any = None
        while True:
            try:
                look = walk.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            if look not in seen:
                seen[look] = await self._at(look)
            answer = seen[look]

    async def _at(self, look: Look[Any]) -> Any:
        match look:
            case Setting():
                return lookups.setting(look, self._sysctl_root)
            case RouteOf():
                return lookups.route_of(look)
            case Echo():
                return await single.echo(look)
            case Knock():
                return await single.knock(look)
            case IkeReach(peer=peer):
                return {each.port: each.outcome for each in await reach([str(peer)])}
            case ForwardRules():
                return await others.read(FORWARD, self._nft)
            case NatRules():
                return await others.read(POSTROUTING, self._nft)
        raise TypeError(f"nobody can look at {look!r}")
