"""What was measured, and the table of it: medians, spread, ratios, goals; for the terminal and for RESULTS.md."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

NCGD = "ncgd"
_OF_THE_PROCESSOR = {"ms", "Mbit/s"}
_HEAD = ["what", "ncgd", "beside", "its value", "ncgd ÷ it", "goal", "verdict"]


@dataclass(slots=True)
class Results:
    """Values of every round by (row, subject), in the row's unit; and why there is none where there is none."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    obstacles: dict[tuple[str, str], str] = field(default_factory=dict)

    def __contains__(self, row: str) -> bool:
        return any(row == key for key, _ in (*self.values, *self.obstacles))

    def median(self, row: str, subject: str) -> float | None:
        """None when there is no value."""
        values = self.values.get((row, subject))
        return median(values) if values else None

    def text(self, row: str, subject: str) -> str:
        """Median, best and worst; and what went wrong."""
        values = self.values.get((row, subject), [])
        parts = [f"{_number(median(values))} ({_number(min(values))}-{_number(max(values))})"] if values else []
        if obstacle := self.obstacles.get((row, subject)):
            parts.append(f"{'once' if values else 'not measured'}: {obstacle}")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured thing, what ncgd is beside, and its goal: decided by ncgd's median and those beside it."""

    key: str
    what: str
    unit: str
    beside: Sequence[str] = ()
    goal: str = "-"
    is_met: Callable[[float, Mapping[str, float]], bool] | None = None

    def lines(self, results: Results, *, emulated: bool) -> list[list[str]]:
        """A line for each thing beside, at least one. Nothing is judged that an emulated processor decides."""
        mine = results.median(self.key, NCGD)
        theirs = {name: value for name in self.beside if (value := results.median(self.key, name)) is not None}
        verdict = "no goal"
        if self.is_met:
            is_known = mine is not None and len(theirs) == len(self.beside)
            verdict = ("met" if self.is_met(mine or 0.0, theirs) else "**missed**") if is_known else "unknown"
        if emulated and self.unit in _OF_THE_PROCESSOR:
            verdict = "emulated"
        lines = []
        for name in self.beside or ("-",):
            ratio = f"{mine / theirs[name]:.3g}" if mine is not None and theirs.get(name) else ""
            lines.append(["", "", name, results.text(self.key, name), ratio, "", ""])
        lines[0][:2] = [f"{self.what}, {self.unit}", results.text(self.key, NCGD)]
        lines[0][-2:] = [self.goal, verdict]
        return lines


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def table(rows: Sequence[Row], results: Results, *, emulated: bool) -> str:
    """The rows that were measured, or tried, as Markdown with aligned columns."""
    lines = [_HEAD, *(line for row in rows if row.key in results for line in row.lines(results, emulated=emulated))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )
