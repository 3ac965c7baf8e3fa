"""The timeline on disk: it survives whatever ended ncgd, stays small, and costs nothing when it cannot be written."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from ncgd.daemon.chronicle import MOST_LINES, Chronicle
from ncgd.decision.timeline import MOST_KEPT
from ncgd.model.happening import Entry, Happening


def entry(number: int, count: int = 1) -> Entry:
    happening = Happening(
        object="OverlayVPNTunnel/kube-system/ü", reason="TunnelDown", message="because", is_warning=True
    )
    return Entry(number=number, time="t1", last_time="t2", count=count, happening=happening)


def test_what_was_kept_is_recalled_in_its_last_form(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    Chronicle(path).keep([entry(1), entry(2)])
    second = Chronicle(path)
    assert second.recall() == [entry(1), entry(2)]
    second.keep([entry(2, count=5), entry(3)])
    assert Chronicle(path).recall() == [entry(1), entry(2, count=5), entry(3)]
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_entry_that_stands_for_an_earlier_one_is_kept_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    chronicle = Chronicle(path)
    again = replace(entry(3, count=2), replaces=1)
    chronicle.keep([entry(1), entry(2), again])
    assert Chronicle(path).recall() == [entry(2), again]
    chronicle.keep([replace(entry(4, count=3), replaces=3)])
    assert [(each.number, each.count) for each in Chronicle(path).recall()] == [(2, 1), (4, 3)]


def test_half_a_line_costs_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    Chronicle(path).keep([entry(1), entry(2)])
    path.write_bytes(path.read_bytes()[:-9] + b"\n\xff\xfe\n[]\n{}\nnull")
    second = Chronicle(path)
    assert second.recall() == [entry(1)]
    second.keep([entry(3)])
    assert Chronicle(path).recall() == [entry(1), entry(3)]


def test_there_is_nothing_to_recall_at_first(tmp_path: Path) -> None:
    assert Chronicle(tmp_path / "none").recall() == []


def test_it_does_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    chronicle = Chronicle(path)
    for number in range(1, 3 * MOST_LINES):
        chronicle.keep([entry(number)])
        assert path.read_bytes().count(b"\n") <= MOST_LINES or number % 100
    assert [each.number for each in Chronicle(path).recall()] == list(range(3 * MOST_LINES - MOST_KEPT, 3 * MOST_LINES))


def test_what_cannot_be_written_is_said_once_and_written_whole_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "away" / "timeline.jsonl"
    chronicle = Chronicle(path)
    with caplog.at_level(logging.WARNING):
        chronicle.keep([entry(1)])
        chronicle.keep([entry(2)])
    assert len(caplog.records) == 1
    assert "cannot be written" in caplog.text
    path.parent.mkdir()
    chronicle.keep([entry(3)])
    assert [each.number for each in Chronicle(path).recall()] == [1, 2, 3]


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    path = tmp_path / "timeline.jsonl"
    path.symlink_to(tmp_path / "target")
    chronicle = Chronicle(path)
    chronicle.recall()
    chronicle.keep([entry(1)])
    assert (tmp_path / "target").read_text() == "mine"
