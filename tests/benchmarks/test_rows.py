"""Each row of the benchmarks still runs. How long anything takes is not looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measuring import Ratio
from benchmarks.results import Goal, Growth, Result, number, page

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("row", ["waiting", "following", "choosing", "round_trip", "platform", "burst"])
def test_a_row_runs_at_a_small_size(row: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", row]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"## {row}" in done.stdout


def test_the_page_says_which_goals_are_met_and_how_costs_grow() -> None:
    growth = Growth("time", "s", {10: 0.1, 100: 1.0, 1000: 10.0})
    goals = (Goal("time, of theirs", 0.2, 0.25), Goal("calls a second", 3, 4, "", at_least=True))
    result = Result("Doing it", goals, ("", "wall"), [("ours", "1 s")], growths=[growth])
    text = page({"doing": result, "failing": "RuntimeError: no"}, 3)
    assert "time, of theirs: 0.200 × (≤ 0.250) | met" in text
    assert "calls a second: 3.00  (≥ 4.00) | **missed**" in text
    assert "| failing | RuntimeError: no | **failed** |" in text
    assert growth.slope == pytest.approx(1.0)


def test_a_ratio_says_what_the_noise_leaves_open() -> None:
    rounds = [each / 100 for each in (5, 1, 4, 2, 3, *range(6, 26))]
    assert Ratio.of(rounds) == Ratio(0.13, 0.08, 0.18)
    assert Ratio.of([2.0, 1.0, 4.0]) == Ratio(2.0, 1.0, 4.0)
    verdicts = {
        limit: Goal("time, of theirs", Ratio(0.13, 0.08, 0.18), limit).verdict for limit in (0.05, 0.1, 0.15, 0.2)
    }
    assert verdicts == {
        0.05: "**missed**", 0.1: "**missed**, by less than the noise", 0.15: "met, by less than the noise", 0.2: "met"
    }  # fmt: skip
    assert str(Goal("time, of theirs", Ratio(0.13, 0.08, 0.18), 0.2)) == (
        "time, of theirs: 0.130 ×, 0.0800 to 0.180 (≤ 0.200)"
    )


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (12_345.6, "12,346"), (1.234, "1.23"), (0.0000123, "1.2e-05")])
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
