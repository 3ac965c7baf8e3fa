"""Report → Report with conditions: standard Kubernetes conditions on every object, also on those not in force."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ncgd.decision.export_problems import EXPORT_PROBLEMS
from ncgd.model.report import Condition, Health, MasqueradeReport, PeerReport, RefusedReport, Report, TunnelReport
from ncgd.model.spec import Finding, Intent, ObjectRef

READY = "Ready"
ACCEPTED = "Accepted"
SOURCES_KEPT = "SourceAddressesKept"
WITHIN_LIMIT = "PrefixesWithinLimit"
EXPORTED = "Exported"

MESSAGES_JOINED = 5
"""Findings of one object that its condition tells; the rest is in ``ncgctl status``."""
MESSAGE_CHARACTERS = 4096
"""Longest message; Kubernetes' own conditions may have 32768."""


def with_conditions(report: Report, intent: Intent, before: Report | None, now: str) -> Report:
    """The report with conditions. ``since`` is carried over from the report before, unless the answer changed.

    ``now``: RFC 3339, UTC.
    """
    last = dict(_all(before)) if before else {}
    hints = {problem.object: problem.hint for problem in reversed(report.problems) if problem.is_error}
    blame = _Blame(intent)

    def dated(ref: ObjectRef, *conditions: Condition) -> tuple[Condition, ...]:
        return tuple(replace(each, since=_since(each, last.get((ref, each.type)), now)) for each in conditions)

    tunnels = tuple(
        replace(
            each,
            generation=intent.generations.get(each.ref, each.generation),
            conditions=dated(each.ref, _tunnel_ready(each, hints.get(str(each.ref), "")), blame.accepted(each.ref)),
        )
        for each in report.tunnels
    )
    peers = tuple(
        replace(
            each,
            generation=intent.generations.get(each.ref, each.generation),
            conditions=dated(
                each.ref, _peer_ready(each, hints.get(str(each.ref), "")), blame.accepted(each.ref), _within(each)
            ),
        )
        for each in report.peers
    )
    in_force = {report.gateway, *(tunnel.ref for tunnel in tunnels), *(peer.ref for peer in peers)}
    refused = tuple(
        RefusedReport(ref=ref, generation=generation, conditions=dated(ref, *blame.refused(ref)))
        for ref, generation in sorted(intent.generations.items(), key=lambda item: str(item[0]))
        if ref.kind != "Secret" and ref not in in_force
    )
    return replace(
        report,
        gateway_generation=intent.generations.get(report.gateway, report.gateway_generation),
        tunnels=tunnels,
        peers=peers,
        refused=refused,
        conditions=dated(
            report.gateway,
            _gateway_ready(report),
            blame.accepted(report.gateway),
            _exported(report),
            *_sources_kept(report.masquerade),
        ),
    )


def summary(report: Report) -> str:
    """The gateway in one line."""
    tunnels = sum(tunnel.is_usable for tunnel in report.tunnels)
    sessions = sum(peer.status == "established" for peer in report.peers)
    return (
        f"{tunnels} of {len(report.tunnels)} tunnels usable, {sessions} of {len(report.peers)} sessions established, "
        f"{report.routes_installed} of {report.routes_desired} routes installed"
    )


class _Blame:
    """What was found wrong, by object. What is wrong with a Secret is told of the tunnels that name it."""

    def __init__(self, intent: Intent) -> None:
        errors: dict[ObjectRef, list[Finding]] = {}
        for finding in intent.findings:
            if finding.ref is not None and finding.is_error:
                errors.setdefault(finding.ref, []).append(finding)
        for ref, manifest in intent.manifests.items():
            secret = _secret_of(ref, manifest)
            if secret in errors:
                errors[ref] = [*errors[secret], *errors.get(ref, ())]
        self._errors = errors

    def accepted(self, ref: ObjectRef) -> Condition:
        """Whether an object that is in force is so as it was written last."""
        errors = self._errors.get(ref)
        if not errors:
            return Condition(type=ACCEPTED, is_true=True, reason="InForce", message="in force as written")
        text = f"{_joined(errors)} What was last in force stays in force."
        return Condition(type=ACCEPTED, is_true=False, reason=errors[0].reason, message=text)

    def refused(self, ref: ObjectRef) -> tuple[Condition, Condition]:
        """The conditions of an object that is not in force at all."""
        errors = self._errors.get(ref, ())
        reason = errors[0].reason if errors else "NotInForce"
        return (
            Condition(type=READY, is_true=False, reason="NotAccepted", message="not in force: see condition Accepted"),
            Condition(type=ACCEPTED, is_true=False, reason=reason, message=_joined(errors) or "not in force"),
        )


