"""The status page in a real browser: live, by keyboard, on a phone, without JavaScript, and under attack."""

import json
import re
from statistics import median
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from ncgd.daemon.loop import State
from ncgd.decision.world import World
from tests.browser.conftest import Look, Served
from tests.integration.netns import until
from tests.unit.api.scenes import SCENES, Moment, moment

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
FIRST_PAINT_MS = 200
FIRST_PAINT = """new Promise((painted) => new PerformanceObserver((list) => list
  .getEntriesByName('first-contentful-paint').forEach((each) => painted(each.startTime)))
  .observe({ type: 'paint', buffered: true }))"""
"""Milliseconds from the navigation; a page can be live before it is painted."""
ANSWERS = 200
"""So many more of them must not make a page that is left open larger."""


def wide_elements(page: Page) -> list[str]:
    """Elements that reach beyond the right edge of the window, or of their card."""
    found: list[str] = page.evaluate(
        """[...document.querySelectorAll('body *')]
           .filter((e) => e.getBoundingClientRect().right > Math.min(innerWidth,
             e.closest('section')?.getBoundingClientRect().right ?? innerWidth) + 1)
           .map((e) => `${e.tagName}.${e.getAttribute('class')} ${e.textContent.slice(0, 30)}`)"""
    )
    return found


def test_it_follows_the_gateway_without_being_asked(gateway: Served, look: Look) -> None:
    page = look(gateway.url)
    expect(page.locator("h1")).to_have_text("Healthy")
    expect(page.locator("#live")).to_have_text("Live")
    page.evaluate("window.same = document.querySelector('#tunnels')")
    gateway.become("degraded")
    expect(page.locator("h1")).to_have_text("Degraded")
    expect(page.locator("#problems li").first).to_contain_text("AuthenticationFailed")
    expect(page).to_have_title(re.compile("^Degraded"))
    assert page.evaluate("document.querySelector('#icon').getAttribute('href')") == "/assets/warn.svg"
    gateway.become("healthy")
    expect(page.locator("#problems")).to_have_count(0)
    assert page.evaluate("window.same === document.querySelector('#tunnels')"), "what stays is changed in place"


def test_a_gateway_that_is_gone_is_told_and_greeted_when_it_is_back(look: Look) -> None:
    served = Served(moment(SCENES["healthy"]()))
    with served.running():
        page = look(served.url)
        expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator("#live")).to_contain_text("No answer since")
    expect(page.locator("body")).to_have_class("lost")
    with served.running():
        expect(page.locator("#live")).to_have_text("Live")
        expect(page.locator("body")).not_to_have_class("lost")


def test_everything_can_be_done_by_keyboard(gateway: Served, look: Look) -> None:
    page = look(gateway.url)
    page.keyboard.press("/")
    page.keyboard.type("10.131.3.3")
    expect(page.locator("#prefixes tbody tr")).to_have_count(1)
    expect(page.locator(".story")).to_contain_text("forwards through peer-1 and peer-2")
    assert "q=10.131.3.3" in page.url
    assert page.evaluate("document.activeElement.id") == "q", "what is being typed into stays where it is"
    assert page.locator("#q").input_value() == "10.131.3.3"
    page.keyboard.press("Escape")
    page.locator("#q").fill("")
    expect(page.locator("#prefixes tbody tr")).to_have_count(14)
    page.locator("#prefixes tbody a").nth(2).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#q")).to_have_value("10.130.0.0/20")
    page.go_back()
    expect(page.locator("#prefixes tbody tr")).to_have_count(14)
    page.locator("h1").click()
    page.keyboard.press("p")
    expect(page.locator("#live")).to_have_text("Paused")
    expect(page.locator("#pause")).to_have_text("Go on")
    gateway.become("down")
    page.keyboard.press("p")
    expect(page.locator("h1")).to_have_text("Down")


