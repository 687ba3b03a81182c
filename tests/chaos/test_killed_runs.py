"""The short version of `killed_runs.py`; `make chaos` runs the long one."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killed_runs.py")


@pytest.mark.slow
def test_runs_that_are_killed_and_meet_faults_end_well_with_nothing_twice_and_nothing_lost() -> None:
    command = [sys.executable, str(SCRIPT), "--runs", "12", "--seed", "1"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
