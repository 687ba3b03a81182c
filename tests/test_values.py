"""Values are built with the first of their kind, by one thread at a time."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any

import pydantic.main
import pytest
from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema

from truss_train_core import values
from truss_train_core.values import Setting, Value

LONG = 30.0


def value_of(kind: type[str]) -> type[Value]:
    """A kind of value of which there is none yet."""
    return type("Made", (Value,), {"__annotations__": {"text": kind}, "__module__": __name__})


class Text(str):
    built = 0
    begun = threading.Event()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        cls.built += 1
        cls.begun.set()
        return handler(str)


@pytest.fixture(autouse=True)
def _nothing_built(monkeypatch: pytest.MonkeyPatch) -> None:
    Text.built = 0
    Text.begun.clear()
    # As before pydantic 2.14, which has a lock of its own.
    monkeypatch.setattr(pydantic.main, "_rebuild_lock", nullcontext(), raising=False)


def test_a_kind_of_value_is_built_when_the_first_is_made() -> None:
    made = value_of(Text)
    assert Text.built == 0
    assert made(text="a") == made(text="a")
    assert Text.built == 1


def test_a_thread_waits_for_another_that_builds() -> None:
    made = value_of(Text)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(made(text="a").text))
    with values._building:
        thread.start()
        assert not Text.begun.wait(0.2)
    thread.join(LONG)
    assert (found, Text.built) == (["a"], 1)


def test_threads_that_make_the_first_ones_at_the_same_time_find_them_whole() -> None:
    made = value_of(Text)
    together, found = threading.Barrier(8), []

    def make() -> None:
        together.wait(LONG)
        found.append(made(text="a").model_dump())

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert found == [{"text": "a"}] * 8
    assert Text.built == 1


def test_an_unknown_field_is_dropped_from_a_value_and_refused_in_a_setting() -> None:
    assert Value.model_validate({"new": 1}).model_dump() == {}
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Setting.model_validate({"new": 1})


def test_a_value_never_changes() -> None:
    one = value_of(Text)(text="a")
    with pytest.raises(ValidationError, match="frozen"):
        one.text = "b"
