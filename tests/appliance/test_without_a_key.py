"""The same disk by UEFI, and a seed without a key: nobody gets in, and the console tells how it goes."""

import pytest

from ncgd.lab import proof
from tests.appliance.guest import Guest
from tests.appliance.test_appliance import BOOT_SECONDS
from tests.integration.netns import until

pytestmark = [pytest.mark.root, pytest.mark.appliance, pytest.mark.timeout(900)]
IS_UEFI = True
HAS_KEY = False


def test_the_console_shows_the_status(guest: Guest) -> None:
    try:
        until(lambda: "Healthy" in guest.console(), BOOT_SECONDS)
    except AssertionError as late:
        raise AssertionError(guest.console()[-4000:]) from late
    assert "tunnel-2" in guest.console()
    assert len(proof.tcp_both_ways()) == 2


@pytest.mark.parametrize("port", [22, 179, 9179])
def test_nothing_listens(guest: Guest, port: int) -> None:
    with proof.socket_in("pod") as caller:
        caller.settimeout(3)
        with pytest.raises(OSError, match=r"refused|timed out"):
            caller.connect(("10.10.0.1", port))
