"""systemd's own judgement of the units, and what ncgd promises of them."""

import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[3] / "config" / "systemd").glob("*.service"), key=lambda unit: unit.stem)
MOST_EXPOSED = 25
"""Tenths of what ``systemd-analyze security`` calls the exposure level; a plain service has 96."""


def test_there_are_three() -> None:
    assert [unit.stem for unit in UNITS] == ["ncgd", "ncgd-charon", "ncgd-exabgp"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_it_is_hardened(unit: Path) -> None:
    argv = ["systemd-analyze", "security", "--no-pager", "--offline=1", f"--threshold={MOST_EXPOSED}", str(unit)]
    judged = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout + judged.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_it_comes_back_for_ever_and_leaves_what_others_use(unit: Path) -> None:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # names are in two cases
    parser.read(unit)
    assert parser["Unit"]["StartLimitIntervalSec"] == "0"
    assert parser["Service"]["Restart"] == "always"
    assert parser["Service"]["RuntimeDirectoryPreserve"] == "yes"
    assert parser["Service"]["NoNewPrivileges"] == "yes"


def test_systemd_finds_no_mistake(tmp_path: Path) -> None:
    """``verify`` wants the programs to be there."""
    for unit in UNITS:
        text = unit.read_text()
        assert "/opt/ncgd/bin/" in text
        (tmp_path / unit.name).write_text(
            text.replace("/opt/ncgd/bin/python3", "/bin/true").replace("/opt/ncgd/bin/ncgd ", "/bin/true ")
        )
    argv = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.glob("*.service")))]
    judged = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (judged.returncode, [line for line in judged.stderr.splitlines() if "ncgd" in line]) == (0, [])
