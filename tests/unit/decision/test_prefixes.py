"""Looking for a prefix: how each stands, in one line, and those that stand oddly first."""

from ncgd.decision import prefixes
from ncgd.decision.desired import desired_state
from ncgd.decision.prefixes import Found, Standing, find
from ncgd.model import prefix as px
from ncgd.model.fib import ForeignRoute
from tests.scenarios.site import VPC, Site, healthy_site

LEARNED = tuple(px.parse(f"10.{128 + n}.0.0/20") for n in range(1, 5))


def a_site() -> Site:
    site = healthy_site()
    for name in site.intent.peers:
        site.peer_sends(name, *LEARNED)
    site.settle()
    return site


def found(site: Site, query: str = "", first: int = 0, count: int = 25) -> Found:
    return find(query, first, count, site.world, desired_state(site.world))


def test_a_prefix_says_what_keeps_it_from_being_used() -> None:
    site = a_site()
    overruled, untouched, failed, waiting = LEARNED
    site.peer_sends("peer-1", px.parse("127.0.0.0/8"))
    site.settle()
    site.world.routes.shadows = {overruled: ForeignRoute(protocol=4, metric=0)}
    site.world.routes.failed[failed] = "No space left on device"
    del site.world.routes.installed[waiting]
    rows = {row.prefix: row for row in found(site).rows}
    assert rows["127.0.0.0/8"].standing == Standing.REFUSED
    assert rows["127.0.0.0/8"].why.startswith("from peer-1 Martian: ")
    assert rows[px.text(overruled)].standing == Standing.OVERRULED
    assert "another program's route (static, metric 0) wins" in rows[px.text(overruled)].why
    assert (rows[px.text(failed)].standing, rows[px.text(failed)].why) == (Standing.MISSING, "No space left on device")
    assert (rows[px.text(waiting)].standing, rows[px.text(waiting)].why) == (Standing.MISSING, "not installed yet")
    assert rows[px.text(untouched)].standing == Standing.ROUTED, "what another one lacks is not its fault"
    first = [row.prefix for row in found(site).rows][:3]
    assert set(first) == {"127.0.0.0/8", px.text(overruled), px.text(failed)}


def test_who_carries_it_and_who_would_be_next() -> None:
    site = a_site()
    site.peer_sends("peer-2", VPC, med=500)
    site.settle()
    (row,) = found(site, px.text(VPC)).rows
    assert (row.carriers, row.why) == (("peer-1",), "peer-2 would be next")
    site.lose_sa("tunnel-1")
    site.settle()
    (row,) = found(site, px.text(VPC)).rows
    assert (row.carriers, row.why) == (("peer-2",), "peer-1, the better choice, cannot carry it now")
    site.lose_sa("tunnel-2")
    site.settle()
    (row,) = found(site, px.text(VPC)).rows
    assert (row.standing, row.carriers) == (Standing.HELD, ())


def test_a_search_goes_by_address_by_text_and_by_word() -> None:
    site = a_site()
    assert [row.prefix for row in found(site, "10.129.3.4").rows] == ["10.129.0.0/20"]
    assert found(site, "10.128.0.0/9").matching == 5
    assert [row.prefix for row in found(site, "10.13").rows] == ["10.130.0.0/20", "10.131.0.0/20", "10.132.0.0/20"]
    assert found(site, "PEER-1").matching == 5
    assert found(site, "routed").matching == 5
    assert found(site, "refused").matching == 0
    assert found(site, "::/0").rows == ()
    page = found(site, first=3, count=2)
    assert ([row.prefix for row in page.rows], page.matching) == (["10.131.0.0/20", "10.132.0.0/20"], 5)


def test_of_too_many_those_that_are_named_are_found_all_the_same() -> None:
    site = healthy_site()
    site.peer_sends("peer-1", *(px.make(4, (11 << 24) + (n << 8), 24) for n in range(4999)))
    site.settle(60)
    before = prefixes.SCANNED
    assert not found(site).is_partial
    for n in range(5000, before + 500):
        site.world.rib.best[px.make(4, (11 << 24) + (n << 8), 24)] = (("peer-1",),)
    late = px.text(px.make(4, (11 << 24) + ((before + 499) << 8), 24))
    everything = found(site)
    assert everything.is_partial
    assert everything.matching == before, "no page is empty"
    assert len(found(site, first=before - 5).rows) == 5
    assert everything.known > before
    assert [row.prefix for row in found(site, late).rows] == [late]
