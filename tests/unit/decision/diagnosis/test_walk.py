"""The path in order: what is fine is told, and the first thing that is wrong ends the walk."""

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from ncgd.decision.desired import desired_state
from ncgd.decision.diagnosis.step import Question, Scene
from ncgd.decision.diagnosis.walk import knows
from ncgd.decision.preflight.verdict import Verdict
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.bgp import TCP_FAILED
from ncgd.model.chains import Chain, Fate, Rule
from ncgd.model.fib import Interface, Way
from ncgd.model.ike import IkeFailure, SaState
from ncgd.model.look import (
    Echo,
    EchoAnswer,
    ForwardRules,
    Heard,
    IkeReach,
    Knock,
    KnockAnswer,
    Look,
    NatRules,
    RouteAnswer,
    RouteOf,
    Rules,
    Setting,
)
from ncgd.model.probe import Pulse
from tests.scenarios.site import Site, ha_vpn, healthy_site
from tests.unit.decision.diagnosis.looking import LAN, NODE, POD, VM, diagnosed, first

PASSAGE = Question(source=POD, destination=VM)
ROUTER = IPv4Address("169.254.1.1")


def site_with_pods() -> Site:
    site = healthy_site()
    site.interfaces[LAN] = Interface(index=3, name=LAN, kind="", mtu=1500, is_up=True, addresses=(f"{NODE}/24",))
    site.tell(ev.InterfacesRead(interfaces=dict(site.interfaces)))
    site.settle()
    return site


def test_all_is_well() -> None:
    site = site_with_pods()
    for question in (Question(), Question(what="tunnel-1"), Question(what="peer-2"), PASSAGE, Question(destination=VM)):
        diagnosis = diagnosed(site, question)
        assert {step.verdict for step in diagnosis.steps} == {Verdict.OK}, diagnosis.steps
        assert diagnosis.first is None


def test_the_path_is_walked_in_order() -> None:
    names = list(dict.fromkeys(step.name for step in diagnosed(site_with_pods(), PASSAGE).steps))
    assert names[:3] == ["programs", "resources", "way out"]
    assert names[names.index("learned") :] == [
        *("learned", "route", "source", "forwarding", "way there", "way back"),
        *("firewall", "source address", "advertised", "answer"),
    ]


def test_a_peer_is_diagnosed_with_its_tunnel_and_no_other() -> None:
    places = {step.where for step in diagnosed(site_with_pods(), Question(what="peer-1")).steps}
    assert {"tunnel-1", "peer-1"} <= places
    assert not {"tunnel-2", "peer-2"} & places


def test_what_is_not_there_is_not_known() -> None:
    site = healthy_site()

    def known(what: str) -> bool:
        question = Question(what=what)
        scene = Scene(question=question, world=site.world, desired=desired_state(site.world), report=site.report())
        return knows(question, scene)

    assert known("")
    assert known("tunnel-1")
    assert known("peer-2")
    assert not known("tunnel-3")


def site_whose_ike_fails(reason: str, message: str = "charon's words", tunnels: int = 1) -> Site:
    site = site_with_pods()
    for number in range(1, tunnels + 1):
        site.lose_sa(f"tunnel-{number}")
        failure = IkeFailure(tunnel=f"tunnel-{number}", reason=reason, message=message)
        site.tell(ev.IkeFailed(failure=failure))
    site.settle()
    return site


PEER = IPv4Address("198.51.100.11")


@pytest.mark.parametrize(
    ("answers", "reason", "words"),
    [
        ({500: "silent", 4500: "silent"}, "PeerUnreachable", "UDP 500: silent, UDP 4500: silent"),
        ({500: "answered", 4500: "silent"}, "UdpBlocked", "not on UDP 4500"),
        ({500: "silent", 4500: "answered"}, "UdpBlocked", "not on UDP 500"),
        ({500: "Connection refused", 4500: "silent"}, "PeerUnreachable", "Connection refused"),
    ],
)
def test_a_peer_that_does_not_answer_is_asked_again(answers: dict[int, str], reason: str, words: str) -> None:
    site = site_whose_ike_fails("PeerUnreachable")
    peer = site.intent.tunnels["tunnel-1"].remote_address
    step = first(diagnosed(site, Question(), {IkeReach(peer): answers}))
    assert (step.name, step.where) == ("IKE", "tunnel-1")
    assert step.problem is not None
    assert step.problem.reason == reason
    assert words in step.saw


