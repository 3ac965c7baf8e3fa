"""One document → one object of ours, or everything that is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec

from ncgd.model.spec import Finding, ObjectRef
from ncgd.resources import v1, v1alpha1
from ncgd.resources.problem import Problem, nearest, shown
from ncgd.resources.rules import broken_rules
from ncgd.resources.schema import structural_schema
from ncgd.resources.structural import violations

Shape = v1alpha1.OverlayVPNTunnel | v1alpha1.OverlayBGPPeer | v1alpha1.NetworkConnectivityGateway | v1.Secret

PROBLEMS_LISTED = 50
"""More problems in one object are not listed."""

_SHAPES: dict[str, type[Shape]] = {**v1alpha1.KINDS, "Secret": v1.Secret}
_SCHEMAS = {kind: structural_schema(shape) for kind, shape in _SHAPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A value that stands for one object, and where it stands."""

    origin: str
    """File name, or what else the source reads at once."""
    where: str
    """``tunnels.yaml, document 2``."""
    content: object = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a document holds. ``ref`` without ``shape``: an object of ours that is broken."""

    document: Document
    ref: ObjectRef | None = None
    shape: Shape | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def is_unknown(self) -> bool:
        """True when it could be any object of ours: broken beyond telling which."""
        return self.ref is None and any(finding.is_error for finding in self.findings)


def objects(origin: str, documents: tuple[object, ...]) -> Iterator[Document]:
    """The documents of a file, ``kind: List`` expanded, empty documents left out."""
    for number, content in enumerate(documents, start=1):
        where = f"{origin}, document {number}"
        if isinstance(content, dict) and content.get("kind") == "List" and isinstance(content.get("items"), list):
            for index, item in enumerate(content["items"], start=1):
                yield Document(origin=origin, where=f"{where}, item {index}", content=item)
        elif content is not None:
            yield Document(origin=origin, where=where, content=content)


def decode(document: Document) -> Decoded:
    """Identify an object and check everything that needs no other object. Never raises for bad input."""
    content = document.content
    if not isinstance(content, dict):
        return _unknown(document, Problem("", "NotAnObject", "is not a mapping with apiVersion, kind and metadata"))
    missing = [name for name in ("apiVersion", "kind") if not isinstance(content.get(name), str)]
    if missing:
        hint = nearest(next((name for name in content if name not in _TOP), ""), missing)
        return _unknown(document, *(Problem(name, "FieldMissing", "is required: a string", hint) for name in missing))
    kind, version = content["kind"], content["apiVersion"]
    if kind not in _SHAPES or (kind == "Secret" and version != v1.API_VERSION):
        return _foreign(document, kind, version)
    ref = _ref(kind, content.get("metadata"))
    if ref is None:
        problems = violations(content.get("metadata"), _SCHEMAS[kind]["properties"]["metadata"], "metadata")
        return _unknown(document, *problems, kind=kind)
    return _check(document, ref, content)


_TOP = {"apiVersion", "kind", "metadata", "spec", "status", "data", "stringData", "type"}


def _check(document: Document, ref: ObjectRef, content: dict[str, Any]) -> Decoded:
    content = {name: value for name, value in content.items() if name != "status"}  # ours to write, not to read
    wanted = v1.API_VERSION if ref.kind == "Secret" else v1alpha1.API_VERSION
    problems: list[Problem] = []
    if content["apiVersion"] != wanted:
        text = f"{shown(content['apiVersion'])} is not known for {ref.kind}"
        problems.append(Problem("apiVersion", "UnknownVersion", text, f"write {wanted}"))
    problems.extend(violations(content, _SCHEMAS[ref.kind], is_secret=ref.kind == "Secret"))
    problems.extend(broken_rules(ref, content, list(problems)))
    findings = [problem.at(document.where, ref) for problem in islice(problems, PROBLEMS_LISTED)]
    if len(problems) > PROBLEMS_LISTED:
        text = f"{len(problems) - PROBLEMS_LISTED} more problems are not listed"
        findings.append(Problem("", "MoreProblems", text).at(document.where, ref))
    if any(problem.is_error for problem in problems):
        return Decoded(document=document, ref=ref, findings=tuple(findings))
    shape = msgspec.convert(content, _SHAPES[ref.kind])
    return Decoded(document=document, ref=ref, shape=shape, findings=tuple(findings))


def _ref(kind: str, metadata: object) -> ObjectRef | None:
    if not isinstance(metadata, dict):
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if namespace is None:
        namespace = v1.DEFAULT_NAMESPACE
    schema = _SCHEMAS[kind]["properties"]["metadata"]["properties"]
    if name is None or any(violations(name, schema["name"])) or any(violations(namespace, schema["namespace"])):
        return None
    return ObjectRef(kind=kind, namespace=namespace, name=name)


def _unknown(document: Document, *problems: Problem, kind: str = "") -> Decoded:
    where = f"{document.where}, {kind}" if kind else document.where
    return Decoded(document=document, findings=tuple(problem.at(where) for problem in problems))


def _foreign(document: Document, kind: str, version: str) -> Decoded:
    """A kind that is not ours: ignored, unless it says that it is."""
    if version == v1alpha1.API_VERSION:
        hint = nearest(kind, v1alpha1.KINDS) or f"known: {', '.join(v1alpha1.KINDS)}"
        return _unknown(document, Problem("kind", "UnknownKind", f"{shown(kind)} is no kind of {version}", hint))
    text = f"{shown(kind)} ({shown(version)}) is not for ncgd and has no effect here"
    return _unknown(document, Problem("kind", "KindIgnored", text, is_error=False))
