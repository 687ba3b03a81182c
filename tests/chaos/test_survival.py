"""The short version of `survival.py`; `make chaos` runs the long one."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("survival.py")


@pytest.mark.slow
def test_jobs_survive_the_deaths_of_their_server() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "8", "--jobs", "8"],
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