def test_a_refused_authentication_is_told_with_what_was_shown() -> None:
    step = first(diagnosed(site_whose_ike_fails("AuthenticationFailed"), Question(what="tunnel-1")))
    assert step.problem is not None
    assert step.problem.reason == "AuthenticationFailed"
    assert "charon's words" in step.saw
    assert "we say to be 203.0.113.10" in step.saw
    # the key in the Secret may be another by now: nobody has asked tunnel-2 for it since it came up
    assert "tunnel-2 came up with the same identity, and with the key that this Secret held then" in step.saw


def test_proposals_are_told_when_none_was_chosen() -> None:
    step = first(diagnosed(site_whose_ike_fails("NoProposalChosen"), Question()))
    assert "aes256gcm16-prfsha256-ecp256" in step.saw


def test_traffic_selectors_that_were_narrowed() -> None:
    site = site_with_pods()
    site.sas["tunnel-1"] = replace(site.sas["tunnel-1"], selectors=("0.0.0.0/0", "10.128.0.0/9"))
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    step = first(diagnosed(site, Question()))
    assert step.problem is not None
    assert step.problem.reason == "TsNarrowed"
    assert "10.128.0.0/9" in step.saw


def test_keys_that_cannot_be_renewed_until_they_are() -> None:
    site = site_with_pods()
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    site.tell(ev.IkeFailed(failure=IkeFailure(tunnel="tunnel-1", reason="NoProposalChosen", message="none")))
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    step = first(diagnosed(site, Question()))
    assert step.problem is not None
    assert step.problem.reason == "PfsMismatch"
    site.sas["tunnel-1"] = replace(site.sas["tunnel-1"], child_id="77")
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    assert diagnosed(site, Question()).first is None


def test_a_dead_data_path_ends_the_walk_unless_there_is_another_way() -> None:
    site = site_with_pods()
    site.probe_finds(tunnel_1=Pulse.ALIVE, tunnel_2=Pulse.ALIVE)
    site.probe_finds(tunnel_1=Pulse.DEAD)
    site.settle()
    step = first(diagnosed(site, Question()))
    assert (step.name, step.where) == ("data path", "tunnel-1")
    diagnosis = diagnosed(site, PASSAGE)
    assert [each.verdict for each in diagnosis.steps].count(Verdict.WARN) == 1
    assert diagnosis.steps[-1].name == "answer"
    assert diagnosis.first is not None
    assert diagnosis.first.reason == "DataPathDead"


def test_what_all_tunnels_share_is_named_when_all_data_paths_are_dead() -> None:
    site = site_with_pods()
    site.probe_finds(tunnel_1=Pulse.ALIVE, tunnel_2=Pulse.ALIVE)
    site.probe_finds(tunnel_1=Pulse.DEAD, tunnel_2=Pulse.DEAD)
    site.settle()
    asked: dict[Look[Any], Any] = {IkeReach(site.intent.tunnels["tunnel-1"].remote_address): {500: "answered"}}
    step = first(diagnosed(site, Question(), asked))
    assert step.problem is not None
    assert (step.name, step.where, step.problem.reason) == ("data path", "tunnel-1", "NothingAnswers")
    assert "asked just now: UDP 500: answered, UDP 4500: silent" in step.saw
    assert "this machine's uplink" in step.problem.hint


def test_a_tunnel_that_nothing_ever_came_out_of() -> None:
    site = site_with_pods()
    site.sas["tunnel-1"] = replace(site.sas["tunnel-1"], packets_out=20, packets_in=0, child_seconds=9)
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    step = first(diagnosed(site, Question()))
    assert step.problem is not None
    assert step.problem.reason == "DataPathDead"
    assert "20 packets went in, 0 came out" in step.saw


def knock_at(site: Site) -> Knock:
    peer, plan = site.intent.peers["peer-1"], desired_state(site.world).tunnels["tunnel-1"]
    assert plan.interface is not None
    assert isinstance(peer.local_ip, IPv4Address)
    assert isinstance(peer.peer_ip, IPv4Address)
    return Knock(interface=plan.interface, local=peer.local_ip, remote=peer.peer_ip, port=179)


