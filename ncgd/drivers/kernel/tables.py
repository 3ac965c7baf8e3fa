"""The kernel driver as the daemon sees it: its small tables, the routes, and a source of events."""

import asyncio
from pathlib import Path

from ncgd.drivers.kernel import interfaces
from ncgd.drivers.kernel.addresses import Addresses
from ncgd.drivers.kernel.adjacencies import Adjacencies
from ncgd.drivers.kernel.esp import EspWatch
from ncgd.drivers.kernel.links import Links
from ncgd.drivers.kernel.nexthops import Nexthops
from ncgd.drivers.kernel.routes import Routes
from ncgd.drivers.kernel.sysctls import PROC_SYS, Sysctls
from ncgd.drivers.kernel.transport import NetlinkSocket
from ncgd.drivers.kernel.watch import Watch
from ncgd.drivers.kernel.ways import Ways
from ncgd.drivers.port import Post
from ncgd.model.delta import Outcome
from ncgd.model.event import InterfacesRead, NexthopsRead, RoutesRead
from ncgd.model.fib import RouteChange
from ncgd.model.prefix import Prefix


class Kernel:
    """All of the kernel that ncgd owns something in; of the network namespace in which it is used first.

    ``links``, ``addresses``, ``adjacencies``, ``sysctls``, ``nexthops`` and ``ways`` are OwnedTables. Routes are read
    whole every ``reread_seconds``, less often when there are more than some 40 000 (``watch.py``).
    """

    def __init__(self, post: Post, sysctl_root: Path = PROC_SYS, *, reread_seconds: float = 30.0) -> None:
        # Failover has a socket to itself: it never waits behind a full table or a dump.
        self._failover, self._bulk, self._reads, self._route_reads = (NetlinkSocket() for _ in range(4))
        self.links = Links(self._reads)
        self.addresses = Addresses(self._reads)
        self.adjacencies = Adjacencies()
        self.sysctls = Sysctls(sysctl_root)
        self.ways = Ways(post)
        self.nexthops = Nexthops(self._failover, self._reads)
        self._routes = Routes(self._bulk, self._route_reads)
        self._esp = EspWatch(post)
        self._watch = Watch(
            post,
            self.read_interfaces,
            self.read_nexthops,
            self.read_routes,
            self._routes.settled,
            reread_seconds=reread_seconds,
        )

    async def program(self, change: RouteChange) -> Outcome[Prefix]:
        """Install, re-point and uninstall routes and backstops; failures by prefix. Raises DriverError."""
        return await self._routes.program(change)

    async def read_interfaces(self) -> InterfacesRead:
        """All interfaces. Raises DriverError."""
        return await interfaces.read(self._reads)

    async def read_nexthops(self) -> NexthopsRead:
        """All our nexthop objects. Raises DriverError."""
        return await self.nexthops.read()

    async def read_routes(self) -> RoutesRead:
        """All our routes and backstops of table main. Raises DriverError."""
        return await self._routes.read()

    async def run(self) -> None:
        """Post InterfacesRead, NexthopsRead, RoutesRead and EspRead, then anew what changes; ends when cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run())
            tasks.create_task(self._esp.run())
            tasks.create_task(self.ways.run())

    def close(self) -> None:
        """Close the sockets; what the kernel holds stays."""
        for connection in (self._failover, self._bulk, self._reads, self._route_reads):
            connection.close()
