"""The appliance, booted by BIOS from its qcow2: it comes up by itself, stays up, and comes back after a reboot."""

import json
import time

import pytest

from ncgd.lab import proof
from ncgd.lab.topology import VM
from tests.appliance.conftest import DISK_BYTES
from tests.appliance.guest import Guest
from tests.integration.netns import until
from tests.lab.site_side import flowing

pytestmark = [pytest.mark.root, pytest.mark.appliance, pytest.mark.timeout(900)]
BOOT_SECONDS = 300
"""An emulated machine on a loaded one."""
ESP_BYTES = 256 << 20
UNITS = ("ncgd", "ncgd-charon", "ncgd-exabgp")


def healthy(guest: Guest, seconds: float = 60) -> None:
    try:
        until(lambda: guest.status().get("status") == "Healthy", seconds)
    except AssertionError as late:
        raise AssertionError(f"not Healthy: {guest.status()}\n{guest.console()[-4000:]}") from late


def told(guest: Guest, command: str) -> str:
    answer = guest.ssh(command)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def process(guest: Guest, unit: str) -> str:
    return told(guest, f"systemctl show --value -p MainPID {unit}")


def test_it_comes_up_by_itself(guest: Guest) -> None:
    healthy(guest, BOOT_SECONDS)
    status = guest.status()
    assert status["dataplane"]["mode"] == "kernel"
    assert [tunnel["usable"] for tunnel in status["tunnels"]] == [True, True]
    assert [peer["accepted"] for peer in status["peers"]] == [1, 1]
    assert status["problems"] == []
    assert told(guest, "hostname") == "gateway-1"
    entries = told(guest, "journalctl -b -u ncgd -o json --output-fields=MESSAGE").splitlines()
    when = next(
        int(entry["__MONOTONIC_TIMESTAMP"]) for entry in map(json.loads, entries) if "Healthy" in entry["MESSAGE"]
    )
    began = int(told(guest, "systemctl show --value -p UserspaceTimestampMonotonic"))
    print(f"Healthy {(when - began) / 1e6:.1f} s after the start of user space")


def test_packets_pass_with_their_own_addresses(guest: Guest) -> None:
    assert len(proof.tcp_both_ways()) == 2


def test_nothing_failed_on_the_way(guest: Guest) -> None:
    assert told(guest, "systemctl list-units --failed --plain --no-legend") == ""
    for unit in UNITS:
        assert told(guest, f"systemctl show --value -p NRestarts {unit}") == "0"


def test_its_file_system_fills_its_disk(guest: Guest) -> None:
    """A minute after the boot: it can wait, the gateway cannot."""
    wanted = 0.9 * (DISK_BYTES - ESP_BYTES)  # the rest is the file system's own
    until(lambda: int(told(guest, "df --block-size=1 --output=size / | tail -n 1")) > wanted, BOOT_SECONDS)


def test_nobody_logs_in_with_a_password(guest: Guest) -> None:
    assert [
        line for line in told(guest, "cat /etc/shadow").splitlines() if line.split(":")[1] not in {"*", "!", "!*"}
    ] == []
    assert "passwordauthentication no" in told(guest, "sshd -T")


def test_the_firewall_s_reload_leaves_what_is_ncgd_s(guest: Guest) -> None:
    before = set(told(guest, "nft list tables").splitlines())
    assert {"table inet appliance", "table inet ncgd_guard"} <= before
    with flowing(VM) as lost:
        told(guest, "systemctl restart nftables")
    assert set(told(guest, "nft list tables").splitlines()) == before
    assert lost == {VM: 0}


@pytest.mark.parametrize("unit", ["ncgd", "ncgd-exabgp"])
def test_a_restart_is_noticed_by_no_packet(guest: Guest, unit: str) -> None:
    others = {other: process(guest, other) for other in UNITS if other != unit}
    before = process(guest, unit)
    with flowing(VM) as lost:
        told(guest, f"systemctl restart {unit}")
        healthy(guest)
    assert lost == {VM: 0}
    assert process(guest, unit) != before
    assert {other: process(guest, other) for other in others} == others


def test_a_charon_that_was_restarted_has_its_tunnels_again(guest: Guest) -> None:
    told(guest, "systemctl restart ncgd-charon")

    def has_new_tunnels() -> bool:
        tunnels = guest.status().get("tunnels", [])
        return bool(tunnels) and all(each["usable"] and each["establishedSeconds"] < 60 for each in tunnels)

    until(has_new_tunnels, 120)
    healthy(guest)


def test_an_ncgd_that_stands_still_is_replaced(guest: Guest) -> None:
    before = process(guest, "ncgd")
    told(guest, f"kill -STOP {before}")
    until(lambda: process(guest, "ncgd") not in {before, "0"}, 120)
    healthy(guest)
    assert "watchdog" in told(guest, "journalctl -b -u ncgd -g 'atchdog timeout' | tail -n 1").lower()


def test_it_is_there_again_after_a_reboot(guest: Guest) -> None:
    boot = told(guest, "cat /proc/sys/kernel/random/boot_id")
    guest.ssh("systemctl reboot")
    began = time.monotonic()
    until(lambda: guest.ssh("cat /proc/sys/kernel/random/boot_id").stdout.strip() not in {"", boot}, BOOT_SECONDS)
    healthy(guest, BOOT_SECONDS)
    print(f"Healthy {time.monotonic() - began:.1f} s after `reboot`")
    assert len(proof.tcp_both_ways()) == 2
