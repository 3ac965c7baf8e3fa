"""Takes secrets out of what is given to others: those that are known, in all spellings, and what looks like one."""

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

REDACTED = b"[redacted]"
SHORTEST = 4
"""A key of fewer bytes cannot be told from ordinary text."""

_NAMES = (
    rb"(?im)((?:psk|ike[-_]?key|pre-?shared-?key|secret|password|passwd|passphrase|token|api[-_]?key|private[-_]?key"
    rb"|credential)[\w.-]{0,40}"
)
_MEANS = rb"[\"']?(?:\s{0,20}[:=][ \t]*|[ \t]{1,20}(?=[\"'])))"
_QUOTED = rb"\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'"
_LOOKS = (
    # Keys of SAs, as `ip xfrm state` shows them, and other long hexadecimal numbers.
    (re.compile(rb"\b0x[0-9A-Fa-f]{32,}"), REDACTED),
    # charon's hex dumps, which hold keys at level 4.
    (re.compile(rb"(?m)^(.*?\b\d+: )(?:[0-9A-F]{2} ){4,16}.*$"), rb"\1" + REDACTED),
    (re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), REDACTED),
    # JSON Web Tokens (RFC 7519), and what is said after Bearer or Basic.
    (re.compile(rb"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), REDACTED),
    (re.compile(rb"(?i)\b(bearer|basic) [A-Za-z0-9+/._~-]{8,}=*"), rb"\1 " + REDACTED),
    (re.compile(rb"(://[^\s:/@]+:)[^\s/@]+@"), rb"\1" + REDACTED + rb"@"),
    # ipsec.secrets.
    (re.compile(rb"\b(PSK|RSA|ECDSA|EAP|XAUTH)\s+(" + _QUOTED + rb"|0[sx]\S+)"), rb"\1 " + REDACTED),
    # `name: value`, `name = value`, `"name": "value"`, `name 'value'`; not what only refers to a Secret.
    (re.compile(_NAMES + _MEANS + rb"(?![{\[&*|>]|\s*$)(?:" + _QUOTED + rb"|[^\s,;}\]]+)"), rb"\1" + REDACTED),
)
"""Pattern, and what stands instead. Each takes time that is linear in the text, whoever has written it."""


class Redactor:
    """Replaces whatever must not be seen."""

    def __init__(self, secrets: Iterable[bytes] = ()) -> None:
        """``secrets``: exact bytes that are known to be keys."""
        spellings = {each for secret in secrets if len(secret) >= SHORTEST for each in _spellings(secret)}
        longest_first = sorted(spellings, key=len, reverse=True)
        self._known = re.compile(b"|".join(map(re.escape, longest_first))) if longest_first else None
        self.count = 0
        """Replacements so far."""

    def __repr__(self) -> str:
        return f"<Redactor, {self.count} replacements>"

    def clean(self, text: bytes) -> bytes:
        """The text without secrets."""
        patterns = [(self._known, REDACTED)] if self._known else []
        for pattern, instead in (*patterns, *_LOOKS):
            text, count = pattern.subn(instead, text)
            self.count += count
        return text


def _spellings(secret: bytes) -> Iterable[bytes]:
    yield secret
    for each in (secret, secret + b"\n"):
        encoded = base64.b64encode(each)
        yield encoded
        yield encoded.rstrip(b"=")
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield secret.hex(" ").encode()
    yield secret.hex(" ").upper().encode()
    text = secret.decode("utf-8", "replace")
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode()
    yield repr(secret)[2:-1].encode()
    yield quote(secret, safe="").encode()
    yield secret.strip() or secret
