"""The status page as text: what it says in each state, that nothing in it is taken for markup, and how large it is."""

import asyncio
import base64
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from microdot import Request, Response

from ncgd.api.history import SLOT_SECONDS, SLOTS, Track
from ncgd.api.page.markup import Html, tag
from ncgd.api.page.routes import assets, page_of
from ncgd.api.page.words import count, milliseconds, rate, shortened, span
from ncgd.api.server import Api
from ncgd.daemon.loop import State
from ncgd.decision.desired import desired_state
from ncgd.decision.world import World
from ncgd.model import event as ev
from ncgd.model import prefix as px
from ncgd.model.happening import Happening
from ncgd.model.ike import Traffic
from ncgd.model.probe import ProbeReport, Pulse, Vitality
from ncgd.model.report import Problem
from ncgd.model.secret import Vault
from ncgd.resources.load import Loaded, load_files
from tests.scenarios.site import healthy_site
from tests.unit.api.scenes import SCENES, Life, Moment, moment, nobody_looks
from tests.unit.resources.manifests import a_file, gateway, peer, secret, tunnel

LARGEST_BYTES = 100_000
KEY = "canary-Tr0ub4dor-and-3-of-many-letters"


def answer(scene: Moment, target: str = "/") -> Response:
    return asyncio.run(_called(page_of(lambda: scene.state, scene.history), target))


async def _called(handler: Callable[[Request], object], target: str) -> Response:
    response = await handler(Request(None, ("", 0), "GET", target, "1.1", {}))  # type: ignore[misc]
    assert isinstance(response, Response)
    return response


def page(name: str, query: str = "") -> str:
    return str(answer(moment(SCENES[name]()), f"/{query}").body.decode())


def text(markup: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup))


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        ("healthy", ["Both tunnels carry traffic; 14 prefixes are routed. No problems.", "answers in 1.8 ms", "2 / 2"]),
        ("degraded", ["1 of 2 tunnels carries", "AuthenticationFailed", "What to do:", "trailing newline", "Failover"]),
        ("down", ["No tunnel carries traffic; 14 prefixes are held back and nothing leaks.", "0 / 2", "TunnelDown"]),
        ("standby", ["Standby", "node-2 (10.0.0.2) holds Lease", "Direct", "13 prefixes told by the gateway"]),
        ("empty", ["Nothing is configured yet", "NothingConfigured", "no tunnel is configured", "nothing is learned"]),
        (
            "large",
            [
                "62 of 64 tunnels carry",
                "and 56 more, all of which carry traffic",
                "SaDown 2 OverlayVPNTunnels, error",
                "page 1 of 200",
            ],
        ),
    ],
)
def test_each_state_is_said_in_words(scene: str, said: list[str]) -> None:
    shown = text(page(scene))
    assert [each for each in said if each not in shown] == []


@pytest.mark.parametrize("scene", SCENES)
def test_the_page_is_small_whole_and_refers_to_nothing_outside(scene: str) -> None:
    moment_of = moment(SCENES[scene]())
    body = answer(moment_of).body
    sheet, script = (assets()[f"/assets/page.{kind}"].body for kind in ("css", "js"))
    assert len(body) + len(sheet) + len(script) <= LARGEST_BYTES
    assert set(re.findall(r'"(/assets/[^"]*)"', body.decode())) <= assets().keys()
    assert "//" not in re.sub(r"<!doctype html>", "", body.decode())
    assert b"http:" not in sheet + script
    assert b"url(" not in sheet
    for forbidden in (" style=", " onclick=", "javascript:", "<style", "</script>\n<script>"):
        assert forbidden not in body.decode()
    assert re.findall(r"<script[^>]*>[^<]", body.decode()) == []
    checked = _Checker()
    checked.feed(body.decode())
    assert checked.open == []
    assert len(checked.ids) == len(set(checked.ids))


