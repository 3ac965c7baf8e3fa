"""ncgd itself with --source kubernetes, without any privilege: it can do nothing, and says so in the API."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.kube.cluster import Place, until
from tests.kube.conftest import Places

Json = dict[str, Any]
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()


@asynccontextmanager
async def ncgd(folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    command = (*POWERLESS, sys.executable, "-m", "ncgd", "--run-dir", str(folder), "--source", "kubernetes", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def test_status_arrives_and_a_new_ncgd_goes_on(places: Places, tmp_path: Path) -> None:
    async def main(place: Place) -> None:
        node = await place.create_node("worker1")
        arguments = ("--kubeconfig", str(place.kubeconfig), "--namespace", place.namespace, "--node", node)

        async def gateway() -> Json:
            status: Json = (await place.get("NetworkConnectivityGateway", "default")).get("status", {})
            return status

        async def is_reported() -> bool:
            return (await gateway()).get("CurrNode") == node

        async def is_explained() -> bool:
            return "CAP_NET_ADMIN" in (await gateway())["conditions"][0]["message"]

        await place.create_ha_vpn()
        async with ncgd(tmp_path / "run", *arguments):
            await until(is_reported)
            await until(is_explained)
            status = await gateway()
            assert status["dataplane"]["mode"] == "none"
            (ready, accepted, _) = status["conditions"]
            assert accepted["status"] == "True"
        async with ncgd(tmp_path / "run", *arguments):
            first = status["LastReportTime"]

            async def is_newer() -> bool:
                return bool((await gateway())["LastReportTime"] > first)

            await until(is_newer)
            again = (await gateway())["conditions"][0]
            assert again["lastTransitionTime"] == ready["lastTransitionTime"]

    async def run() -> None:
        async with places(tmp_path) as place:
            await main(place)

    asyncio.run(run())


async def shows(folder: Path, *texts: str) -> None:
    """Wait until the status screen of the ncgd in this folder holds all of these."""

    async def is_there() -> bool:
        program = "from ncgd.cli.main import main; main()"
        command = (sys.executable, "-c", program, "--socket", str(folder / "ncgd.sock"), "status")
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        output, _ = await process.communicate()
        screen = " ".join(output.decode().split())
        return all(text in screen for text in texts)

    await until(is_there)


def test_another_node_takes_over_after_power_loss_and_at_an_orderly_end(places: Places, tmp_path: Path) -> None:
    async def main(place: Place) -> None:
        def arguments(node: str) -> tuple[str, ...]:
            kubeconfig = str(place.kubeconfig)
            return ("--kubeconfig", kubeconfig, "--namespace", place.namespace, "--node", node, "--hand-over")

        async def is_shown(node: str) -> bool:
            gateway = await place.get("NetworkConnectivityGateway", "default")
            return bool(gateway.get("status", {}).get("CurrNode") == node)

        async def is_told() -> bool:
            return "GatewayMoved" in {each["reason"] for each in await place.list("Event")}

        a, b = [await place.create_node(name) for name in ("a", "b")]
        await place.create_ha_vpn()
        async with ncgd(tmp_path / "a", *arguments(a)) as first:
            await until(lambda: is_shown(a))
            async with ncgd(tmp_path / "b", *arguments(b)) as second:
                await shows(tmp_path / "b", f"Role Standby: {a} holds Lease ncgd-default")
                first.kill()
                await first.wait()
                await until(lambda: is_shown(b))
                await until(is_told)
                await shows(tmp_path / "b", "Role Active: holds Lease ncgd-default")
                async with ncgd(tmp_path / "a", *arguments(a)):
                    await shows(tmp_path / "a", f"Role Standby: {b} holds Lease ncgd-default")
                    second.terminate()
                    output, _ = await second.communicate()
                    assert second.returncode == 0
                    assert f"handed over: {a} holds Lease ncgd-default" in output.decode()
                    await until(lambda: is_shown(a))

    async def run() -> None:
        async with places(tmp_path) as place:
            await main(place)

    asyncio.run(run())


def test_wrong_settings_end_it_with_the_reason(tmp_path: Path) -> None:
    async def said(*arguments: str) -> tuple[int | None, str]:
        async with ncgd(tmp_path / "run", *arguments) as process:
            output, _ = await process.communicate()
            return process.returncode, output.decode()

    async def main() -> None:
        code, text = await said()
        assert (code, "outside a cluster give --kubeconfig FILE" in text) == (2, True), text
        code, text = await said("--kubeconfig", str(tmp_path / "missing"))
        assert (code, "missing" in text) == (2, True), text
        broken = tmp_path / "broken"
        broken.write_text("clusters: [")
        code, text = await said("--kubeconfig", str(broken))
        assert (code, "broken cannot be used" in text) == (2, True), text

    asyncio.run(main())
