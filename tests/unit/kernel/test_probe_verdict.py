"""The verdict on what kernels answer, for each kernel that was measured."""

import errno

import pytest

from ncgd.drivers.kernel.parse import Refusal
from ncgd.drivers.kernel.probe import Answers, judge

YES = None
NO_IF_ID = Refusal(errno.EINVAL, "if_id must be non zero")
UNKNOWN_LINK = Refusal(errno.EOPNOTSUPP, "Unknown device type")
NO_ESP = Refusal(errno.EPROTONOSUPPORT, "Requested type not found")
NO_XFRM = Refusal(errno.EPROTONOSUPPORT)
NO_GCM = Refusal(errno.ENOSYS, "Requested AEAD algorithm not found")
NO_CRYPTO = Refusal(errno.ENOENT, "Kernel was unable to initialize cryptographic operations")
DENIED = Refusal(errno.EPERM)

KERNELS = {
    "distribution kernel": (NO_IF_ID, YES, YES, True, True),
    "distribution kernel before 5.17": (YES, YES, YES, True, True),
    "the probe's link exists": (Refusal(errno.EEXIST), YES, YES, True, True),
    "microVM without ESP": (UNKNOWN_LINK, NO_ESP, NO_GCM, False, True),
    "no modules can be loaded": (UNKNOWN_LINK, NO_XFRM, NO_XFRM, False, True),
    "modules without crypto": (NO_IF_ID, NO_CRYPTO, NO_GCM, False, True),
    "GCM without its parts": (NO_IF_ID, YES, NO_CRYPTO, False, True),
    "user-mode Linux: ESP, no XFRM interface": (UNKNOWN_LINK, YES, YES, False, True),
    "no CAP_NET_ADMIN": (DENIED, DENIED, DENIED, False, False),
}


@pytest.mark.parametrize(("link", "esp", "gcm", "kernel_esp", "may_administer"), KERNELS.values(), ids=KERNELS)
def test_verdict(
    link: Refusal | None, esp: Refusal | None, gcm: Refusal | None, kernel_esp: bool, may_administer: bool
) -> None:
    verdict = judge(Answers(link=link, esp=esp, gcm=gcm))
    assert (verdict.kernel_esp, verdict.may_administer) == (kernel_esp, may_administer)
    assert verdict.userspace_esp


def test_the_words_name_each_question_with_errno_and_the_kernels_text() -> None:
    verdict = judge(Answers(link=UNKNOWN_LINK, esp=NO_ESP, gcm=NO_GCM, userspace_lacks="no charon"))
    assert verdict.detail == (
        "XFRM interface: Unknown device type (errno 95); ESP: Requested type not found (errno 93); "
        "AES-GCM: Requested AEAD algorithm not found (errno 38); userspace ESP: no charon"
    )
    assert not verdict.userspace_esp


def test_without_rights_it_says_that_nothing_is_known() -> None:
    assert "CAP_NET_ADMIN: missing" in judge(Answers(link=DENIED, esp=DENIED, gcm=DENIED)).detail
