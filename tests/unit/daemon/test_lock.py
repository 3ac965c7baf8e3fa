"""Two ncgd never work at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ncgd.daemon.lock import only_one
from ncgd.errors import UserError


def test_the_second_refuses_and_names_the_first(tmp_path: Path) -> None:
    with only_one(tmp_path):
        with pytest.raises(UserError, match=rf"another ncgd \(pid {os.getpid()}\)"), only_one(tmp_path):
            pass
        argv = [sys.executable, "-m", "ncgd", "--run-dir", str(tmp_path), "--resources", str(tmp_path)]
        second = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        assert second.returncode == 2
        assert f"pid {os.getpid()}" in second.stderr
    with only_one(tmp_path):
        pass


def test_a_run_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    argv = [sys.executable, "-m", "ncgd", "--run-dir", str(tmp_path / "file" / "run"), "--resources", str(tmp_path)]
    refused = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 2
    assert str(tmp_path / "file") in refused.stderr