def _secret_of(ref: ObjectRef, manifest: Mapping[str, object]) -> ObjectRef | None:
    key = manifest.get("ikeKey")
    if ref.kind != "OverlayVPNTunnel" or not isinstance(key, dict):
        return None
    return ObjectRef(kind="Secret", namespace=ref.namespace, name=str(key.get("name")))


def _joined(errors: Iterable[Finding]) -> str:
    texts = [_sentence(each) for each in errors]
    more = [f"{len(texts) - MESSAGES_JOINED} more."] if len(texts) > MESSAGES_JOINED else []
    return " ".join([*texts[:MESSAGES_JOINED], *more])[:MESSAGE_CHARACTERS]


def _sentence(finding: Finding) -> str:
    field = f"{finding.field}: " if finding.field else ""
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"{field}{finding.message}{hint}."


def _tunnel_ready(tunnel: TunnelReport, hint: str) -> Condition:
    text = _with_hint(tunnel.message, hint)
    return Condition(type=READY, is_true=tunnel.is_usable, reason=tunnel.reason, message=text)


def _peer_ready(peer: PeerReport, hint: str) -> Condition:
    is_up = peer.status == "established"
    return Condition(type=READY, is_true=is_up, reason=peer.reason, message=_with_hint(peer.message, hint))


def _within(peer: PeerReport) -> Condition:
    if peer.is_over_limit:
        text = "prefixes beyond maxPrefixes are refused"
        return Condition(type=WITHIN_LIMIT, is_true=False, reason="PrefixLimit", message=text)
    return Condition(type=WITHIN_LIMIT, is_true=True, reason="WithinLimit", message="all prefixes fit")


def _gateway_ready(report: Report) -> Condition:
    is_healthy = report.health == Health.HEALTHY
    worst = next((problem for problem in report.problems if problem.is_error), None)
    text = summary(report)
    if worst is not None:
        text += f"; {worst.object}: {_with_hint(worst.message, worst.hint)}"
    return Condition(type=READY, is_true=is_healthy, reason=str(report.health), message=text[:MESSAGE_CHARACTERS])


def _exported(report: Report) -> Condition:
    """Whether the far side hears of every network of ours that it is meant to hear of."""
    told = sum(row.is_told for row in report.exports)
    text = f"{told} of {len(report.exports)} networks of ours are advertised to every peer whose exportPolicy lets them"
    worst = next((each for each in report.problems if each.reason in EXPORT_PROBLEMS), None)
    if worst is None:
        return Condition(type=EXPORTED, is_true=True, reason=EXPORTED, message=text)
    text = f"{text}; {_with_hint(worst.message, worst.hint)}"
    return Condition(type=EXPORTED, is_true=False, reason=worst.reason, message=text)


def _sources_kept(masquerade: MasqueradeReport) -> Iterator[Condition]:
    """Once there is something to say."""
    if not masquerade.exempt and not masquerade.rules:
        return
    found = "; ".join(masquerade.rules) or "none"
    noun = "prefix" if masquerade.exempt == 1 else "prefixes"
    where = f"exempt in {masquerade.table}: {masquerade.exempt} {noun}; " if masquerade.exempt else ""
    text = f"{where}rules of others that would translate: {found}"[:MESSAGE_CHARACTERS]
    reason = masquerade.mode if masquerade.is_kept else "Translated"
    yield Condition(type=SOURCES_KEPT, is_true=masquerade.is_kept, reason=reason, message=text)


def _with_hint(text: str, hint: str) -> str:
    return f"{text} ({hint})" if hint else text


def _since(condition: Condition, last: Condition | None, now: str) -> str:
    return last.since if last is not None and last.is_true == condition.is_true else now


def _all(report: Report) -> Iterator[tuple[tuple[ObjectRef, str], Condition]]:
    objects = [(report.gateway, report.conditions)]
    objects += [(tunnel.ref, tunnel.conditions) for tunnel in report.tunnels]
    objects += [(peer.ref, peer.conditions) for peer in report.peers]
    objects += [(refused.ref, refused.conditions) for refused in report.refused]
    for ref, conditions in objects:
        for condition in conditions:
            yield (ref, condition.type), condition
