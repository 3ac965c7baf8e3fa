"""Userspace ESP takes a machine that can, and somebody who starts a charon for each tunnel."""

from dataclasses import replace

import pytest

from ncgd.decision.userspace import available
from ncgd.model.capability import Capability, CharonKeeper
from ncgd.model.event import CapabilityProbed

UNABLE = Capability(
    kernel_esp=False, kernel_detail="ESP: no", userspace_esp=False, userspace_detail="userspace ESP: no TUN"
)
ABLE = replace(UNABLE, userspace_esp=True, userspace_detail="userspace ESP: yes")
BESIDE = "ESP: no; userspace ESP: by the charons beside ncgd"
ALONE = "ESP: no; userspace ESP needs --supervise"


@pytest.mark.parametrize(
    ("machine", "keeper", "may_bind_service", "can", "words"),
    [
        (ABLE, CharonKeeper.NCGD, False, True, "ESP: no; userspace ESP: yes"),
        (UNABLE, CharonKeeper.NCGD, True, False, "ESP: no; userspace ESP: no TUN"),
        (ABLE, CharonKeeper.OTHERS, True, False, ALONE),
        (UNABLE, CharonKeeper.FOLLOWER, True, True, BESIDE),  # it has what ncgd's own container may lack
        (UNABLE, CharonKeeper.FOLLOWER, False, False, f"{BESIDE}, and CAP_NET_BIND_SERVICE is missing"),
        (replace(ABLE, kernel_esp=True), CharonKeeper.FOLLOWER, True, False, ALONE),
    ],
)
def test_who_starts_charons_decides_whether_userspace_esp_can_be_had(
    machine: Capability, keeper: CharonKeeper, may_bind_service: bool, can: bool, words: str
) -> None:
    found = available(CapabilityProbed(capability=machine, keeper=keeper, may_bind_service=may_bind_service))
    assert (found.userspace_esp, found.detail) == (can, words)
    assert found.kernel_esp == machine.kernel_esp
