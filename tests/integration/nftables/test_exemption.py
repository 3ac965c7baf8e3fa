"""Pods keep their source address towards what was learned, whoever masquerades, and by whichever program."""

import asyncio
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from typing import Any

import pytest

from ncgd.decision.masquerade import translators
from ncgd.drivers.nftables.agent import AgentTable
from ncgd.drivers.nftables.clamps import MssClampTable
from ncgd.drivers.nftables.esp_port import EspPortTable
from ncgd.drivers.nftables.exemption import ExemptionTable
from ncgd.drivers.nftables.guard import GuardTable
from ncgd.drivers.nftables.translators import Translators
from ncgd.drivers.nftables.transport import Nft
from ncgd.drivers.nftables.watch import Watch
from ncgd.model import prefix as px
from ncgd.model.delta import Delta
from ncgd.model.event import ClampsRead, Event
from ncgd.model.masquerade import AGENT, AgentRules, Extra, HostSource, OwnNetwork
from ncgd.model.masquerade_event import AgentRulesRead, ExemptionRead
from ncgd.model.prefix import Prefix
from ncgd.resources.agent_config import parse
from tests.integration.kernel.host import eventually, last
from tests.integration.netns import Namespace, until, veth
from tests.integration.nftables.masquerading import FLANNEL, KUBE_PROXY, KUBENET, RULE_SETS, RuleSet, iptables

pytestmark = pytest.mark.root

VPC = px.parse("10.128.0.0/20")
V6 = px.parse("2001:db8:128::/48")
PODS = OwnNetwork(px.parse("10.1.0.0/16"))
NODE = HostSource(IPv4Address("10.1.0.1"))
PODS6 = OwnNetwork(px.parse("2001:db8:1::/48"))
ALL = (VPC, V6, px.parse("10.128.1.7/32"))
POD, POD6, VM, VM6, ELSEWHERE = "10.1.0.2", "2001:db8:1::2", "10.128.0.9", "2001:db8:128::9", "192.0.2.9"
SERVER = """
import socket, threading
listening = socket.create_server(("::", 7), family=socket.AF_INET6, dualstack_ipv6=True)
def serve(client, address):
    while client.recv(100):
        client.sendall(address[0].removeprefix("::ffff:").encode())
while True:
    threading.Thread(target=serve, args=listening.accept(), daemon=True).start()
"""
CLIENT = """
import itertools, socket, sys
with socket.create_connection((sys.argv[1], 7), 3) as it:
    for line in itertools.chain(["first"], sys.stdin):
        it.sendall(b"who am I?")
        print(it.recv(100).decode(), flush=True)
"""


def source_seen(space: Namespace, address: str) -> str:
    """The source address with which a TCP connection from a namespace arrives."""
    return space.run("python3", "-c", CLIENT, address, stdin="").strip()


@contextmanager
def site() -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """pod, node and the VPC; the node reaches it by ``t1`` and by ``t2``, which stand for tunnels."""
    with ExitStack() as stack:
        pod, node, vpc = (stack.enter_context(Namespace(f"kn-{name}")) for name in ("pod", "node", "vpc"))
        stack.enter_context(veth(pod, "eth0", f"{POD}/24", node, "cni0", "10.1.0.1/24"))
        for number in (1, 2):
            ours, theirs = f"169.254.{number}.2/30", f"169.254.{number}.1/30"
            stack.enter_context(veth(node, f"t{number}", ours, vpc, f"t{number}", theirs))
            node.ip(f"addr add 2001:db8:{number}00::2/64 dev t{number} nodad")
            vpc.ip(f"addr add 2001:db8:{number}00::1/64 dev t{number} nodad")
        pod.ip(f"addr add {POD6}/64 dev eth0 nodad")
        node.ip("addr add 2001:db8:1::1/64 dev cni0 nodad")
        pod.ip("route add default via 10.1.0.1")
        pod.ip("-6 route add default via 2001:db8:1::1")
        for address in (f"{VM}/32", f"{VM6}/128 nodad", f"{ELSEWHERE}/32"):
            vpc.ip(f"addr add dev lo {address}")
        node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        through(node, vpc, 1)
        for space in (pod, vpc):
            space.start("python3", "-c", SERVER)
            until(
                lambda who=space: who.succeeds("python3", "-c", CLIENT, "127.0.0.1"), what=f"a server in {space.name}"
            )
        yield pod, node, vpc


