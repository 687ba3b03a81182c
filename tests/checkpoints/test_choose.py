"""Choosing: explicit direction, no NaN, earliest wins ties, and everyone else is in the table with a reason."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from itertools import permutations

import pytest

from truss_train_core.api.models import Checkpoint
from truss_train_core.checkpoints import Candidate, choose_best, choose_newest, choose_top
from truss_train_core.errors import NoUsableCheckpoint

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def candidate(step: int, rejected: str | None = None, job: str = "j1", **metrics: float) -> Candidate:
    checkpoint = Checkpoint(
        training_job_id=job, checkpoint_id=f"checkpoint-{step}", created_at=START + timedelta(seconds=step)
    )
    return Candidate(checkpoint=checkpoint, metrics=metrics, rejected=rejected)


def best(*candidates: Candidate, metric: str = "eval_loss", mode: str = "min") -> str:
    names = {choose_best(order, metric, mode).checkpoint.checkpoint_id for order in permutations(candidates)}
    assert len(names) == 1  # the order of the list decides nothing
    return names.pop().removeprefix("checkpoint-")


def test_the_direction_is_what_was_said() -> None:
    several = candidate(1, eval_loss=3), candidate(2, eval_loss=1), candidate(3, eval_loss=2)
    assert best(*several) == "2"
    assert best(*several, mode="max") == "1"


def test_a_direction_that_is_neither_is_refused() -> None:
    with pytest.raises(ValueError, match="'min' or 'max', not 'lowest'"):
        choose_best([candidate(1, eval_loss=1)], "eval_loss", "lowest")  # type: ignore[arg-type]


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_number_that_is_none_never_wins(odd: float, mode: str) -> None:
    assert best(candidate(1, eval_loss=odd), candidate(2, eval_loss=9), candidate(3, eval_loss=odd), mode=mode) == "2"


def test_only_such_numbers_are_an_error_that_says_so() -> None:
    with pytest.raises(NoUsableCheckpoint, match=r"checkpoint-1: eval_loss is nan; checkpoint-2: eval_loss is inf"):
        choose_best([candidate(1, eval_loss=math.nan), candidate(2, eval_loss=math.inf)], "eval_loss", "min")


def test_the_earliest_wins_a_tie() -> None:
    assert best(candidate(1, eval_loss=2), candidate(2, eval_loss=1), candidate(3, eval_loss=1)) == "2"
    assert best(candidate(1, eval_loss=1), candidate(2, eval_loss=1), mode="max") == "1"


def test_a_rejected_candidate_is_never_chosen_and_is_in_the_table() -> None:
    choice = choose_best(
        [candidate(1, "still being copied", eval_loss=0), candidate(2, eval_loss=1)], "eval_loss", "min"
    )
    assert choice.checkpoint.checkpoint_id == "checkpoint-2"
    assert [(row.step, row.value, row.rejected) for row in choice.table] == [(1, 0, "still being copied"), (2, 1, None)]
    assert choice.reason == "eval_loss 1 is the smallest of 1 usable of 2 checkpoints"


def test_loss_means_eval_loss_where_that_was_measured() -> None:
    pair = candidate(1, loss=0.1, eval_loss=2), candidate(2, loss=0.2, eval_loss=1)
    assert best(*pair, metric="loss") == "2"
    assert choose_best(pair, "loss", "min").metric == "eval_loss"


def test_a_metric_without_evaluations_is_taken_as_it_is_named() -> None:
    assert choose_best([candidate(1, loss=0.1)], "loss", "min").metric == "loss"


def test_eval_loss_never_means_the_training_loss() -> None:
    with pytest.raises(NoUsableCheckpoint, match=r"no eval_loss \(it has loss\)"):
        choose_best([candidate(1, loss=0.1)], "eval_loss", "min")


def test_one_name_is_used_for_all() -> None:
    choice = choose_best([candidate(1, loss=0.1), candidate(2, loss=0.2, eval_loss=1)], "loss", "min")
    assert choice.checkpoint.checkpoint_id == "checkpoint-2"
    assert choice.table[0].rejected == "no eval_loss (it has loss)"


def test_what_each_lacks_is_said_and_many_are_summed_up() -> None:
    with pytest.raises(NoUsableCheckpoint, match=r"checkpoint-7: nope; and 12 more"):
        choose_best([candidate(step, "nope") for step in range(20)], "eval_loss", "min")
    with pytest.raises(NoUsableCheckpoint, match=r"there is none. Is checkpointing enabled"):
        choose_best([], "eval_loss", "min")


def test_the_newest_usable_is_chosen_where_no_metric_is_asked_for() -> None:
    choice = choose_newest([candidate(3, "still being copied"), candidate(1), candidate(2)])
    assert choice.checkpoint.checkpoint_id == "checkpoint-2"
    assert choice.value is None
    with pytest.raises(NoUsableCheckpoint, match="checkpoint-3: no"):
        choose_newest([candidate(3, "no")])


def test_a_choice_survives_json() -> None:
    choice = choose_best([candidate(1, eval_loss=math.nan), candidate(2, eval_loss=1)], "eval_loss", "min")
    assert type(choice).model_validate_json(choice.model_dump_json()) == choice


# ---------------------------------------------------------------- the best few


def top(*candidates: Candidate, count: int, mode: str = "min") -> list[str]:
    names = {
        tuple(each.checkpoint.checkpoint_id.removeprefix("checkpoint-") for each in ranked)
        for order in permutations(candidates)
        if (ranked := choose_top(order, "eval_loss", mode, count))  # type: ignore[arg-type]
    }
    assert len(names) == 1  # the order of the list decides nothing
    return list(names.pop())


def test_the_best_few_come_best_first_and_of_equals_the_earliest() -> None:
    several = [candidate(step, eval_loss=loss) for step, loss in ((1, 3), (2, 1), (3, 2), (4, 1), (5, math.nan))]
    assert top(*several, count=3) == ["2", "4", "3"]
    assert top(*several, count=3, mode="max") == ["1", "3", "2"]


def test_fewer_can_be_chosen_than_are_wanted() -> None:
    assert top(candidate(1, eval_loss=2), candidate(2, "too large", eval_loss=1), count=3) == ["1"]
    with pytest.raises(NoUsableCheckpoint):
        choose_top([candidate(1, "too large", eval_loss=1)], "eval_loss", "min", 3)


def test_each_of_the_best_few_says_which_place_it_has() -> None:
    several = [candidate(step, eval_loss=step) for step in (1, 2, 3, 4)]
    ranked = choose_top(several, "eval_loss", "min", 3)
    assert [each.reason for each in ranked] == [
        "eval_loss 1 is the smallest of 4 usable of 4 checkpoints",
        "eval_loss 2 is the smallest but 1 of 4 usable of 4 checkpoints",
        "eval_loss 3 is the smallest but 2 of 4 usable of 4 checkpoints",
    ]
    assert len({each.table for each in ranked}) == 1


def test_none_of_the_best_is_no_question() -> None:
    with pytest.raises(ValueError, match="count is at least 1"):
        choose_top([candidate(1, eval_loss=1)], "eval_loss", "min", 0)
