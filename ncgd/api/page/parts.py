"""What stands around the tables: how it is in one word, numbers, and the small print."""

from collections.abc import Iterable, Iterator

from ncgd import __version__
from ncgd.api.page.markup import Html, Part, tag
from ncgd.api.page.view import View
from ncgd.api.page.words import Mood, count, mark, milliseconds, rate
from ncgd.model.report import Health

_NAMED_PROGRAMS = 4


def banner(view: View) -> Html:
    """The state in one word and one sentence, and whose it is."""
    report, role = view.report, view.report.role
    mood, word = view.verdict
    part = "" if role.part == "Standalone" else f", {role.part}{'' if role.may_initiate else ' (held over)'}"
    who = tag(
        "p",
        "gateway ",
        tag("b", report.gateway.name),
        " on node ",
        tag("b", report.node),
        f"{part} · {report.mode} · {report.dataplane_mode} dataplane",
        cls="who",
    )
    words = tag("div", tag("h1", word, aria_live="polite"), tag("p", _sentence(view), cls="lead"), cls="words")
    return tag("header", mark(mood, 52), words, tag("div", who, clock(view), cls="meta"), cls=f"banner {mood}")


def clock(view: View) -> Html:
    """When this was true; the script writes beside it whether it still comes."""
    return tag(
        "p",
        tag("span", cls="live", id="live", role="status", data_own=True),
        tag("button", "Pause", id="pause", type="button", hidden=True, data_own=True),
        tag("time", view.now[11:19], " UTC", datetime=view.now, id="now"),
        cls="clock",
    )


def _sentence(view: View) -> str:
    report = view.report
    if view.is_stalled:
        return f"ncgd has made no pass for {view.age_seconds:.0f} s. What is shown is what it saw then."
    if report.health == Health.STANDBY:
        return f"{report.role.message}."
    total, usable = len(report.tunnels), sum(tunnel.is_usable for tunnel in report.tunnels)
    if not total:
        return "Nothing is configured yet: there is no tunnel."
    if usable == total:
        tunnels = {1: "The tunnel carries", 2: "Both tunnels carry"}.get(total, f"All {total} tunnels carry")
    elif usable:
        tunnels = f"{usable} of {total} tunnels {'carries' if usable == 1 else 'carry'}"
    else:
        tunnels = "No tunnel carries" if _held(view) == report.routes_installed else "No tunnel is known to carry"
    text = f"{tunnels} traffic; {_routed(view)}."
    return text if report.problems else f"{text} No problems."


def _total(rates: Iterable[float | None]) -> float | None:
    """None unless all are known."""
    known = list(rates)
    return None if None in known else sum(each for each in known if each is not None)


def _routed(view: View) -> str:
    """How many prefixes have a way, and how many wait for one."""
    installed, held = view.report.routes_installed, _held(view)
    if not installed:
        return "nothing is learned"
    leak = " and nothing leaks" if view.report.leak.mode == "Strict" else ""
    if held == installed:
        return f"{_are(held)} held back{leak}"
    return f"{_are(installed - held)} routed" + (f", {_are(held)} held back{leak}" if held else "")


def _held(view: View) -> int:
    return view.world.routes.held_back(view.desired.carriers)


def _are(number: int) -> str:
    return f"{count(number, 'prefix', 'prefixes')} {'is' if number == 1 else 'are'}"


def numbers(view: View) -> Html:
    """A strip of what is asked first."""
    return tag("dl", *(_number(*each) for each in _numbers(view)), cls="numbers")


