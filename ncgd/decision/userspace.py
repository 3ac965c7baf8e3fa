"""Whether userspace ESP can be had: what the machine can do, and whether somebody starts a charon for each tunnel."""

from dataclasses import replace

from ncgd.model.capability import Capability, CharonKeeper
from ncgd.model.event import CapabilityProbed


def available(probed: CapabilityProbed) -> Capability:
    """What can be had of what the machine can do."""
    machine = probed.capability
    if probed.keeper == CharonKeeper.NCGD:
        return machine
    if probed.keeper == CharonKeeper.OTHERS or machine.kernel_esp:  # who follows runs the kernel's charon there
        return replace(machine, userspace_esp=False, userspace_detail="userspace ESP needs --supervise")
    # Which device is charon's, /proc tells those only who have all the rights of charon.
    lacking = "" if probed.may_bind_service else ", and CAP_NET_BIND_SERVICE is missing"
    words = f"userspace ESP: by the charons beside ncgd{lacking}"
    return replace(machine, userspace_esp=probed.may_bind_service, userspace_detail=words)
