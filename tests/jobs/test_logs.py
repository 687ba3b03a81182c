"""Logs: every line once, none lost, however lines, windows and polls fall."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from world import START, Fault, Job, JobScript, Killed, Line, World, away, broken

from truss_train_core import jobs
from truss_train_core.api.models import TrainingJob
from truss_train_core.errors import NotFound
from truss_train_core.events import ApiOutage, LogCursor, LogLines, Notice
from truss_train_core.jobs import logs

DAY = 24 * 3600
NS = 1_000_000_000


def at(seconds: float, text: str, replica: str = "g00r0", late: float = 0.0) -> Line:
    """A line printed so many seconds after the start, visible `late` seconds after that."""
    return Line(int((START + seconds) * NS), text, replica, START + seconds + late)


def add_job(world: World, lines: list[Line], ends: float = 60.0) -> Job:
    job = world.add_job(script=JobScript([(0, "PENDING"), (1, "RUNNING"), (ends, "COMPLETED")]))
    job.lines = lines
    return job


def as_model(world: World, job: Job) -> TrainingJob:
    return TrainingJob.model_validate(world._job(job))


def emitted(world: World) -> list[str]:
    return [line.message for event in world.heard(LogLines) for line in event.lines]


def texts(lines: list[Line]) -> list[str]:
    return [line.message for line in sorted(lines, key=lambda line: line.ns)]


def follow(world: World, job: Job, cursor: LogCursor | None = None, **kills: int) -> TrainingJob:
    return world.run(jobs.follow(as_model(world, job), cursor=cursor), **kills)


def pauses_after_the_end(world: World, job: Job) -> list[float]:
    """Follow a job that has just ended; the seconds between the looks for lines."""
    world.run(jobs.wait(as_model(world, job)))
    before = len(world.pauses)
    follow(world, job)
    return world.pauses[before:]


@pytest.fixture
def world() -> World:
    return World()


def test_a_job_is_followed_to_its_end_in_one_loop(world: World) -> None:
    lines = [at(n * 1.7, f"line {n}") for n in range(35)]
    ended = follow(world, add_job(world, lines))
    assert ended.succeeded
    assert emitted(world) == texts(lines)


def test_a_job_that_never_logged_ends_the_following(world: World) -> None:
    job = world.add_job(script=JobScript([(0, "PENDING"), (90, "DEPLOY_FAILED")], message="no such image"))
    ended = follow(world, job)
    assert ended.current_status.endswith("DEPLOY_FAILED")
    assert emitted(world) == []


def test_a_job_that_was_queued_and_silent_for_days_loses_nothing(world: World) -> None:
    lines = [at(9 * DAY, "at last"), at(9 * DAY + 1, "again"), at(26 * DAY, "and once more")]
    job = add_job(world, lines, ends=27 * DAY)
    world.time = START + 28 * DAY
    assert [line.message for line in world.run(jobs.fetch_log(as_model(world, job)))] == texts(lines)
    follow(world, job)
    assert emitted(world) == texts(lines)


def test_the_log_of_a_job_that_ended_long_ago_is_read_in_few_calls(world: World) -> None:
    job = add_job(world, [at(5, "hello")])
    world.time = START + 900 * DAY
    follow(world, job)
    assert emitted(world) == ["hello"]
    assert world.called("/logs") == 1
    assert sum(world.pauses) == 0


def test_a_line_printed_twice_in_one_nanosecond_is_handed_over_twice(world: World) -> None:
    job = add_job(world, [at(5, "same"), at(5, "same"), at(5, "same", "g01r0")])
    follow(world, job)
    assert emitted(world) == ["same"] * 3


def test_a_page_that_ends_inside_a_millisecond_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_LIMIT", 5)
    lines = [Line(int(START * NS) + n // 4, f"line {n}") for n in range(4)]
    lines += [Line(int((START + 1) * NS) + n, f"more {n}") for n in range(4)]
    job = add_job(world, lines)
    world.time += 3600
    assert [line.message for line in world.run(jobs.fetch_log(as_model(world, job)))] == texts(lines)


def test_more_lines_in_one_millisecond_than_the_api_hands_out_are_said_to_be_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOG_LIMIT", 5)
    lines = [Line(int((START + 5) * NS) + n, f"burst {n}") for n in range(7)] + [at(6, "after")]
    follow(world, add_job(world, lines))
    assert emitted(world) == [*(f"burst {n}" for n in range(5)), "after"]
    notices = world.heard(Notice)
    assert len(notices) == 1
    assert "those beyond 5 cannot be read" in notices[0].text


def test_lines_that_become_visible_late_are_read_also_after_the_end(world: World) -> None:
    lines = [at(n, f"leader {n}") for n in range(60)]
    lines += [at(n, f"slow {n}", "g00r1", late=25) for n in range(40)]
    lines += [at(59.9, "last words", late=6)]
    follow(world, add_job(world, lines))
    assert Counter(emitted(world)) == Counter(texts(lines))


def test_a_flood_of_late_lines_is_read_once_and_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of a replica that fell behind lie before lines of another one that were read long ago."""
    monkeypatch.setattr(logs, "LOG_LIMIT", 10)
    monkeypatch.setattr(logs, "SEEN_LIMIT", 7)
    lines = [at(30 + n / 10, f"leader {n}") for n in range(7)]
    lines += [at(5 + n / 10, f"slow {n}", "g00r1", late=40 - n / 10) for n in range(100)]
    follow(world, add_job(world, lines))
    assert Counter(emitted(world)) == Counter(texts(lines))


