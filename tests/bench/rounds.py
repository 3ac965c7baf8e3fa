"""Asks every question of every subject, round after round, and writes down what came of it."""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ncgd.lab.failure import LabFailure
from tests.bench.results import NCGD, Results
from tests.bench.rows import QUESTIONS, ROWS, Question


def measure(rounds: int, wanted: frozenset[str], say: Callable[[str], None]) -> Results:
    """Values of the rows that are wanted. What fails is said in the results, and the rest goes on."""
    results = Results()
    for number in range(rounds):
        for question in QUESTIONS:
            if not question.at_once:
                turned = number % len(question.subjects)  # nobody is always first
                for subject in question.subjects[turned:] + question.subjects[:turned]:
                    _ask(question, subject, wanted, results, say)
        say(f"round {number + 1} of {rounds} is done")
    for question in QUESTIONS:
        if question.at_once:
            for subject in question.subjects:
                with ThreadPoolExecutor(rounds) as pool:
                    for _ in range(rounds):
                        pool.submit(_ask, question, subject, wanted, results, say)
    return results


def _ask(
    question: Question, subject: str, wanted: frozenset[str], results: Results, say: Callable[[str], None]
) -> None:
    missing = {row.key for row in ROWS if row.key in wanted & question.rows and subject in {NCGD, *row.beside}}
    if not missing:
        return
    try:
        for row, value in question.ask(subject, frozenset(missing)):
            if row in missing:
                missing.discard(row)
                results.values[row, subject].append(value)
                say(f"{subject}: {row} {value:.4g}")
    except (LabFailure, AssertionError, OSError, subprocess.SubprocessError) as error:
        say(f"{subject}: {error}")
        reason = (str(error) or type(error).__name__).splitlines()[0]
        results.obstacles |= {(row, subject): reason for row in missing}