@pytest.mark.parametrize(
    ("said", "answer", "reason"),
    [
        ("the peer sent NOTIFICATION 2/2: bad peer AS", KnockAnswer(heard=Heard.OPEN), "AsnMismatch"),
        ("", KnockAnswer(heard=Heard.SILENT), "BgpPortSilent"),
        ("", KnockAnswer(heard=Heard.SILENT, is_signed=True), "BgpSigned"),
        ("", KnockAnswer(heard=Heard.REFUSED), "BgpPortRefused"),
        ("", KnockAnswer(heard=Heard.OPEN), "SessionDown"),
        ("", KnockAnswer(heard=Heard.SILENT, failure="no CAP_NET_RAW"), "SessionDown"),
    ],
)
def test_a_session_that_does_not_come_up(said: str, answer: KnockAnswer, reason: str) -> None:
    site = site_with_pods()
    site.tell(ev.SessionDown(peer="peer-1", reason=said))
    step = first(diagnosed(site, Question(), {knock_at(site): answer}))
    assert (step.name, step.where) == ("BGP session", "peer-1")
    assert step.problem is not None
    assert step.problem.reason == reason


def test_what_a_notification_said_is_told_while_later_attempts_fail_without_a_word() -> None:
    site = site_with_pods()
    said = "we sent NOTIFICATION 2/2: bad peer AS"
    for reason in (said, TCP_FAILED, TCP_FAILED):
        site.tell(ev.SessionDown(peer="peer-1", reason=reason))
    problem = next(each for each in site.report().problems if each.reason == "SessionDown")
    assert problem.message.endswith(f"{said}; since then {TCP_FAILED}")
    step = first(diagnosed(site, Question()))
    assert step.problem is not None
    assert step.problem.reason == "AsnMismatch"
    site.tell(ev.SessionUp(peer="peer-1"), ev.SessionDown(peer="peer-1", reason=TCP_FAILED))
    assert site.world.session("peer-1").reason == TCP_FAILED


def strict(key: str) -> Setting:
    return Setting(f"net.ipv4.conf.{key}.rp_filter")


REFUSED = RouteAnswer(refusal="Invalid argument")
DOCKER = Chain(table="iptables-nft ip filter", name="FORWARD", version=4, priority=0, drops_rest=True)
PERHAPS = replace(DOCKER, rules=(Rule(fate=Fate.ACCEPT, is_conditional=True, text="mark accept"),))
MASQUERADE = Chain(
    table="nftables ip cni",
    name="post",
    priority=-5,
    rules=(Rule(fate=Fate.TRANSLATE, text="masquerade"),),
)
OUT = "the tunnel's"


def echo(source: IPv4Address, destination: IPv4Address = VM) -> Echo:
    return Echo(source=source, destination=destination)


SILENT = EchoAnswer(left_by=OUT, left_as=POD)