def test_nothing_is_waited_for_where_the_log_is_said_to_be_complete(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOG_LIMIT", 10)
    world.knows_complete_logs = True
    lines = [at(n, f"line {n}") for n in range(60)]
    pauses = pauses_after_the_end(world, add_job(world, lines))
    assert emitted(world) == texts(lines)
    *pages, last_page = [event.cursor.complete for event in world.heard(LogLines)]
    assert last_page
    assert len(pages) >= 5
    assert not any(pages)
    assert pauses == []


def test_a_complete_log_that_cannot_be_read_at_first_is_read_once_it_can(world: World) -> None:
    world.knows_complete_logs = True
    world.faults = [Fault("/logs", broken())]
    pauses = pauses_after_the_end(world, add_job(world, [at(55, "last words")]))
    assert emitted(world) == ["last words"]
    assert pauses == [logs.GRACE[0]]


def test_the_wait_goes_on_while_the_log_cannot_be_read(world: World) -> None:
    world.faults = [Fault("/logs", broken(), times=8)]
    job = add_job(world, [at(5, "early"), at(55, "late")])
    assert follow(world, job).succeeded
    assert emitted(world) == ["early", "late"]
    assert len(world.heard(ApiOutage)) == 8


def test_a_log_that_is_never_readable_does_not_fail_the_job(world: World) -> None:
    world.faults = [Fault("/logs", NotFound("gone", status=404), times=999)]
    assert follow(world, add_job(world, [at(5, "early")])).succeeded


def test_a_reader_that_was_killed_goes_on_from_its_last_cursor(world: World) -> None:
    job = add_job(world, [at(n * 0.9, f"line {n}") for n in range(60)])
    kills = 0
    while not world.is_over(job):
        cursor = world.heard(LogLines)[-1].cursor if world.heard(LogLines) else None
        cursor = cursor and LogCursor.model_validate_json(cursor.model_dump_json())
        try:
            follow(world, job, cursor, kill_before=23)
        except Killed:
            kills += 1
    follow(world, job, world.heard(LogLines)[-1].cursor)
    assert kills > 2
    assert emitted(world) == texts(job.lines)


def test_a_cursor_stays_small(world: World) -> None:
    job = add_job(world, [at(n / 200, f"line {n}") for n in range(12_000)])
    follow(world, job)
    assert emitted(world) == texts(job.lines)
    assert max(len(event.cursor.model_dump_json()) for event in world.heard(LogLines)) < 40_000


def test_fetching_fails_where_the_log_cannot_be_read(world: World) -> None:
    world.faults = [Fault("/logs", away(), times=9)]
    job = as_model(world, add_job(world, []))
    with pytest.raises(ConnectionError):
        world.run(jobs.fetch_log(job))


@pytest.mark.parametrize("seed", range(60))
def test_every_line_is_handed_over_once_for_random_lines_pages_and_delays(
    world: World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    dice = random.Random(seed)
    limit = dice.choice([4, 7, 20])
    monkeypatch.setattr(logs, "LOG_LIMIT", limit)
    monkeypatch.setattr(logs, "SEEN_LIMIT", 200)
    ends = dice.choice([20.0, 100.0, 3 * 3600.0])
    moments = [dice.uniform(2, ends) for _ in range(dice.randrange(1, 12))]
    lines: list[Line] = []
    for _ in range(80):
        moment = dice.choice(moments) + dice.choice([0, 0, 0.001, 0.5, 2])
        ns = int((START + min(moment, ends - 0.01)) * 1000) * 1_000_000 + dice.randrange(3) * 333_333
        crowd = sum(line.ns // 1_000_000 == ns // 1_000_000 for line in lines)
        if crowd < limit - 1:  # more than that cannot be told apart by the API
            late = dice.choice([0, 0, 0, 1, 8])
            text = dice.choice(["loss", "step", "nan"])
            lines.append(Line(ns, text, dice.choice(["g00r0", "g00r1"]), ns / NS + late))
    job = add_job(world, lines, ends)
    follow(world, job)
    handed = Counter((line.timestamp, line.replica, line.message) for e in world.heard(LogLines) for line in e.lines)
    assert handed == Counter((str(line.ns), line.replica, line.message) for line in lines)
    assert not world.heard(Notice)
