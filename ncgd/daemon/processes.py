"""Table ``processes``: the programs that should run. Supervised ones are started; charons get a driver either way."""

from ncgd.daemon.charons import Charons
from ncgd.daemon.supervise import Supervisor
from ncgd.model.delta import Delta, Outcome


class Processes:
    """Hands each row to the supervisor, if there is one, and to the charon drivers."""

    def __init__(self, charons: Charons, supervisor: Supervisor | None) -> None:
        """Without a supervisor somebody else (systemd, the kubelet) runs the programs."""
        self._charons = charons
        self._supervisor = supervisor

    async def write(self, delta: Delta[object, object]) -> Outcome[object]:
        """Take over the rows; how the programs fare is told by events."""
        await self._charons.write(delta)
        return await self._supervisor.write(delta) if self._supervisor else Outcome()
