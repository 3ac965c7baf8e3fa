"""What a node that is not the gateway costs, and how soon it has what the gateway learns.

    sudo python -m tests.bench.nodes

One real ncgd in a namespace, beside 50 that only read, all on one API server double: 5 000 prefixes in 20 slices, then
one more at a time.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from ncgd.model import prefix as px
from ncgd.model.delta import Delta
from ncgd.model.route_slice import SLICE_PREFIXES, RouteSlice
from tests.bench import cost, fib
from tests.integration.netns import Namespace
from tests.kube.cluster import Place, double, until
from tests.kube.home import Running

COUNT, NODES, TRIES, STEADY_SECONDS = 5_000, 50, 10, 60


def main() -> None:
    """Measure, and print what was found."""
    with Namespace("kn-bench") as space, tempfile.TemporaryDirectory() as folder:
        space.ip("link add eth0 type veth peer name far")
        space.ip("addr add 192.0.2.1/24 dev eth0")
        space.ip("link set far up")
        space.ip("link set eth0 up")
        for name, value in space.call(lambda: asyncio.run(measure(space, Path(folder)))).items():
            print(f"{name:50} {value:.2f}")


async def measure(space: Namespace, folder: Path) -> dict[str, float]:
    """Seconds, MB, and requests per second, by what they are."""
    found: dict[str, float] = {}
    async with double(folder) as place, AsyncExitStack() as stack:
        assert place.double
        await place.create_ha_vpn()
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "ncgd-default", "annotations": {"ncgd.io/address": "192.0.2.11"}},
            "spec": {"holderIdentity": "gw", "leaseDurationSeconds": 10, "leaseTransitions": 1},
        }
        await place.request("POST", f"/apis/coordination.k8s.io/v1/namespaces/{place.namespace}/leases", lease)
        nodes = [Running(place, awaits_role=True) for _ in range(NODES)]
        for each in nodes:
            await stack.enter_async_context(each)
        writer = nodes[0].home.slices
        process = await start(place, folder)
        prefixes = [px.parse(text) for text in fib.prefixes(COUNT + TRIES)]
        arrivals = fib.Arrivals(space)
        began = time.monotonic()
        rows = {
            f"default-{n}": row(n, prefixes[n * SLICE_PREFIXES : min(COUNT, (n + 1) * SLICE_PREFIXES)])
            for n in range(20)
        }
        assert not (await writer.write(Delta(set=rows))).failed
        _, last = await asyncio.to_thread(arrivals.wait, 2 * COUNT, 60.0)
        found["5000 prefixes from the first write to the FIB (s)"] = last - began
        await until(lambda: all(len(each.published) == COUNT for each in nodes))
        found["memory of ncgd on a node, PSS (MB)"] = cost.pss_mb([process.pid])
        delays, reads = [], []
        for number in range(TRIES):
            name, arrivals = f"default-{19}", fib.Arrivals(space)
            changed = row(19, prefixes[19 * SLICE_PREFIXES : COUNT + number + 1])
            began = time.monotonic()
            waiting = asyncio.ensure_future(asyncio.to_thread(arrivals.wait, 2, 20.0))
            assert not (await writer.write(Delta(set={name: changed}))).failed
            await until(lambda number=number: all(len(each.published) == COUNT + number + 1 for each in nodes))
            reads.append(time.monotonic() - began)
            delays.append((await waiting)[1] - began)
            await asyncio.sleep(0.5)
        found["one more prefix to the FIB, median (s)"] = statistics.median(delays)
        found["one more prefix to the FIB, worst (s)"] = max(delays)
        found["one more prefix read on 50 nodes, worst (s)"] = max(reads)
        before, used = len(place.double.requests), cost.cpu_seconds([process.pid])
        await asyncio.sleep(STEADY_SECONDS)
        found["requests per second and node, steady"] = (
            (len(place.double.requests) - before) / STEADY_SECONDS / (NODES + 1)
        )
        found["processor on a node, steady (% of a core)"] = (
            (cost.cpu_seconds([process.pid]) - used) / STEADY_SECONDS * 100
        )
        found["memory of ncgd on a node after it, PSS (MB)"] = cost.pss_mb([process.pid])
        process.terminate()
        await process.wait()
    return found


def row(number: int, prefixes: list[px.Prefix]) -> RouteSlice:
    return RouteSlice(name=f"default-{number}", gateway="default", node="gw", epoch=1, prefixes=frozenset(prefixes))


async def start(place: Place, folder: Path) -> asyncio.subprocess.Process:
    """ncgd as the DaemonSet runs it, on a node without the label."""
    node = await place.create_node("worker", label=None)
    command = [sys.executable, "-m", "ncgd", "--source", "kubernetes", "--kubeconfig", str(place.kubeconfig)]
    command += ["--run-dir", str(folder / "run"), "--node", node, "--node-address", "192.0.2.1"]
    log = (folder / "log").open("wb")
    return await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)


if __name__ == "__main__":
    main()