def serves(space: Namespace) -> bool:
    """Whether the server in a namespace answers."""
    return space.succeeds("python3", "-c", CLIENT, "127.0.0.1")


def through(node: Namespace, vpc: Namespace, number: int) -> None:
    """Both ends use tunnel 1 or 2 from now on."""
    node.ip(f"route replace default via 169.254.{number}.1")
    node.ip(f"-6 route replace default via 2001:db8:{number}00::1")
    vpc.ip(f"route replace 10.1.0.0/16 via 169.254.{number}.2 src {VM}")
    vpc.ip(f"-6 route replace 2001:db8:1::/48 via 2001:db8:{number}00::2 src {VM6}")


@contextmanager
def connection(space: Namespace, address: str) -> Iterator[Callable[[], str]]:
    """A TCP connection that lasts; each call says with which source address it is seen."""
    command = ["ip", "netns", "exec", space.name, "python3", "-c", CLIENT, address]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def ask() -> str:
            stdin.write("again\n")
            stdin.flush()
            return stdout.readline().strip()

        assert stdout.readline(), "not connected"
        yield ask
        stdin.close()


class Exempting:
    """The driver as the daemon wires it."""

    def __init__(self) -> None:
        nft = Nft()
        self.table = ExemptionTable(nft)
        self.events: list[Event] = []
        tables = (GuardTable(nft), self.table, MssClampTable(nft))
        self.watch = Watch(nft, *tables, self.events.append, esp_ports=EspPortTable(nft))

    async def set(self, *rows: Prefix | Extra) -> None:
        assert not (await self.table.write(Delta(set=dict.fromkeys(rows)))).failed

    async def remove(self, *rows: Prefix | Extra) -> None:
        assert not (await self.table.write(Delta(remove=frozenset(rows)))).failed


