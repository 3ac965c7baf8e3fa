"""Asking for a diagnosis in the lab, and making faults there that are undone afterwards."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from ncgd.lab import gateway, topology
from ncgd.lab.topology import POD, VM
from tests.integration.netns import until

Fault = Callable[[], AbstractContextManager[object]]


def diagnosed(*arguments: str) -> dict[str, Any]:
    """``ncgctl diagnose -o json``."""
    done = gateway.ncgctl("diagnose", *arguments, "-o", "json")
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    is_wrong = any(step["verdict"] == "fail" for step in answer["steps"])
    assert done.returncode == int(is_wrong)
    return answer


def from_to(source: str = POD, destination: str = VM) -> dict[str, Any]:
    return diagnosed("--from", source, "--to", destination)


def run(node: str, command: str, text: str | None = None) -> None:
    subprocess.run(topology.inside(node, *command.split()), input=text, text=True, check=True, capture_output=True)


@contextmanager
def done(node: str, command: str, undo: str) -> Iterator[None]:
    run(node, command)
    try:
        yield
    finally:
        run(node, undo)


def setting(key: str, value: str, usual: str) -> Fault:
    return partial(done, "gw", f"sysctl -w {key}={value}", f"sysctl -w {key}={usual}")


@contextmanager
def table(node: str, content: str, family: str = "ip") -> Iterator[None]:
    """Rules of another program."""
    run(node, "nft -f -", f"table {family} fault {{\n{content}\n}}\n")
    try:
        yield
    finally:
        run(node, f"nft delete table {family} fault")


def dropped_at(node: str, hook: str, rule: str) -> Fault:
    content = f"chain c {{ type filter hook {hook} priority 0; {rule} drop; }}"
    return partial(table, node, content)


def assert_named(reason: str, words: str, ask: Callable[[], dict[str, Any]] = from_to, seconds: float = 20) -> None:
    """The cause is found, and all that was fine before it is told."""

    def named() -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = ask()["steps"]
        is_it = steps[-1]["reason"] == reason and steps[-1]["verdict"] == "fail" and words in steps[-1]["saw"]
        return steps if is_it else []

    try:
        steps = until(named, seconds)
    except AssertionError as error:
        raise AssertionError(f"no {reason} with {words!r}:\n{json.dumps(ask()['steps'], indent=1)}") from error
    assert steps[-1]["todo"]
    assert "fail" not in {step["verdict"] for step in steps[:-1]}
