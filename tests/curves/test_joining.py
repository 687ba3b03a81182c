"""How the curves of a run's attempts become one."""

from __future__ import annotations

from truss_train_core.curves import Measured, joined, resumed_at


def measured(*steps: int, loss: float = 1.0) -> list[dict[str, float]]:
    return [{"step": float(step), "loss": loss} for step in steps]


def test_a_resumed_curve_goes_on_where_the_former_one_was_left() -> None:
    run = [
        Measured("a", 1, None, measured(1, 2, 3, 4, loss=1)),
        Measured("b", 2, 2, measured(1, 2, 3, 4, 5, loss=2)),  # its state tells of the steps before it, too
    ]
    curve = joined(run)["loss"]

    assert curve.counted == {1: 1, 2: 1, 3: 2, 4: 2, 5: 2}
    assert curve.set_aside == {3: 1, 4: 1}


def test_an_attempt_that_has_measured_nothing_yet_takes_back_what_it_will_repeat() -> None:
    curve = joined([Measured("a", 1, None, measured(1, 2, 3)), Measured("b", 2, 2, [])])["loss"]

    assert (list(curve.counted), list(curve.set_aside)) == ([1, 2], [3])


def test_an_attempt_that_began_anew_shows_that_it_did() -> None:
    curve = joined([Measured("a", 1, None, measured(1, 2)), Measured("b", 2, None, measured(1, loss=3))])["loss"]

    assert (curve.counted, curve.set_aside) == ({1: 3}, {1: 1, 2: 1})


def test_what_came_before_a_run_is_part_of_its_curve() -> None:
    assert list(joined([Measured("a", 1, 2, measured(1, 2, 3))])["loss"].counted) == [1, 2, 3]


def test_attempts_after_the_first_are_marked_where_they_went_on() -> None:
    run = [Measured("a", 1, None, []), Measured("b", 2, 4, []), Measured("c", 3, None, [])]

    assert resumed_at(run) == [(2, 4), (3, 0)]
