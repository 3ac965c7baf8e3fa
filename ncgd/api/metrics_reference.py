"""The metrics as a document: ``python -m ncgd.api.metrics_reference > config/monitoring/METRICS.md``."""

import sys
from collections.abc import Iterator

from ncgd.api.metrics_families import SECTIONS
from ncgd.api.metrics_family import Family

_HEAD = """\
# Metrics

Written by `python -m ncgd.api.metrics_reference`; changes are lost.

ncgd serves them at `/metrics` of its socket and of its status port, in Prometheus' text format. Their number is
bounded: 27 series for a tunnel with its peer, and some 200. No label ever holds a prefix, an address or a secret.
Counters begin with ncgd, and go on over rekeys and restarts of charon and exabgp. `process_*` are prometheus-client's.
"""


def text() -> str:
    """The whole document."""
    return "\n".join([_HEAD, *(line for title, section in SECTIONS.items() for line in _section(title, section))])


def _section(title: str, families: tuple[Family, ...]) -> Iterator[str]:
    yield from (f"## {title}", "", "| metric | type | labels | what it says |", "|---|---|---|---|")
    for family in families:
        labels = "<br>".join(f"`{label}`: {meaning}" for label, meaning in family.labels.items())
        yield f"| `{family.name}` | {family.kind} | {labels} | {family.help} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(text())
