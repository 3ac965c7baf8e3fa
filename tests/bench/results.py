"""The table: medians, spread, ratios, goals; as text for the terminal and for RESULTS.md."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured thing. Values of every round, in the unit; ``others`` by the name of what ncgd is beside."""

    what: str
    unit: str
    ncgd: Sequence[float]
    others: dict[str, Sequence[float]]
    goal: str
    is_met: Callable[[float, dict[str, float]], bool] | None

    def cells(self) -> list[str]:
        """What, ncgd, BIRD, FRR, goal, verdict."""
        mine = median(self.ncgd)
        theirs = {name: median(values) for name, values in self.others.items()}
        verdict = "no goal"
        if self.is_met is not None:
            verdict = "met" if self.is_met(mine, theirs) else "**missed**"
        return [
            f"{self.what}, {self.unit}",
            f"{_number(mine)} ({_number(min(self.ncgd))}-{_number(max(self.ncgd))})",
            *(self._beside(name, mine, theirs) for name in ("BIRD", "FRR")),
            self.goal,
            verdict,
        ]

    def _beside(self, name: str, mine: float, theirs: dict[str, float]) -> str:
        if name not in theirs:
            return "-"
        values = self.others[name]
        spread = f"{_number(theirs[name])} ({_number(min(values))}-{_number(max(values))})"
        return f"{spread}; ncgd takes {mine / theirs[name]:.3g} x" if theirs[name] else spread


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, columns aligned."""
    head = ["what", "ncgd", "BIRD", "FRR", "goal", "verdict"]
    lines = [head, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )
