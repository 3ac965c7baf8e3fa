"""Table ``processes``: the programs that should run. Supervised ones are started; charons get a driver either way."""

from ncgd.daemon.charons import Charons
from ncgd.daemon.roster import Roster
from ncgd.daemon.supervise import Supervisor
from ncgd.model.delta import Delta, Outcome


class Processes:
    """Hands each row to the supervisor, or to whoever runs programs in its place, and to the charon drivers."""

    def __init__(self, charons: Charons, keeper: Supervisor | Roster) -> None:
        """With a roster, somebody else (systemd, the kubelet, compose) runs the programs."""
        self._charons = charons
        self._keeper = keeper

    async def write(self, delta: Delta[object, object]) -> Outcome[object]:
        """Take over the rows; how the programs fare is told by events."""
        await self._charons.write(delta)
        return await self._keeper.write(delta)