def test_who_pauses_the_page_is_not_told_that_it_is_live(gateway: Served, look: Look) -> None:
    page = look(gateway.url)
    expect(page.locator("#live")).to_have_text("Live")

    def late(route: Route) -> None:
        page.keyboard.press("p")
        route.continue_()

    page.route("**/*", late)
    expect(page.locator("#live")).to_have_text("Paused")  # while an answer was on its way
    page.unroute("**/*")
    page.locator("#q").fill("10.131.3.3")
    expect(page.locator("#prefixes tbody tr")).to_have_count(1)
    assert page.locator("#live").text_content() == "Paused"


def test_a_page_that_has_seen_a_start_can_be_paused(gateway: Served, look: Look) -> None:
    page = look(gateway.url)
    scene, starting = gateway.scene, Moment(State(World()), gateway.scene.history)
    gateway.scene = starting
    expect(page.locator("h1")).to_have_text("Starting")
    gateway.scene = scene
    expect(page.locator("h1")).to_have_text("Healthy")
    expect(page.locator("#pause")).to_be_visible()


def test_the_tab_of_a_page_that_nobody_looks_at_stays_true(look: Look) -> None:
    served = Served(moment(SCENES["healthy"]()))
    with served.running():
        page = look(served.url)
        expect(page.locator("#live")).to_have_text("Live")
        page.clock.install()
        page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
        page.evaluate("dispatchEvent(new Event('visibilitychange'))")
        served.become("down")
        until(lambda: a_minute_later(page).startswith("Down"), 20)  # the port may give an answer twice
    until(lambda: a_minute_later(page).startswith("No answer · default on node-1"), 20)


def a_minute_later(page: Page) -> str:
    """The title then."""
    page.clock.fast_forward(60_000)
    return page.title()


