"""Conditions and notices: what each object is told, since when, and what is news."""

from dataclasses import replace

from ncgd.decision.conditions import with_conditions
from ncgd.decision.notices import notices
from ncgd.model.report import Report
from ncgd.model.spec import Finding, Intent, ObjectRef
from tests.scenarios.site import Site, ha_vpn, healthy_site

TUNNEL = ObjectRef(kind="OverlayVPNTunnel", namespace="kube-system", name="tunnel-1")
SECRET = ObjectRef(kind="Secret", namespace="kube-system", name="ike-key")


def told(site: Site, before: Report | None, now: str) -> Report:
    return with_conditions(site.report(), site.world.intent or Intent(), before, now)


def ready_since(report: Report) -> dict[str, str]:
    return {tunnel.ref.name: tunnel.conditions[0].since for tunnel in report.tunnels}


def test_since_moves_only_when_the_answer_changes() -> None:
    site = healthy_site()
    first = told(site, None, "t1")
    assert ready_since(first) == {"tunnel-1": "t1", "tunnel-2": "t1"}
    second = told(site, first, "t2")
    assert ready_since(second) == ready_since(first)
    site.lose_sa("tunnel-1")
    third = told(site, second, "t3")
    assert ready_since(third) == {"tunnel-1": "t3", "tunnel-2": "t1"}
    assert ready_since(told(site, third, "t4")) == ready_since(third)


def test_a_refused_edit_of_an_object_in_force_is_told_with_its_generation() -> None:
    finding = Finding(reason="Wrong", where="x", field="spec.mtu", message="is odd", hint="make it even", ref=TUNNEL)
    intent = replace(ha_vpn(), findings=(finding,), generations={TUNNEL: 7})
    tunnel = told(healthy_site(intent), None, "t1").tunnels[0]
    accepted = tunnel.conditions[1]
    assert (tunnel.generation, accepted.is_true, accepted.reason) == (7, False, "Wrong")
    assert accepted.message == "spec.mtu: is odd (make it even). What was last in force stays in force."


def test_what_is_wrong_with_a_secret_is_told_of_the_tunnels_that_name_it() -> None:
    finding = Finding(reason="SecretForbidden", where="x", message="may not be read", ref=SECRET)
    manifests = {TUNNEL: {"ikeKey": {"name": "ike-key"}}}
    report = told(healthy_site(replace(ha_vpn(), findings=(finding,), manifests=manifests)), None, "t1")
    assert [tunnel.conditions[1].reason for tunnel in report.tunnels] == ["SecretForbidden", "InForce"]


def test_an_object_never_in_force_is_reported_as_refused() -> None:
    other = replace(TUNNEL, name="other")
    finding = Finding(reason="Wrong", where="x", message="bad", ref=other)
    report = told(healthy_site(replace(ha_vpn(), findings=(finding,), generations={other: 1, SECRET: 0})), None, "t1")
    (refused,) = report.refused
    assert (refused.ref, refused.generation) == (other, 1)
    assert [(each.type, each.is_true, each.reason) for each in refused.conditions] == [
        ("Ready", False, "NotAccepted"),
        ("Accepted", False, "Wrong"),
    ]


def test_a_start_is_no_news_and_a_change_is() -> None:
    site = healthy_site()
    first = told(site, None, "t1")
    assert list(notices(None, first)) == []
    site.lose_sa("tunnel-1")
    second = told(site, first, "t2")
    news = {(notice.ref.name, notice.reason, notice.is_warning) for notice in notices(first, second)}
    assert ("tunnel-1", "TunnelDown", True) in news
    assert ("default", "GatewayNotHealthy", True) in news
    site.unreachable.clear()
    site.now += 60
    site.settle()
    back = {(notice.ref.name, notice.reason) for notice in notices(second, told(site, second, "t3"))}
    assert ("tunnel-1", "TunnelUp") in back


def test_a_refusal_is_news_once_for_each_wording() -> None:
    def report(message: str, before: Report | None) -> Report:
        finding = Finding(reason="Wrong", where="x", message=message, ref=TUNNEL)
        return told(healthy_site(replace(ha_vpn(), findings=(finding,))), before, "t")

    first = report("bad", None)
    assert [notice.reason for notice in notices(None, first)] == ["Refused"]
    assert list(notices(first, report("bad", first))) == []
    assert [notice.reason for notice in notices(first, report("worse", first))] == ["Refused"]
