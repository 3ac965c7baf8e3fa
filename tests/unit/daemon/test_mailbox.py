"""The mailbox knows since when its events have waited."""

import asyncio

from ncgd.daemon.mailbox import Mailbox
from ncgd.model import event as ev

ROUTINE = ev.SasRead(charon="charon", sas={}, is_routine=True)


def test_the_first_event_that_is_not_routine_says_since_when() -> None:
    now = 1.0
    mailbox = Mailbox(lambda: now)

    async def work() -> None:
        nonlocal now
        mailbox.post(ROUTINE)
        now = 2.0
        mailbox.post(ev.Ticked())
        now = 3.0
        mailbox.post(ev.SpeakerRead())
        now = 7.0
        assert await mailbox.take(0) == ([ROUTINE, ev.Ticked(), ev.SpeakerRead()], 2.0)
        mailbox.post(ROUTINE)
        now = 9.0
        assert await mailbox.take(0) == ([ROUTINE], 9.0), "a timeout came first"
        assert await mailbox.take(0) == ([], 9.0)

    asyncio.run(work())
