"""Checks of pre-shared keys, by their shape."""

from collections.abc import Iterator

from ncgd.decision.preflight.facts import SHORT_KEY_BYTES, KeyShape, Wanted
from ncgd.decision.preflight.verdict import Check, fail, ok, warn

NAME = "psk"

_MAKE = 'printf %s "$KEY" | kubectl create secret generic NAME -n kube-system --from-file=psk=/dev/stdin'
_SUSPICIOUS = {
    "newline": (
        "it ends with a newline, which counts as part of the key",
        f"if the far end's has none, delete the Secret and make it again: {_MAKE}",
    ),
    "space": ("white space surrounds it, which counts as part of the key", "write the key without it"),
    "quoted": ("it stands in quotes, which count as part of the key", "write the key without them"),
    "base64": (
        "it is base64 of text: encoded twice, by the look of it",
        "data.psk is base64 of the key; stringData.psk takes the key itself",
    ),
    "binary": ("it holds bytes that nobody can type", "make sure that the far end has the same bytes"),
    "short": (
        f"it is shorter than {SHORT_KEY_BYTES} bytes",
        "make one: openssl rand -base64 32, the same on both ends",
    ),
}


def key_checks(wanted: Wanted) -> Iterator[Check]:
    """The shape of each key that a tunnel names. What is missing or unreadable is among the findings already."""
    for name, shape in sorted(wanted.keys.items()):
        yield from _key(f"Secret/{name}", shape)


def _key(where: str, shape: KeyShape) -> Iterator[Check]:
    if "empty" in shape.flaws:
        yield fail(NAME, where, "psk is empty", "put the key into stringData.psk")
        return
    for flaw, (saw, todo) in _SUSPICIOUS.items():
        if flaw in shape.flaws:
            yield warn(NAME, where, saw, todo)
    if not shape.flaws:
        yield ok(NAME, where, "looks like a key")