@pytest.mark.parametrize(
    ("answers", "reason", "words"),
    [
        ({RouteOf(VM): RouteAnswer(way=Way(interface="eth0"))}, "RoutedElsewhere", "by eth0"),
        ({RouteOf(VM): RouteAnswer(refusal="Invalid argument")}, "RoutedElsewhere", "Invalid argument"),
        ({RouteOf(POD): RouteAnswer(refusal="Network is unreachable")}, "SourceUnknown", "unreachable"),
        ({Setting("net.ipv4.ip_forward"): "0"}, "ForwardingOff", "net.ipv4.ip_forward is 0"),
        ({RouteOf(VM, POD, LAN): REFUSED, strict(LAN): "1"}, "ReversePathStrict", "conf.eth1.rp_filter is 1"),
        ({RouteOf(VM, POD, LAN): REFUSED, strict("all"): "1"}, "ReversePathStrict", "conf.all.rp_filter is 1"),
        (
            {RouteOf(VM, POD, LAN): REFUSED, Setting("net.ipv4.conf.eth1.forwarding"): "0"},
            "ForwardingOff",
            "conf.eth1.forwarding is 0",
        ),
        ({RouteOf(VM, POD, LAN): REFUSED}, "RoutedElsewhere", "Invalid argument"),
        ({ForwardRules(): Rules(chains=(DOCKER,))}, "ForwardDropped", "FORWARD: policy drop"),
        ({echo(POD): EchoAnswer(left_by=OUT, left_as=NODE)}, "SourceTranslated", "as 10.10.0.1"),
        (
            {NatRules(): Rules(chains=(MASQUERADE,)), echo(POD): EchoAnswer(left_by=OUT, left_as=NODE)},
            "SourceTranslated",
            "nftables ip cni post: masquerade",
        ),
        ({echo(POD): EchoAnswer(failure="Operation not permitted")}, "ForwardDropped", "Operation not permitted"),
        ({echo(POD): SILENT}, "NodeCanPodCannot", "answers this node (10.10.0.1), and not 10.10.0.10"),
        ({echo(POD): SILENT, echo(NODE): SILENT}, "DestinationSilent", "nothing came back"),
        (
            {echo(POD): EchoAnswer(left_by=OUT, left_as=POD, came_by=OUT)},
            "ForwardDropped",
            "did not leave by eth1",
        ),
    ],
)
def test_the_first_thing_that_is_wrong_on_the_passage(answers: dict[Look[Any], Any], reason: str, words: str) -> None:
    step = first(diagnosed(site_with_pods(), PASSAGE, answers))
    assert step.problem is not None
    assert step.problem.reason == reason
    assert step.verdict is Verdict.FAIL
    assert words in step.saw


def test_what_may_be_dropped_is_told_and_the_walk_goes_on() -> None:
    diagnosis = diagnosed(site_with_pods(), PASSAGE, {ForwardRules(): Rules(chains=(PERHAPS,))})
    assert diagnosis.steps[-1].name == "answer"
    assert diagnosis.first is not None
    assert diagnosis.first.reason == "ForwardDropped"
    assert not diagnosis.first.is_error


def test_a_far_end_that_does_not_send_back() -> None:
    site = site_with_pods()
    plan = desired_state(site.world).tunnels["tunnel-1"]
    lost = EchoAnswer(left_by=plan.interface or "", left_as=POD)
    router = site.intent.peers["peer-1"].peer_ip
    assert isinstance(router, IPv4Address)
    answers: dict[Look[Any], Any] = {echo(POD): lost, echo(NODE): lost, echo(POD, router): lost}
    step = first(diagnosed(site, PASSAGE, answers))
    assert step.problem is not None
    assert step.problem.reason == "NoReturnRoute"
    assert f"the far end of tunnel-1 ({router}) answers" in step.saw


def test_a_source_that_the_far_side_was_not_told_of() -> None:
    pod = IPv4Address("10.20.0.7")
    question = Question(source=pod, destination=VM)
    near: dict[Look[Any], Any] = {RouteOf(pod): RouteAnswer(way=Way(interface=LAN, length=24))}
    step = first(diagnosed(site_with_pods(), question, near))
    assert step.problem is not None
    assert step.problem.reason == "SourceNotAdvertised"
    assert "peer-1, peer-2 are told of no prefix that holds 10.20.0.7" in step.saw


def test_a_destination_that_nobody_brings_or_that_is_refused() -> None:
    site = site_with_pods()
    step = first(diagnosed(site, Question(destination=IPv4Address("10.99.0.1"))))
    assert step.problem is not None
    assert step.problem.reason == "NoPathLearned"
    site.peer_sends("peer-1", px.parse("127.0.0.0/8"))
    site.settle()
    step = first(diagnosed(site, Question(destination=IPv4Address("127.0.0.9"))))
    assert step.problem is not None
    assert step.problem.reason == "Martian"


def test_nothing_is_configured() -> None:
    site = Site(ha_vpn())
    site.tell(ev.IntentRead(intent=replace(site.intent, tunnels={}, peers={})))
    step = first(diagnosed(site, Question()))
    assert step.problem is not None
    assert step.problem.reason == "NothingConfigured"


def test_a_tunnel_that_is_being_negotiated() -> None:
    site = site_with_pods()
    site.sas["tunnel-1"] = replace(site.sas["tunnel-1"], state=SaState.CONNECTING)
    site.tell(ev.SasRead(charon="charon", sas=dict(site.sas)))
    step = first(diagnosed(site, Question()))
    assert (step.name, step.where) == ("IKE", "tunnel-1")