def _numbers(view: View) -> Iterator[tuple[str, str, str, Mood | None]]:
    """Term, value, small print, and the mood when it is not as it should be."""
    report = view.report
    tracks = view.tracks.values()
    if report.health != Health.STANDBY:
        usable, up = sum(t.is_usable for t in report.tunnels), sum(p.status == "established" for p in report.peers)
        yield "To the cloud", f"↑ {rate(_total(each.rate_out for each in tracks))}", "through all tunnels", None
        yield "From the cloud", f"↓ {rate(_total(each.rate_in for each in tracks))}", "through all tunnels", None
        yield _ratio("Tunnels", usable, len(report.tunnels), "carry traffic")
        yield _ratio("BGP sessions", up, len(report.peers), "established")
        recent = report.failovers.recent
        last = f"the last in {milliseconds(recent[-1].seconds)}" if recent else "since the start"
        yield "Failovers", f"{sum(report.failovers.causes.values()):,}", last, None
    odd = Mood.WARN if report.routes_installed != report.routes_desired else None
    drift = f"{count(report.drift, 'row')} put right" if report.drift else "in the kernel"
    yield "Routes", f"{report.routes_installed:,} / {report.routes_desired:,}", drift, odd
    if report.leak.mode == "Strict":
        guarded = f"{count(report.leak.guarded, 'prefix', 'prefixes')} guarded"
        yield "Kept from leaking", count(report.leak.dropped, "packet"), guarded, None
    else:
        yield "Kept from leaking", "Off", "leakProtection", Mood.WARN


def _programs(view: View) -> str:
    """The IKE daemons, of which the userspace dataplane has one for each tunnel, and the BGP speaker."""
    world = view.world
    charons, speaker = sorted(world.charons.items()), world.speaker
    if len(charons) > _NAMED_PROGRAMS:
        ike = [f"{sum(each.is_up for _, each in charons)} of {len(charons)} charons up"]
    else:
        ike = [_program(name, each.version, is_up=each.is_up) for name, each in charons]
    return ", ".join([*ike, _program("exabgp", speaker.version, is_up=speaker.is_up)])


def _program(name: str, version: str, *, is_up: bool) -> str:
    return " ".join(each for each in (name, version, "up" if is_up else "DOWN") if each)


def _ratio(term: str, good: int, total: int, what: str) -> tuple[str, str, str, Mood | None]:
    mood = None if good == total else Mood.WARN if good else Mood.BAD
    return term, f"{good} / {total}", what, mood


def _number(term: str, value: str, small: str, mood: Mood | None) -> Html:
    shape = mark(mood, 14) if mood else None
    return tag("div", tag("dt", term), tag("dd", value, " ", shape), tag("dd", small, cls="small"), cls=mood)


def facts(view: View) -> Html:
    """What holds for the whole gateway."""
    rows = [tag("div", tag("dt", term), tag("dd", text)) for term, text in _facts(view) if text]
    return tag("section", tag("h2", "Gateway"), tag("dl", *rows), cls="facts")


def _facts(view: View) -> Iterator[tuple[str, Part]]:
    report, role, leak, masquerade = view.report, view.report.role, view.report.leak, view.report.masquerade
    yield "Dataplane", f"{report.dataplane_mode}: {report.dataplane_reason}"
    if role.part != "Standalone":
        yield "Role", f"{role.part}: {role.message}"
    if report.crossing:
        refused = sum(report.crossing.refused.values())
        count_text = f"; {count(refused, 'prefix', 'prefixes')} of the gateway refused here" if refused else ""
        yield "To the gateway", f"{report.crossing.transport}: {report.crossing.message}{count_text}"
    if leak.mode != "Strict":
        yield "Leaks", "not kept from happening: leakProtection is Off"
    elif leak.remembered:
        waits = f" until {', '.join(leak.waits_for)} sent all it has" if leak.waits_for else ""
        yield "Leaks", f"{count(leak.remembered, 'prefix', 'prefixes')} remembered from before the start{waits}"
    if masquerade.mode == "Off":
        yield "Source addresses", "left to others: masquerade is Off"
    else:
        kept = "are kept" if masquerade.is_kept else "may be translated"
        yield "Source addresses", f"{kept} towards {count(masquerade.exempt, 'prefix', 'prefixes')}"
    yield "Programs", _programs(view)
    if report.published:
        yield "Other nodes", f"are told {count(report.published, 'prefix', 'prefixes')}"
    for table, reason in report.held.items():
        yield f"Waiting: {table}", reason
    yield "ncgd", f"{__version__}, last pass {view.age_seconds:.1f} s ago"
