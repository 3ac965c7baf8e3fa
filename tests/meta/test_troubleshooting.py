"""Every code that ncgd tells is in the troubleshooting table, and the table holds no other."""

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from ncgd.decision import conditions
from ncgd.model import reason
from ncgd.model.cluster_range import RangeKind
from ncgd.model.report import Health
from ncgd.resources.crd import DEFINED

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "config" / "TROUBLESHOOTING.md"
TELLING = ("decision", "resources", "sources", "drivers/statefile", "drivers/strongswan")
"""Packages whose texts reach people."""
NO_CODES = {
    *DEFINED,
    *("ConfigMap", "CustomResourceDefinition", "DeleteOptions"),  # other kinds
    *("ActiveActive", "ActivePassive"),  # values of spec.mode
    *("CreatedTime", "CurrNode", "LastReportTime"),  # fields of a status
}
"""Words of the same shape."""
COMPOSED = {
    "Translated",
    "NodesForbidden",
    "ServicesForbidden",
    *(f"Gateway{health}" for health in Health if health != Health.STANDBY),
}
"""Codes that are put together at run time, or that cannot be told from other words."""


def enumerated() -> set[str]:
    """Codes that are members of an enum, and the names of conditions."""
    enums: list[type[StrEnum]] = [RangeKind]
    enums += [each for each in vars(reason).values() if isinstance(each, type) and issubclass(each, StrEnum)]
    codes = {str(member) for enum in enums for member in enum}
    names = (conditions.READY, conditions.ACCEPTED, conditions.SOURCES_KEPT, conditions.WITHIN_LIMIT)
    return codes | {*names, conditions.EXPORTED}


def written() -> set[str]:
    """Codes that stand as they are in the code: two capitals and more, or given as ``reason=``."""
    return {code for package in TELLING for path in (ROOT / "ncgd" / package).rglob("*.py") for code in _codes(path)}


def _codes(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Constant(value=str(text)) if re.fullmatch(r"[A-Z][a-z0-9]*([A-Z]+[a-z0-9]*)+", text):
                found = text
            case ast.keyword(arg="reason", value=ast.Constant(value=str(text))) if text.isalpha() and text[0].isupper():
                found = text
            case _:
                continue
        if not found.isupper():
            yield found


def listed() -> set[str]:
    """The first column of every table of codes."""
    rows = [line.split("|")[1] for line in TABLE.read_text().splitlines() if re.match(r"\| `[A-Z]", line)]
    return {code for row in rows for code in re.findall(r"`(\w+)`", row)}


def test_every_code_is_in_the_table() -> None:
    missing = (enumerated() | written() | COMPOSED) - NO_CODES - listed()
    assert not missing, f"add what they mean, and what to do, to {TABLE.relative_to(ROOT)}"


def test_the_table_holds_no_code_that_ncgd_does_not_have() -> None:
    gone = listed() - enumerated() - written() - COMPOSED
    assert not gone, f"remove them from {TABLE.relative_to(ROOT)}"


def test_every_row_says_what_it_means() -> None:
    for line in TABLE.read_text().splitlines():
        if line.startswith("| `"):
            assert all(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]), line