class _Checker(HTMLParser):
    """Every element that is opened is closed in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in {"meta", "link", "input", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&lt;b&gt;"])
def test_what_others_say_is_text_wherever_it_stands(evil: str) -> None:
    scene = moment(SCENES["degraded"]())
    report = scene.state.report
    assert report is not None
    problem = Problem(reason=evil, object=f"OverlayBGPPeer/kube-system/{evil}", message=evil, hint=evil)
    tunnels = tuple(replace(each, message=evil, interface=evil, child=f"X {evil}") for each in report.tunnels)
    peers = tuple(replace(each, message=evil, refused={evil: 1}) for each in report.peers)
    scene.state.report = replace(
        report, problems=(problem,), tunnels=tunnels, peers=peers, node=evil, held={evil: evil}, dataplane_reason=evil
    )
    clean = moment(SCENES["degraded"]())
    shown = _elements(answer(scene, f"/?q={evil}").body.decode())
    assert shown <= _elements(answer(clean, "/?q=x").body.decode()) | {"a"}
    assert "img" not in shown


def _elements(markup: str) -> set[str]:
    found: set[str] = set()

    class Names(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add(tag)
            assert not [name for name, _ in attrs if name.startswith("on")]

    Names().feed(markup)
    return found


@pytest.mark.parametrize(
    ("query", "said", "not_said"),
    [
        ("?q=10.131.3.3", ["1 of 14 prefixes", "10.131.3.3/32 is covered by 10.131.0.0/20"], "10.132.0.0/20"),
        ("?q=10.131.0.0%2F20", ["1 of 14 prefixes", "preference (RFC 4271 section 9.1)"], "10.132.0.0/20"),
        ("?q=10.128.0.0%2F9", ["14 of 14 prefixes"], "nothing matches"),
        ("?q=10.13", ["10 of 14 prefixes"], "10.129.0.0/20"),
        ("?q=tunnel-1", ["Usable", "session peer-1"], "never"),
        ("?q=203.0.113.9", ["0 of 14 prefixes", "not routed by ncgd; no accepted path covers it"], "10.132.0.0/20"),
        ("?page=99999999999", ["14 prefixes known", "10.128.0.0/20"], "nothing matches"),
        ("?page=-1", ["10.128.0.0/20"], "nothing matches"),
    ],
)
def test_the_search_finds_and_explains(query: str, said: list[str], not_said: str) -> None:
    markup = page("healthy", query)
    shown = text(markup[markup.index('id="prefixes"') : markup.index('id="timeline"')])
    assert [each for each in said if each not in shown] == []
    assert not_said not in shown


def test_a_hint_to_ask_leads_to_the_answer() -> None:
    assert '<a href="/?q=peer-2#prefixes">ncgctl explain peer-2</a>' in page("degraded")


def test_a_key_is_nowhere_to_be_seen() -> None:
    """Resources as a user writes them; whatever this port answers is looked through."""
    files = {"all.yaml": a_file(secret(key=KEY.encode()), gateway(), tunnel(1), tunnel(2), peer(1), peer(2))}
    vault = Vault(b"salt")
    life = Life(healthy_site(load_files(files, Loaded(), vault).intent))
    (held,) = {each.psk for each in life.site.intent.tunnels.values()}
    assert vault.get(held) == KEY.encode()
    life.look("09:00:00.000")
    life.site.lose_sa("tunnel-1")
    scene = moment(life)
    api = Api(Path("/nowhere"), lambda: scene.state, nobody_looks)
    targets = ("/v1/explain?what=tunnel-1", "/v1/explain?what=peer-1", "/v1/explain?what=10.128.0.0/20")
    others = [asyncio.run(_called(api.shown[each.partition("?")[0]], each)) for each in (*api.shown, *targets)]
    encoded = base64.b64encode(KEY.encode())
    for each in (answer(scene), answer(scene, "/?q=tunnel-1"), *others):
        assert KEY.encode() not in each.body
        assert encoded not in each.body


def test_what_is_not_simply_routed_comes_first_with_its_reason() -> None:
    shown = text(page("degraded", "?q=refused"))
    assert "2 of 17 prefixes" in shown
    assert "0.0.0.0/0 refused" in shown
    assert "from peer-2 DefaultRoute: a default route would take all traffic" in shown
    everything = page("degraded")
    assert everything.index("198.51.100.0/24</a>") < everything.index("10.128.0.0/20</a>")


def test_prefixes_that_nobody_can_carry_are_held_back_and_say_who_could() -> None:
    assert "held back" in text(page("down"))
    assert "peer-1 and peer-2 cannot carry it now" in text(page("down"))


def test_prefixes_that_have_a_way_and_those_that_wait_for_one_are_told_apart() -> None:
    life = SCENES["healthy"]()
    life.site.peer_sends("peer-1", px.parse("192.0.2.0/24"))
    life.site.settle()
    life.site.lose_sa("tunnel-1")
    life.site.settle()
    shown = text(answer(moment(life)).body.decode())
    assert "1 of 2 tunnels carries traffic; 14 prefixes are routed, 1 prefix is held back and nothing leaks." in shown


def test_what_goes_into_tunnels_that_do_not_answer_is_not_held_back() -> None:
    life = SCENES["healthy"]()
    dead = ProbeReport(vitality=Vitality(pulse=Pulse.DEAD))
    scene = moment(life)
    life.site.tell(ev.ProbesRead(probes=dict.fromkeys(life.site.sas, dead)))
    life.site.settle()
    scene.state.world, scene.state.desired = life.site.world, desired_state(life.site.world)
    scene.state.report = life.look("10:00:00.000")
    shown = text(answer(scene).body.decode())
    assert "No tunnel is known to carry traffic; 14 prefixes are routed." in shown


@pytest.mark.parametrize(("pulse", "is_told"), [(Pulse.UNPROVEN, False), (Pulse.ALIVE, True)])
def test_a_loss_is_told_of_a_path_that_ever_answered(pulse: Pulse, is_told: bool) -> None:
    scene = moment(SCENES["healthy"]())
    assert scene.state.report
    probe = ProbeReport(vitality=Vitality(pulse=pulse), loss=0.7)
    tunnels = tuple(replace(each, probe=probe) for each in scene.state.report.tunnels)
    scene.state.report = replace(scene.state.report, tunnels=tunnels)
    assert ("70% lost" in str(answer(scene).body.decode())) is is_told


def test_of_many_who_carry_a_prefix_some_are_named() -> None:
    markup = page("large", "?q=10.128.0.0%2F20")
    assert re.search(r"tunnel-1 tunnel-10 tunnel-11 tunnel-12 and 58 more", text(markup))


def test_a_page_of_many_tunnels_shows_those_that_are_not_well_and_all_on_request() -> None:
    some, everything = page("large"), page("large", "?all=1")
    table = some[some.index('id="tunnels"') :]
    assert table.index(">tunnel-9</a>") < table.index(">tunnel-1</a>")
    assert "and 52 more, all of them well" in text(some)
    assert all(f">tunnel-{n}</a></b>" in everything for n in range(1, 65))


def test_all_that_happened_of_late_is_shown_on_request() -> None:
    scene = moment(SCENES["healthy"]())
    for number in range(30):
        scene.state.timeline.add(Happening(object="o", reason="R", message=f"entry {number}."), "t", 60.0 * number)
    some, everything = (text(answer(scene, target).body.decode()) for target in ("/", "/?all=1"))
    assert "entry 10." in some
    assert "entry 9." not in some
    assert "show all" in some
    assert "entry 0." in everything
    assert "show all" not in everything


def test_a_loop_that_stands_still_is_told_before_anything_else() -> None:
    scene = moment(SCENES["healthy"]())
    scene.state.ended -= 60
    markup = answer(scene).body.decode()
    shown = text(markup)
    assert '<main class="stale">' in markup
    assert "Stalled · default on node-1" in shown
    assert re.search(r"ncgd has made no pass for 6\d s", shown)


def test_before_the_first_pass_the_page_says_so_and_comes_again() -> None:
    scene = moment(SCENES["healthy"]())
    response = answer(Moment(State(World()), scene.history))
    assert response.status_code == 503
    assert b"ncgd makes its first pass" in response.body


def test_without_javascript_reloading_is_the_reader_s_choice() -> None:
    assert "http-equiv" not in page("healthy")
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page("healthy", "?refresh=1")


def test_history_is_bounded_and_knows_rates_outages_and_the_longest_answers() -> None:
    track = Track()
    for second in range(int(SLOT_SECONDS * SLOTS) * 3):
        track.observe(
            float(second), Traffic(1000 * second, 2000 * second), 0.001 * (second % 5), is_usable=second % 100 > 10
        )
    assert len(track.samples) == SLOTS
    assert (round(track.rate_in or 0), round(track.rate_out or 0)) == (1000, 2000)
    assert {round(each.rate_in) for each in track.samples} == {1000}
    assert {each.rtt_seconds for each in track.samples} == {0.004}
    assert 0 < sum(not each.is_usable for each in track.samples) < 20
    for step in range(10_000):  # passes may follow one another quickly
        track.observe(1000.0 + step / 1000, Traffic(10**6, 10**6), None, is_usable=True)
    assert track.rate_in == 0


def test_what_nobody_can_read_has_no_rate_and_makes_no_peak_later() -> None:
    track = Track()
    for second in range(90):
        carried = Traffic(1000 * second, 1000 * second)
        track.observe(float(second), None if 30 <= second < 60 else carried, None, is_usable=True)
        assert (track.rate_in is None) == (30 <= second < 60)
    assert {round(each.rate_in) for each in track.samples} <= {0, 200, 400, 600, 800, 1000}
    assert round(track.rate_in or 0.0) == 1000


def test_the_rate_is_not_known_while_charon_is_away() -> None:
    life = SCENES["healthy"]()
    scene = moment(life)
    life.site.tell(ev.CharonLost(charon="charon", reason="it does not answer"))
    scene.state.world = life.site.world
    scene.history.observe(scene.state)
    shown = text(answer(scene).body.decode())
    assert "To the cloud ↑ — through all tunnels" in shown
    assert "0 bit/s" not in shown


def test_markup_escapes_and_leaves_out() -> None:
    assert tag("p", "a<b", Html("<i></i>"), None, ["&", 5], cls="x", hidden=False, title='"') == (
        '<p class="x" title="&quot;">a&lt;b<i></i>&amp;5</p>'
    )
    assert tag("input", data_own=True, for_="q") == '<input data-own for="q">'


def test_numbers_read_well() -> None:
    assert [rate(each) for each in (0, 12, 1250, 125_000, 1.3e8)] == [
        "0 bit/s",
        "96 bit/s",
        "10.0 kbit/s",
        "1.0 Mbit/s",
        "1.0 Gbit/s",
    ]
    assert [span(each) for each in (5, 65, 7300, 100_000)] == ["5 s", "1 min", "2 h 1 min", "1 d 3 h"]
    assert [milliseconds(each) for each in (None, 0.0018, 0.25)] == ["—", "1.8 ms", "250 ms"]
    assert (count(1, "prefix", "prefixes"), count(12_345, "prefix", "prefixes")) == (
        "1 prefix",
        "12\u202f345 prefixes",
    )
    assert shortened("abcdefghij", 5) == "ab…ij"