def drive(space: Namespace, scenario: Callable[[Exempting], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario in the namespace, with a driver of its own that watches."""

    async def run() -> None:
        it = Exempting()
        watching = asyncio.create_task(it.watch.run())
        try:
            await eventually(lambda: last(it.events, ClampsRead), "the first reading")
            await scenario(it)
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    space.call(lambda: asyncio.run(run()))


async def exempt(it: Exempting) -> None:
    await it.set(*ALL, PODS, PODS6)


def found(node: Namespace) -> list[str]:
    """The rules that would translate what goes to the VPC, as status names them."""

    async def look() -> list[str]:
        reading = await Translators(Nft(), lambda _: None).read()
        assert not reading.unread
        return [text for _, text in translators(reading.chains, {VPC})]

    return node.call(lambda: asyncio.run(look()))


@pytest.mark.parametrize("rule_set", RULE_SETS, ids=lambda each: each.name)
def test_pod_and_vm_see_each_other_as_they_are_whoever_masquerades(rule_set: RuleSet) -> None:
    with site() as (pod, node, vpc):
        rule_set.apply(node)
        masked = source_seen(pod, VM)
        assert masked != POD, "the rule set does nothing: the test proves nothing"
        rules = found(node)
        assert [rule for rule in rules if rule.startswith(rule_set.finds)], rules
        assert not [rule for rule in rules if "KUBE-POSTROUTING" in rule or "kube-proxy" in rule], "of marked ones only"
        drive(node, exempt)
        assert found(node) == rules, "our own is not among them"
        assert source_seen(pod, VM) == POD
        assert source_seen(vpc, POD) == VM
        assert source_seen(pod, ELSEWHERE) == masked, "what was not learned is masqueraded as before"
        if rule_set.has_v6:
            assert (source_seen(pod, VM6), source_seen(vpc, POD6)) == (POD6, VM6)
        rule_set.apply(node)  # a CNI that writes its chains anew changes nothing
        assert source_seen(pod, VM) == POD


def test_a_connection_that_is_masqueraded_already_goes_on_as_it_is_and_the_next_one_is_exempt() -> None:
    with site() as (pod, node, _):
        iptables(FLANNEL)(node)
        with connection(pod, VM) as ask:
            drive(node, exempt)
            assert ask() == "169.254.1.2"
            assert source_seen(pod, VM) == POD
            assert ask() == "169.254.1.2"


def test_an_exempt_connection_outlives_a_failover_that_ends_a_masqueraded_one() -> None:
    with site() as (pod, node, vpc):
        iptables(FLANNEL)(node)
        with connection(pod, VM) as ask:
            through(node, vpc, 2)
            assert ask() == "", "the kernel drops what it masqueraded for another interface"
        drive(node, exempt)
        with connection(pod, VM) as ask:
            assert ask() == POD
            through(node, vpc, 1)
            assert ask() == POD


def test_what_kube_proxy_marks_for_masquerading_stays_masqueraded() -> None:
    """A NodePort whose endpoint is a VM: the answer has to come back by this node, which translates it back."""
    with site() as (pod, node, _):
        iptables(KUBE_PROXY, FLANNEL)(node)
        service = "-A PREROUTING -d 10.1.0.1 -p tcp --dport 30007 -j {}"
        marked, translated = service.format("MARK --set-xmark 0x4000/0x4000"), service.format("DNAT --to " + f"{VM}:7")
        node.run("iptables-nft-restore", "--noflush", stdin=f"*nat\n{marked}\n{translated}\nCOMMIT\n")
        drive(node, exempt)
        seen = pod.run("python3", "-c", CLIENT.replace("7), 3", "30007), 3"), "10.1.0.1", stdin="").strip()
        assert seen == "169.254.1.2"
        assert source_seen(pod, VM) == POD


def test_the_node_itself_and_host_network_pods_keep_the_address_that_they_chose() -> None:
    with site() as (_, node, _):
        iptables(FLANNEL, KUBENET)(node)
        drive(node, exempt)
        bound = CLIENT.replace("7), 3", '7), 3, source_address=("10.1.0.1", 0)')
        assert node.run("python3", "-c", bound, VM, stdin="").strip() == "10.1.0.1"


def test_what_the_gateway_itself_sends_carries_an_address_that_the_vpc_has_a_route_to() -> None:
    with site() as (pod, node, vpc):
        iptables(KUBENET)(node)
        drive(node, exempt)
        assert source_seen(node, VM) == "169.254.1.2", "the tunnel's, to which the VPC has no route"

        async def stand_in(it: Exempting) -> None:
            await it.table.read()
            await it.set(NODE)
            assert NODE in (await it.table.read()).own

        drive(node, stand_in)
        vpc.ip("route add prohibit 169.254.0.0/16")
        assert source_seen(node, VM) == "10.1.0.1"
        assert source_seen(pod, VM) == POD
        assert node.succeeds("ping", "-c1", "-W2", "169.254.1.1"), "sessions and probes go between link-local addresses"


def test_prefixes_and_own_networks_come_and_go_and_leave_nothing() -> None:
    with site() as (pod, node, vpc):
        iptables(FLANNEL)(node)

        async def some(it: Exempting) -> None:
            await it.set(*ALL, PODS)
            await it.remove(VPC, PODS)

        drive(node, some)
        assert (source_seen(pod, VM), source_seen(vpc, POD)) == ("169.254.1.2", "10.1.0.1")

        async def back(it: Exempting) -> None:
            await it.set(VPC, PODS)
            await it.remove(V6)

        drive(node, back)
        assert (source_seen(pod, VM), source_seen(vpc, POD)) == (POD, VM)

        async def none(it: Exempting) -> None:
            await it.remove(*ALL, PODS)

        drive(node, none)
        assert source_seen(pod, VM) == "169.254.1.2"
        assert "ncgd" not in node.run("nft", "list", "ruleset")


def test_the_next_ncgd_reads_what_this_one_wrote_and_what_it_writes_itself_is_no_news() -> None:
    neighbours = (OwnNetwork(px.parse("10.2.0.0/15")), OwnNetwork(px.parse("10.4.0.0/16")))
    rows = (*ALL, PODS, PODS6, *neighbours, NODE)

    async def write(it: Exempting) -> None:
        await it.set(*rows)
        await it.table.read()
        assert len([event for event in it.events if isinstance(event, ExemptionRead)]) == 1

    async def read(it: Exempting) -> None:
        own = frozenset(row for row in rows if isinstance(row, Extra))
        assert last(it.events, ExemptionRead) == ExemptionRead(prefixes=frozenset(ALL), own=own)

    with Namespace("kn-node") as space:
        drive(space, write)
        drive(space, read)


@pytest.mark.parametrize(
    "meddling",
    [
        "flush ruleset",
        "delete table inet ncgd_masquerade",
        "flush chain inet ncgd_masquerade keep",
        "insert rule inet ncgd_masquerade keep accept",
        "delete element inet ncgd_masquerade v4_20 { 10.128.0.0 }",
        "flush set inet ncgd_masquerade own4",
    ],
)
def test_whatever_somebody_does_to_the_exemption_is_noticed_and_can_be_put_right(meddling: str) -> None:
    whole = ExemptionRead(prefixes=frozenset(ALL), own=frozenset({PODS}))
    with Namespace("kn-node") as space:

        async def scenario(it: Exempting) -> None:
            await it.set(*ALL, PODS)
            before = len(it.events)
            process = await asyncio.create_subprocess_exec("nft", meddling)
            assert await process.wait() == 0
            seen = await eventually(lambda: last(it.events[before:], ExemptionRead), "the meddling")
            assert seen != whole
            await it.set(*(whole.prefixes - seen.prefixes), *(whole.own - seen.own))
            assert await it.table.read() == whole

        drive(space, scenario)


def test_iptables_legacy_is_not_asked_where_it_is_not_in_use() -> None:
    with Namespace("kn-node") as space:
        assert found(space) == []
        assert "nat" not in space.run("sh", "-c", "cat /proc/net/ip_tables_names || true").split(), "it was made"


AGENT_CONFIG = "nonMasqueradeCIDRs: [10.0.0.0/9, 'fd00::/8']\n"


def rules(config: str) -> AgentRules:
    parsed = parse(config)
    return AgentRules(exempt=frozenset(px.collapse(parsed.exempt)), has_v6="::" in config)


def test_in_the_agents_place_all_is_masqueraded_but_what_its_configuration_names() -> None:
    with site() as (pod, node, vpc):
        vpc.ip("addr add 10.9.9.9/32 dev lo")
        wanted = rules(AGENT_CONFIG)

        async def install(it: Exempting) -> None:
            table = AgentTable(Nft())
            assert not (await table.write(Delta(set={AGENT: wanted}))).failed
            assert await table.read() == {AGENT: wanted}
            await eventually(lambda: last(it.events, AgentRulesRead) == AgentRulesRead(rules=wanted), "the news")

        drive(node, install)
        assert source_seen(pod, ELSEWHERE) == "169.254.1.2"
        assert source_seen(pod, VM) == "169.254.1.2", "10.128.0.0/9 is not named"
        assert source_seen(pod, VM6) == "2001:db8:100::2"
        assert source_seen(pod, "10.9.9.9") == POD
        assert found(node) == [], "no other program's rule"
        drive(node, exempt)
        assert (source_seen(pod, VM), source_seen(pod, ELSEWHERE)) == (POD, "169.254.1.2")

        async def remove(_: Exempting) -> None:
            table = AgentTable(Nft())
            assert not (await table.write(Delta(remove=frozenset({AGENT})))).failed
            assert await table.read() == {}

        drive(node, remove)
        assert source_seen(pod, ELSEWHERE) == POD


def test_in_the_agents_place_what_this_node_sends_keeps_address_and_port() -> None:
    """A new source port, as MASQUERADE --random-fully gives it, would only hurt IKE and ESP in UDP."""
    with site() as (_, node, _):

        async def install(_: Exempting) -> None:
            await AgentTable(Nft()).write(Delta(set={AGENT: rules("")}))

        drive(node, install)
        port = "print(it.getsockname()[1])"
        bound = CLIENT.replace("7), 3", '7), 3, source_address=("10.1.0.1", 4500)').replace(
            "for line", f"{port}\n    for line"
        )
        assert node.run("python3", "-c", bound, ELSEWHERE, stdin="").split() == ["4500", "10.1.0.1"]
        listed = node.run("nft", "list", "chain", "inet", "ncgd_agent", "agent")
        assert "masquerade fully-random" in listed


def test_agent_rules_without_ipv6_leave_ipv6_alone() -> None:
    with site() as (pod, node, _):
        wanted = rules("")

        async def install(_: Exempting) -> None:
            table = AgentTable(Nft())
            await table.write(Delta(set={AGENT: wanted}))
            assert await table.read() == {AGENT: wanted}
            process = await asyncio.create_subprocess_exec("nft", "flush chain inet ncgd_agent agent")
            assert await process.wait() == 0
            assert await table.read() == {}, "a rule is missing"
            await table.write(Delta(set={AGENT: wanted}))

        drive(node, install)
        assert (source_seen(pod, VM6), source_seen(pod, ELSEWHERE)) == (POD6, "169.254.1.2")