def test_every_stop_of_the_tab_key_can_be_seen(gateway: Served, look: Look) -> None:
    page = look(gateway.url)
    expect(page.locator("#live")).to_have_text("Live")
    page.keyboard.press("p")
    stops = []
    for _ in range(12):
        page.keyboard.press("Tab")
        stop: dict[str, Any] = page.evaluate(
            """(() => { const e = document.activeElement, s = getComputedStyle(e);
                return { name: e.id || e.textContent, outline: parseFloat(s.outlineWidth) || 0 } })()"""
        )
        stops.append(stop)
    assert [stop["name"] for stop in stops[:2]] == ["To the prefixes", "pause"]
    assert "q" in [stop["name"] for stop in stops]
    assert [stop for stop in stops if stop["outline"] < 2] == []


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(scene: str, scheme: str, look: Look) -> None:
    with Served(moment(SCENES[scene]())).running() as served:
        page = look(served.url, color_scheme=scheme, **PHONE)
        expect(page.locator("#live")).to_have_text("Live")
        assert wide_elements(page) == []
        expect(page.locator(".drawing .tall")).to_be_visible()
        expect(page.locator(".drawing .wide")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("scene", ["healthy", "degraded", "down"])
def test_every_text_stands_out_from_its_ground(scene: str, scheme: str, look: Look) -> None:
    with Served(moment(SCENES[scene]())).running() as served:
        page = look(served.url, color_scheme=scheme)
        expect(page.locator("#live")).to_have_text("Live")
        faint = page.evaluate(_FAINT)
        assert faint == [], "WCAG 2.2, 1.4.3: contrast of at least 4.5"


_FAINT = """(() => {
  const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1); paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      if (e.closest('svg') && e.tagName !== 'svg') { e = e.closest('svg'); }
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const e of document.querySelectorAll('body *')) {
    const says = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (!says || !e.getClientRects().length || e.matches('.skip, script, noscript, title')) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(rgba(e.closest('svg') ? style.fill : style.color)), light(ground(e))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${e.tagName}.${e.getAttribute('class')}: ${e.textContent}`);
  }
  return faint;
})()"""


def test_without_javascript_it_is_complete_and_only_still(gateway: Served, look: Look) -> None:
    page = look(gateway.url, java_script_enabled=False)
    expect(page.locator("h1")).to_have_text("Healthy")
    expect(page.locator("#prefixes tbody tr")).to_have_count(14)
    expect(page.locator("#pause")).to_be_hidden()
    page.locator("#q").fill("10.131.3.3")
    page.locator("#q").press("Enter")
    expect(page.locator("#prefixes tbody tr")).to_have_count(1)
    expect(page.locator(".story")).to_contain_text("is covered by 10.131.0.0/20")
    page.get_by_role("link", name="Clear").click()
    page.get_by_role("link", name="reload every 5 s").click()
    gateway.become("down")
    expect(page.locator("h1")).to_have_text("Down", timeout=20_000)


def test_scripts_and_styles_that_are_not_ours_do_nothing(gateway: Served, browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(gateway.url)
    blocked = page.evaluate(
        """async () => {
          const seen = [];
          addEventListener('securitypolicyviolation', (event) => seen.push(event.effectiveDirective));
          const script = document.createElement('script');
          script.textContent = 'window.owned = true';
          document.head.append(script);
          document.body.setAttribute('style', 'color: red');
          document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.owned = true">');
          const image = new Image();
          image.src = 'http://203.0.113.99/x';
          await fetch('http://203.0.113.99/').catch(() => 0);
          while (seen.length < 5) await new Promise((done) => setTimeout(done, 20));
          return [window.owned === undefined, ...new Set(seen)];
        }"""
    )
    assert blocked[0] is True
    assert {"script-src-elem", "style-src-attr", "script-src-attr", "img-src", "connect-src"} == set(blocked[1:])
    context.close()


def test_it_cannot_be_framed(gateway: Served, browser: Any) -> None:
    with Served(moment(SCENES["empty"]())).running() as other:
        context = browser.new_context(bypass_csp=True)
        page = context.new_page()
        page.goto(other.url)
        frame_it = "(url) => document.body.append(Object.assign(document.createElement('iframe'), { src: url }))"
        page.evaluate(frame_it, gateway.url)
        page.wait_for_function("frames.length === 1")
        frame = page.frames[-1]
        frame.wait_for_load_state()
        assert frame.url.startswith("chrome-error:")
        context.close()


def test_a_page_left_open_does_not_grow(gateway: Served, look: Look) -> None:
    page = look(gateway.url)
    expect(page.locator("#live")).to_have_text("Live")
    session = page.context.new_cdp_session(page)
    for name in ("down", "healthy"):  # what is loaded but once is loaded
        gateway.become(name)
        expect(page.locator("h1")).to_have_text(name.capitalize())
    before = _size(session)
    for _ in range(ANSWERS):  # a reader who comes back to the page has it ask at once
        with page.expect_response(gateway.url):
            page.evaluate("dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#live")).to_have_text("Live")
    after = _size(session)
    assert after["nodes"] <= before["nodes"] * 1.05 + 50
    assert after["bytes"] <= before["bytes"] * 1.2 + 1_000_000


def _size(session: Any) -> dict[str, float]:
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return {"nodes": metrics["Nodes"], "bytes": metrics["JSHeapUsedSize"]}


def test_first_paint_and_weight(gateway: Served, look: Look) -> None:
    page = look(gateway.url)
    paints = []
    for _ in range(5):
        page.goto(gateway.url)
        expect(page.locator("#live")).to_have_text("Live")
        paints.append(page.evaluate(FIRST_PAINT))
    measured = json.loads(
        page.evaluate(
            """JSON.stringify({
              bytes: [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
                .filter((each, at, all) => all.findIndex((other) => other.name === each.name) === at)
                .reduce((sum, each) => sum + each.decodedBodySize, 0),
            })"""
        )
    )
    print(f"first contentful paint {median(paints):.0f} ms (goal {FIRST_PAINT_MS}), {measured['bytes']} bytes")
    assert measured["bytes"] <= 100_000
