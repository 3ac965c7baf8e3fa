"""What `up` promises, on a lab that stays up while the tests look at it."""

import re
from threading import Timer

import pytest

from tests.integration.netns import until
from tests.lab import site_side
from tests.lab.cloud_side import birdc
from tests.lab.conftest import Lab, assert_only_ike_and_esp_crosses

pytestmark = [pytest.mark.lab, pytest.mark.root]


def test_up_ends_with_the_status_screen_pings_and_connections(lab: Lab) -> None:
    assert "Healthy" in lab.up_output
    assert "tunnel-1" in lab.up_output
    assert "5 of 5 through tunnel-1" in lab.up_output
    assert "5 of 5 through tunnel-2" in lab.up_output
    assert "vm 10.128.0.10 -> pod 10.10.0.10: each sees the other's own address" in lab.up_output


def test_status_shows_two_tunnels_and_two_peers_established(lab: Lab) -> None:
    status = site_side.untroubled()
    assert [each["status"] for each in status["tunnels"]] == ["established", "established"]
    assert [each["status"] for each in status["peers"]] == ["established", "established"]
    assert [each["usable"] for each in status["tunnels"]] == [True, True]
    assert status["routes"]["installed"] == status["routes"]["desired"] > 0


def test_up_again_says_so_and_proves_it_again(lab: Lab) -> None:
    again = lab.prove()
    assert "already up" in again
    assert "5 of 5 through tunnel-2" in again


def test_a_vpc_that_learns_the_way_back_late_is_waited_for(lab: Lab) -> None:
    """The gateway is Healthy once it has learned; the VM has its routes from the routers, when these have told it."""
    birdc("vm", "disable", '"cloud*"')
    late = Timer(1.0, birdc, ("vm", "enable", '"cloud*"'))
    late.start()
    try:
        assert "pod 10.10.0.10 -> vm 10.128.0.10: each sees" in lab.prove()
    finally:
        late.join()


def test_up_with_other_options_is_refused(lab: Lab) -> None:
    other = lab.command("up", "--prefixes", "7")
    assert other.returncode == 1
    assert "other options" in other.stderr


def test_exec_passes_output_and_exit_status_through(lab: Lab) -> None:
    assert "inet 10.10.0.10/24" in lab.run("pod", "ip", "addr").stdout
    assert lab.run("vm", "sh", "-c", "exit 7").returncode == 7


def test_the_status_command_lists_nodes_and_programs(lab: Lab) -> None:
    status = lab.command("status")
    assert status.returncode == 0
    assert re.search(r"(?m)^cloud1 .*bird, charon$", status.stdout)
    assert "Healthy" in status.stdout


def test_the_vpc_follows_bgp_and_shares_equal_paths(lab: Lab) -> None:
    def learned() -> str:
        return lab.run("vm", "ip", "route", "show", "10.10.0.0/24", "proto", "bird").stdout

    until(lambda: "dev cloud0" in learned() and "dev cloud1" in learned(), 30, "a path through each cloud interface")
    assert lab.run("vm", "ping", "-c", "3", "-i", "0.1", "10.10.0.10").returncode == 0


def test_the_internet_knows_no_private_prefix(lab: Lab) -> None:
    unreachable = lab.run("internet", "ip", "route", "get", "10.128.0.10")
    assert unreachable.returncode != 0


def test_nothing_but_ike_and_esp_crosses_the_internet(lab: Lab) -> None:
    assert_only_ike_and_esp_crosses(lab)
