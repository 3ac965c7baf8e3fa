"""All that a source has read, together with what was in force before, → the ``Intent`` to be in force now.

A source reads by origins: a file, or a collection of the Kubernetes API. What a broken set means, in order:

1. An origin that cannot be read, or holds a document that cannot be told, removes nothing: objects that it held
   before stay, until it is mended. An origin that is gone takes its objects with it.
2. A broken object stays as it was last understood.
3. Two objects that cannot be in force together: what is in force stays, what changed is refused and stays as it
   was in force last, if that still fits; else it is left out. Among equals the first origin (by name) wins.

Every error is a finding. Whatever is not affected goes in force. What is broken at the very start has no last good
state; the intent is incomplete until it is mended once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ncgd.model.secret import Vault
from ncgd.model.spec import Finding, Intent, ObjectRef, SecretRef
from ncgd.resources import yaml_documents
from ncgd.resources.admit import Resource, admit
from ncgd.resources.convert import key_of
from ncgd.resources.decode import Decoded, Document, decode, objects
from ncgd.resources.problem import Problem
from ncgd.resources.v1 import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load leaves for the next one. ``Loaded()`` is the state before the first."""

    intent: Intent = field(default_factory=Intent)
    resources: Mapping[ObjectRef, Resource] = field(default_factory=dict)
    """Each object as it was last understood, in force or not."""
    understood: frozenset[str] = frozenset()
    """Origins that could be read whole, now or at an earlier load."""
    is_settled: bool = False
    """True once everything that was wanted could be taken in force: from then on there is a last good state."""

    @property
    def secret_refs(self) -> frozenset[SecretRef]:
        """Every key that this state refers to: what the vault has to keep."""
        read = {resource.key for resource in self.resources.values() if resource.key}
        return frozenset(read | {tunnel.psk for tunnel in self.intent.tunnels.values()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source has read from one origin."""

    origin: str
    documents: tuple[Document, ...] = ()
    findings: tuple[Finding, ...] = ()
    is_whole: bool = True
    """False: there may be more than these documents, which nobody could read."""


def load_files(files: Mapping[str, bytes | Finding], previous: Loaded, vault: Vault) -> Loaded:
    """``load`` from the bytes of each file, or from the finding that says why they could not be read."""
    return load([_read_file(origin, data) for origin, data in files.items()], previous, vault)


def _read_file(origin: str, data: bytes | Finding) -> Reading:
    if isinstance(data, Finding):
        return Reading(origin=origin, findings=(data,), is_whole=False)
    parsed = yaml_documents.parse(data)
    return Reading(
        origin=origin,
        documents=tuple(objects(origin, parsed.documents)),
        findings=tuple(problem.at(origin) for problem in parsed.problems),
        is_whole=not parsed.problems,
    )


def load(readings: Iterable[Reading], previous: Loaded, vault: Vault) -> Loaded:
    """The next state from what was read of every origin. Keys of Secrets go into the vault. Never raises."""
    findings: list[Finding] = []
    found: dict[ObjectRef, list[Decoded]] = {}
    origins: set[str] = set()
    broken: set[str] = set()
    for reading in sorted(readings, key=lambda reading: reading.origin):
        decoded = [decode(document) for document in reading.documents]
        origins.add(reading.origin)
        if not reading.is_whole or any(each.is_unknown for each in decoded):
            broken.add(reading.origin)
        findings.extend(reading.findings)
        for each in decoded:
            findings.extend(each.findings)
            if each.ref:
                found.setdefault(each.ref, []).append(each)
    resources: dict[ObjectRef, Resource] = {}
    for ref, candidates in found.items():
        before = previous.resources.get(ref)
        chosen = next((each for each in candidates if before and each.document.origin == before.origin), candidates[0])
        findings.extend(_twice(each, chosen) for each in candidates if each is not chosen)
        resource = _resource(chosen, vault) or before
        if resource:
            resources[ref] = resource
    held = {ref: old for ref, old in previous.resources.items() if old.origin in broken and ref not in found}
    resources.update(held)
    blamed = {finding.ref for finding in findings if finding.ref}
    intent = admit(resources.values(), {*found, *resources, *blamed}, previous.intent)
    understood = frozenset(origins) & previous.understood | (frozenset(origins) - broken)
    is_settled = previous.is_settled or (intent.is_complete and broken <= understood)
    generations = {ref: _generation(candidates[0]) for ref, candidates in found.items()}
    intent = replace(intent, findings=(*findings, *intent.findings), is_complete=is_settled, generations=generations)
    return Loaded(intent=intent, resources=resources, understood=understood, is_settled=is_settled)


def hold(previous: Loaded, finding: Finding) -> Loaded:
    """The same state with one more finding: nothing at all could be read."""
    findings = (finding, *previous.intent.findings)
    intent = replace(previous.intent, findings=findings, is_complete=previous.is_settled)
    return replace(previous, intent=intent)


def _generation(decoded: Decoded) -> int:
    """``metadata.generation``, also of an object that is broken; 0 where the source has none."""
    content = decoded.document.content
    metadata = content.get("metadata") if isinstance(content, dict) else None
    generation = metadata.get("generation") if isinstance(metadata, dict) else None
    return generation if isinstance(generation, int) else 0


def _resource(decoded: Decoded, vault: Vault) -> Resource | None:
    ref, shape, document = decoded.ref, decoded.shape, decoded.document
    if ref is None or shape is None:
        return None
    resource = Resource(ref=ref, origin=document.origin, where=document.where)
    if not isinstance(shape, Secret):
        return replace(resource, shape=shape)
    key = key_of(shape)
    if key.flaw:
        return replace(resource, flaw=(key.flaw, key.message))
    kept = vault.put(ref.namespace, ref.name, key.value)
    return replace(resource, key=kept, has_trailing_newline=key.value.endswith(b"\n"))


def _twice(decoded: Decoded, chosen: Decoded) -> Finding:
    text = f"{decoded.ref} is there already ({chosen.document.where}); that one counts"
    problem = Problem("metadata.name", "DuplicateName", text, "remove one of the two")
    return problem.at(decoded.document.where, decoded.ref)
