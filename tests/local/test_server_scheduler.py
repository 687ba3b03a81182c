from __future__ import annotations

import pytest

from truss_train_core.local.server.scheduler import CPU, Claim, parse_capacity, plan


def job(
    name: str, amount: int = 1, *, pool: str = "H100", priority: int = 0, seq: int = 0, team: str = "ours"
) -> Claim:
    return Claim(name, pool, amount, priority, seq, team)


def test_the_higher_priority_goes_first_and_then_the_older_job() -> None:
    queued = [job("old", 4, seq=1), job("urgent", 4, priority=5, seq=3), job("young", 4, seq=2)]

    assert plan(queued, [], {"H100": 8}).start == ("urgent", "old")


def test_nobody_overtakes_a_large_job_at_the_head() -> None:
    planned = plan([job("large", 8, seq=1), job("small", 1, seq=2)], [job("running", 4)], {"H100": 8})

    assert planned.start == ()
    assert "4 of 8 in use" in planned.advice["large"]
    assert "1 ahead" in planned.advice["small"]


def test_pools_do_not_wait_for_each_other() -> None:
    queued = [job("a", 8, seq=1), job("b", 1, pool="L4", seq=2), job("c", 2, pool=CPU, seq=3)]

    assert plan(queued, [job("running", 8)], {"H100": 8, "L4": 1, CPU: 2}).start == ("b", "c")


def test_a_job_that_can_never_fit_is_told_so_and_blocks_nobody() -> None:
    planned = plan([job("huge", 16, seq=1), job("next", 8, seq=2)], [], {"H100": 8})

    assert planned.start == ("next",)
    assert "cannot start" in planned.advice["huge"]
    assert "--capacity H100=16" in planned.advice["huge"]


def test_without_a_stated_capacity_a_large_job_runs_alone() -> None:
    queued = [job("cluster", 64, seq=1), job("second", 1, seq=2)]

    assert plan(queued, [], {}).start == ("cluster",)
    assert plan(queued[1:], [job("cluster", 64)], {}).start == ()


def test_a_capacity_of_none_starts_nothing() -> None:
    assert plan([job("a")], [], {"H100": 0}).start == ()


def test_nobody_overtakes_within_a_team_at_its_limit_and_other_teams_go_on() -> None:
    queued = [job("large", 4, seq=1), job("small", 1, seq=2), job("theirs", 1, seq=3, team="theirs")]
    planned = plan(queued, [job("running", 2)], {"H100": 8}, {("ours", "H100"): 4})

    assert planned.start == ("theirs",)
    assert "its team uses 2 of the 4 that it may" in planned.advice["small"]


def test_a_job_beyond_the_limit_of_its_team_is_told_so_and_blocks_nobody() -> None:
    planned = plan([job("huge", 8, seq=1), job("next", 4, seq=2)], [], {"H100": 8}, {("ours", "H100"): 4})

    assert planned.start == ("next",)
    assert "its team may use 4: it cannot start" in planned.advice["huge"]


def test_a_limit_is_of_one_pool() -> None:
    planned = plan([job("a", pool="L4"), job("b")], [], {"H100": 8, "L4": 1}, {("ours", "L4"): 0})

    assert planned.start == ("b",)


def test_a_capacity_is_read_from_text() -> None:
    assert parse_capacity("H100=8, CPU=4,") == {"H100": 8, "CPU": 4}


@pytest.mark.parametrize("text", ["H100", "H100=", "H100=-1", "H100=x"])
def test_a_capacity_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="TYPE=COUNT"):
        parse_capacity(text)


def test_a_capacity_of_an_unknown_type_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'H1000' is not one of .*H100.*CPU"):
        parse_capacity("H1000=1")
