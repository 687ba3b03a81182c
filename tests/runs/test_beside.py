"""A flow in the pauses of another."""

from __future__ import annotations

import pytest
from world import START, World

from truss_train_core.api.flows import Flow, Rest, now, pause, rest
from truss_train_core.runs.beside import beside


def steps(name: str, told: list[tuple[str, float]], *pauses: float) -> Flow[str]:
    """Tells when it goes on, after each pause."""
    for seconds in pauses:
        yield from pause(seconds)
        told.append((name, round((yield from now()) - START, 3)))
    return name


def nothing(*pauses: float) -> Flow[None]:
    for seconds in pauses:
        yield from pause(seconds)


def aside(told: list[tuple[str, float]], *pauses: float) -> Flow[None]:
    yield from steps("aside", told, *pauses)


def test_each_goes_on_when_its_own_pause_is_over(world: World) -> None:
    told: list[tuple[str, float]] = []
    assert world.run(beside(steps("main", told, 3, 3, 3), aside(told, 2, 2.5, 1))) == "main"
    assert told == [("aside", 2), ("main", 3), ("aside", 4.5), ("aside", 5.5), ("main", 6), ("main", 9)]


def test_what_is_left_follows_the_end(world: World) -> None:
    told: list[tuple[str, float]] = []
    world.run(beside(steps("main", told, 1), aside(told, 2, 3)))
    assert told == [("main", 1), ("aside", 2), ("aside", 5)]


def test_what_is_left_follows_an_error_too_which_is_then_raised(world: World) -> None:
    told: list[tuple[str, float]] = []

    def fails() -> Flow[None]:
        yield from pause(1)
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        world.run(beside(fails(), aside(told, 2, 3)))
    assert told == [("aside", 2), ("aside", 5)]


def test_an_error_of_the_other_ends_both(world: World) -> None:
    told: list[tuple[str, float]] = []

    def fails() -> Flow[None]:
        yield from pause(1)
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        world.run(beside(steps("main", told, 2, 2), fails()))
    assert told == []


def test_a_rest_that_others_may_end_is_one_still() -> None:
    flow = beside(rest(3.0, 4.0), nothing(1.0))
    effect = next(flow)
    effects = []
    try:
        while True:
            effects.append(effect)
            effect = flow.send(START + (1.0 if len(effects) > 2 else 0.0))
    except StopIteration:
        pass
    assert [each for each in effects if isinstance(each, Rest)] == [Rest(2.0, 3.0)]
