"""How the daemon ends, as far as its timeline tells of it."""

import asyncio

from ncgd.daemon.wiring import failed_job


def test_a_job_that_failed_is_told_from_those_that_were_cancelled() -> None:
    async def fail() -> None:
        raise ValueError("a bug")

    async def work() -> str:
        tasks = [asyncio.create_task(asyncio.sleep(60), name="loop"), asyncio.create_task(fail(), name="exabgp")]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        tasks[0].cancel()
        assert failed_job(tasks[:1]) == ""
        await asyncio.wait(tasks)
        assert failed_job(tasks[:1]) == ""
        return failed_job(tasks)

    assert asyncio.run(work()) == "exabgp"
