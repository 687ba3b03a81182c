"""The rule that stops trials: what it says of which numbers, and that it never takes it back."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truss_train_core.sweeps import Halving, Objective, why_stop
from truss_train_core.sweeps.halving import Records

NAN = math.nan


def objective(mode: Any = "min", *, first: float = 10, eta: int = 2, unit: Any = "step") -> Objective:
    return Objective(metric="eval_loss", mode=mode, halving=Halving(first=first, eta=eta, unit=unit))


def records(*values: float, every: int = 10) -> Records:
    """What was measured at steps 10, 20, …; an epoch is 100 steps."""
    return [
        {"step": n * every, "epoch": n * every / 100, "eval_loss": value, "loss": 1.0}
        for n, value in enumerate(values, 1)
    ]


def test_a_trial_is_stopped_once_as_many_are_better_as_may_go_on() -> None:
    measured = {1: records(0.3), 2: records(0.2), 3: records(0.4)}
    assert why_stop(objective(), 4, 3, measured) == (
        "eval_loss is 0.4 at step 10; trial 2 (0.2), trial 1 (0.3) did better at step 10, beyond which 2 of 4 go on"
    )
    assert why_stop(objective(), 4, 1, measured) is None
    assert why_stop(objective(), 4, 2, measured) is None


def test_nothing_is_said_before_the_first_rung_and_of_a_trial_without_measurements() -> None:
    measured = {1: records(0.3), 2: records(0.2), 3: records(9.0)}
    assert why_stop(objective(first=11), 3, 3, measured) is None
    assert why_stop(objective(), 3, 4, measured) is None


def test_fewer_go_on_beyond_each_further_rung_and_one_at_least() -> None:
    measured = {n: records(n, n, n, n) for n in range(1, 9)}  # rungs 10, 20 and 40: of eight, 4, 2 and 1 go on
    stopped_at = {
        n: (why_stop(objective(), 8, n, measured) or "").partition(" did better at ")[2][:7] for n in range(1, 9)
    }
    assert stopped_at == {1: "", 2: "step 40"} | dict.fromkeys((3, 4), "step 20") | dict.fromkeys(
        range(5, 9), "step 10"
    )


def test_trials_are_compared_at_the_same_rung_however_far_the_others_are() -> None:
    measured = {1: records(0.5, 0.1, 0.01), 2: records(0.4)}
    assert why_stop(objective(), 2, 2, measured) is None
    assert why_stop(objective(), 2, 1, measured)  # at its first rung, although it is better by now


def test_equals_all_go_on() -> None:
    assert why_stop(objective(), 2, 1, {1: records(0.5), 2: records(0.5)}) is None


def test_the_largest_can_be_the_best() -> None:
    measured = {1: records(0.9), 2: records(0.8)}
    assert why_stop(objective("max"), 2, 2, measured)
    assert why_stop(objective("max"), 2, 1, measured) is None


def test_epochs_compare_trials_of_different_steps() -> None:
    measured = {1: records(0.5, 0.4), 2: records(0.3, every=100)}  # twenty steps, and one epoch
    assert why_stop(objective(unit="epoch", first=1), 2, 1, measured) is None
    measured[1] = records(0.5, 0.4, every=50)
    assert "at epoch 1" in (why_stop(objective(unit="epoch", first=1), 2, 1, measured) or "")


@pytest.mark.parametrize("rule", [objective(first=1000), Objective(metric="eval_loss", mode="min")])
def test_nan_stops_a_trial_at_once_also_where_nothing_is_compared(rule: Objective) -> None:
    assert why_stop(rule, 2, 1, {1: records(0.5, NAN)}) == "eval_loss is nan since step 20"
    assert why_stop(rule, 2, 1, {1: [{"step": 5.0, "loss": math.inf}]}) == "loss is inf since step 5"
    assert why_stop(rule, 2, 1, {1: records(NAN, 0.5)}) is None  # it has recovered


def test_nan_is_worse_than_any_number() -> None:
    measured = {1: records(5.0), 2: records(NAN, 0.1)}
    assert why_stop(objective(), 2, 1, measured) is None
    assert why_stop(objective(), 2, 2, measured)


TRIALS = st.lists(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, NAN]), max_size=8), min_size=2, max_size=9)


@settings(max_examples=100, deadline=None)
@given(TRIALS, st.sampled_from([2, 3]), st.data())
def test_what_is_measured_later_never_takes_a_verdict_back(trials: Any, eta: int, data: st.DataObject) -> None:
    whole = {n: records(*values) for n, values in enumerate(trials, 1)}
    now = {n: told[: data.draw(st.integers(0, len(told)))] for n, told in whole.items()}
    for number in whole:
        known = now[number]  # a trial that was stopped measures no more
        if why_stop(objective(eta=eta), len(whole), number, now):
            assert why_stop(objective(eta=eta), len(whole), number, {**whole, number: known})


@settings(max_examples=200, deadline=None)
@given(st.permutations([n / 10 for n in range(9)]), st.integers(0, 8))
def test_what_would_go_on_side_by_side_is_not_stopped_whoever_is_first(values: list[float], late: int) -> None:
    rule = objective(eta=3)
    measured = {n: records(value) for n, value in enumerate(values, 1) if n != late}
    stopped = {n for n in measured if why_stop(rule, 9, n, measured)}
    assert not stopped & {n for n in measured if values[n - 1] < 0.25}
