"""A program for the tests: writes to every table and prints what comes of it, as JSON."""

import asyncio
import json
from collections.abc import Awaitable
from ipaddress import ip_address
from typing import Any

from ncgd.drivers.kernel.tables import Kernel
from ncgd.drivers.nftables.clamps import MssClampTable
from ncgd.errors import DriverError
from ncgd.model.clamp import MssClamp
from ncgd.model.delta import Delta, Outcome
from ncgd.model.fib import Address, AddressKey, Link, LinkKind, RouteChange
from ncgd.model.prefix import make
from tests.integration.kernel.host import GROUP4, MEMBERS


async def _try(work: Awaitable[Outcome[Any]]) -> str:
    try:
        failed = (await work).failed
    except DriverError as error:
        return f"{type(error).__name__}: {error}"
    return "; ".join(failed.values()) or "done"


async def _main() -> dict[str, str]:
    kernel = Kernel(lambda _: None)
    key = AddressKey(interface="a0", address=ip_address("169.254.1.2"))
    clamp = MssClamp(interface="a0", mss_v4=1300, mss_v6=1280)
    routes = dict.fromkeys((make(4, (10 << 24) + number * 16, 28) for number in range(2000)), GROUP4)
    writes: dict[str, Awaitable[Outcome[Any]]] = {
        "links": kernel.links.write(Delta({"a0": Link(name="a0", kind=LinkKind.OTHER, mtu=1400)})),
        "addresses": kernel.addresses.write(Delta({key: Address(peer=ip_address("169.254.1.1"))})),
        "sysctls": kernel.sysctls.write(Delta({"net.ipv4.ip_forward": "1"})),
        "nexthops": kernel.nexthops.write(Delta(MEMBERS)),
        "routes": kernel.program(RouteChange(routes={**routes}, backstops={})),
        "clamps": MssClampTable().write(Delta({"a0": clamp})),
    }
    results = {name: await _try(write) for name, write in writes.items()}
    results["interfaces"] = " ".join(sorted((await kernel.read_interfaces()).interfaces))
    results["read"] = f"{len((await kernel.read_nexthops()).nexthops)} {len((await kernel.read_routes()).routes)}"
    kernel.close()
    return results


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main())))
