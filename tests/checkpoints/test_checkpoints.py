"""Reading checkpoints: what is listed, how good they are, and which can be trusted to go on from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from world import CheckpointScript, Fault, Job, JobScript, Line, World, away, hf_checkpoint, trainer_state

from truss_train_core import checkpoints, jobs
from truss_train_core.api.models import Checkpoint, TrainingJob
from truss_train_core.checkpoints import listing
from truss_train_core.errors import NotFound, NoUsableCheckpoint, Unreachable, WaitTimeout
from truss_train_core.events import CheckpointChosen, CheckpointSeen, Notice
from truss_train_core.waiting import Limits

HISTORY = {10: {"loss": 3.0, "eval_loss": 2.0}, 20: {"eval_loss": 1.0}, 30: {"eval_loss": 1.5}}


@pytest.fixture
def world() -> World:
    world = World()
    world.time += 0
    return world


def ended(world: World, *scripts: CheckpointScript, statuses: Any = ((0, "COMPLETED"),), **more: Any) -> TrainingJob:
    """A job with these checkpoints, an hour after its creation."""
    job = world.add_job(script=JobScript(list(statuses), checkpoints=list(scripts), **more))
    job.created -= 3600
    return as_model(world, job)


def as_model(world: World, job: Job) -> TrainingJob:
    return TrainingJob.model_validate(world._job(job))


def three(**more: Any) -> list[CheckpointScript]:
    return [hf_checkpoint(step, step, HISTORY, **more) for step in (10, 20, 30)]


# ---------------------------------------------------------------- listing


def test_checkpoints_are_listed_oldest_first_and_files_over_all_pages(world: World) -> None:
    job = ended(world, *three())
    assert [each.checkpoint_id[-2:] for each in world.run(checkpoints.list_checkpoints(job))] == ["10", "20", "30"]
    surveyed = world.run(checkpoints.survey(job))
    assert {name: len(files) for name, files in surveyed.files.items()} == dict.fromkeys(
        ("checkpoint-10", "checkpoint-20", "checkpoint-30"), 3
    )


def test_checkpoints_of_one_moment_are_in_the_order_of_their_steps(world: World) -> None:
    job = ended(world, *(hf_checkpoint(step, 5, {}) for step in (100, 9, 20)))
    assert [each.checkpoint_id for each in world.run(checkpoints.list_checkpoints(job))] == [
        "checkpoint-9",
        "checkpoint-20",
        "checkpoint-100",
    ]


def test_a_page_token_of_zero_is_a_token(world: World) -> None:
    job = ended(world, hf_checkpoint(10, 1, {}))
    pages: list[Any] = [0, None]

    def page(request: Any, *_: str) -> dict[str, Any]:
        return {"presigned_urls": [], "next_page_token": pages.pop(0), "total_count": 0}

    world._files = page  # type: ignore[method-assign]
    world.run(checkpoints.list_files(job))
    assert not pages


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-500", 500),
        ("global_step_20", 20),
        ("iter_0000100", 100),
        ("epoch=1-step=99.ckpt", 99),
        ("epoch_3", 3),
        ("checkpoint-500-v2", 500),
        ("1200", 1200),
        ("final", None),
        (".", None),
        ("llama-3.1-8b", None),
    ],
)
def test_the_step_is_read_from_the_name(name: str, step: int | None) -> None:
    assert checkpoints.step_of(name) == step


# ---------------------------------------------------------------- metrics


def find_best(world: World, *some: TrainingJob, **more: Any) -> checkpoints.Choice:
    return world.run(checkpoints.find_best(some, "eval_loss", "min", **more))


def test_the_newest_history_tells_of_all_checkpoints_in_one_download(world: World) -> None:
    choice = find_best(world, ended(world, *three()))
    assert (choice.checkpoint.checkpoint_id, choice.value) == ("checkpoint-20", 1.0)
    assert world.called("world://.*trainer_state") == 2  # the newest, which has the history, and that of the chosen one
    assert world.called("safetensors") == 1  # its head
    event = world.heard(CheckpointChosen)[0]
    assert [(row.step, row.value) for row in event.table] == [(10, 2.0), (20, 1.0), (30, 1.5)]


def test_the_state_of_the_chosen_one_is_read_once_where_it_has_the_history(world: World) -> None:
    job = ended(world, *three())
    choice = world.run(checkpoints.find_best([job], "eval_loss", "min", requirement=_newest_alone))
    assert choice.checkpoint.checkpoint_id == "checkpoint-30"
    assert world.called("world://.*trainer_state") == 1


def _newest_alone(surveyed: checkpoints.Survey, checkpoint: Checkpoint) -> str | None:
    return None if checkpoint == surveyed.checkpoints[-1] else "it is not the newest"


def test_a_history_that_does_not_parse_is_passed_over_for_an_older_one(world: World) -> None:
    scripts = three()
    scripts[2].files["trainer_state.json"] = b'{"global_step": 3'
    choice = find_best(world, ended(world, *scripts))
    assert choice.checkpoint.checkpoint_id == "checkpoint-20"
    assert choice.table[2].rejected == "no eval_loss (nothing was measured at its step)"


def test_a_metric_measured_between_two_checkpoints_is_of_neither(world: World) -> None:
    history = {15: {"eval_loss": 0.1}, 20: {"eval_loss": 1.0}}
    choice = find_best(world, ended(world, hf_checkpoint(10, 1, history), hf_checkpoint(20, 2, history)))
    assert [row.value for row in choice.table] == [None, 1.0]


def test_a_checkpoint_without_a_step_in_its_name_is_known_by_its_own_state(world: World) -> None:
    final = CheckpointScript("final", 40, hf_checkpoint(40, 40, {40: {"eval_loss": 0.5}}).files)
    choice = find_best(world, ended(world, *three(), final))
    assert choice.checkpoint.checkpoint_id == "final"


def test_metrics_are_read_from_metrics_json_and_jsonl(world: World) -> None:
    rows = [{"step": 1, "eval_loss": 0.1}, {"step": 2, "eval_loss": 3.0}, {"step": 2, "acc": 0.5}]
    lines = "\n".join(map(json.dumps, rows)) + '\n{"step": 2, "eval'
    job = ended(
        world,
        CheckpointScript("epoch_1", 1, {"metrics.json": b'{"eval_loss": 4, "best": true, "name": "x"}'}),
        CheckpointScript("epoch_2", 2, {"metrics.jsonl": lines.encode()}),
        CheckpointScript("epoch_3", 3, {"metrics.jsonl": b'{"eval_loss": 9}\n{"eval_loss": 5}\n'}),
        CheckpointScript("epoch_4", 4, {"metrics.json": b"not json"}),
    )
    metrics = world.run(checkpoints.read_metrics(world.run(checkpoints.survey(job))))
    assert {name: dict(values) for name, values in metrics.items() if values} == {
        "epoch_1": {"eval_loss": 4.0},
        "epoch_2": {"eval_loss": 3.0, "acc": 0.5},
        "epoch_3": {"eval_loss": 5.0},
    }


def test_metrics_are_read_from_the_log(world: World) -> None:
    job = ended(
        world, CheckpointScript("global_step_10", 1, {"w": b"1"}), CheckpointScript("global_step_20", 2, {"w": b"1"})
    )
    messages = ["step 10 eval_loss 3.0,", "step 20 eval_loss nan", "step 20 eval_loss 2.0", "step 30 eval_loss 1"]
    world.jobs[0].lines = [Line(int((world.jobs[0].created + n) * 1e9), message) for n, message in enumerate(messages)]
    source = checkpoints.from_log(r"step (?P<step>\d+) eval_loss (?P<eval_loss>\S+)", jobs.fetch_log)
    choice = find_best(world, job, sources=[source])
    assert (choice.checkpoint.checkpoint_id, choice.value) == ("global_step_20", 2.0)


@pytest.mark.parametrize("pattern", ["loss", "(?P<step>1)", "(?P<loss>1)", "(?P<step>"])
def test_a_log_pattern_without_its_groups_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"needs a group named step|not a regular expression"):
        checkpoints.from_log(pattern, jobs.fetch_log)


def test_metrics_come_from_a_function_of_the_users_own(world: World) -> None:
    source = checkpoints.from_function(
        lambda checkpoint, files: {"eval_loss": -float(len(files[0].relative_file_name))}
    )
    job = ended(world, CheckpointScript("a", 1, {"w": b"1"}), CheckpointScript("longer", 2, {"w": b"1"}))
    assert find_best(world, job, sources=[source]).checkpoint.checkpoint_id == "longer"


def test_of_two_sources_the_first_is_believed(world: World) -> None:
    scripts = three()
    scripts[0].files["metrics.json"] = b'{"eval_loss": 0, "acc": 1}'
    surveyed = world.run(checkpoints.survey(ended(world, *scripts)))
    assert world.run(checkpoints.read_metrics(surveyed))["checkpoint-10"] == {"loss": 3.0, "eval_loss": 2.0, "acc": 1.0}


def test_a_file_that_is_too_large_is_not_downloaded_and_that_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SMALL", 10)
    with pytest.raises(NoUsableCheckpoint):
        find_best(world, ended(world, *three()))
    assert world.called("world://") == 0
    assert "the limit is 10" in world.heard(Notice)[0].text


def test_a_file_that_is_gone_is_a_notice_and_an_outage_an_error(world: World) -> None:
    job = ended(world, *three())
    world.faults = [Fault("world://", NotFound("no such key", status=404))]
    assert find_best(world, job).checkpoint.checkpoint_id == "checkpoint-20"
    assert "no such key" in world.heard(Notice)[0].text
    world.faults = [Fault("world://", away())]
    with pytest.raises(Unreachable):
        find_best(world, job)


def test_all_attempts_of_a_run_are_candidates(world: World) -> None:
    first = ended(world, *three()[:2], statuses=[(0, "FAILED")])
    second = ended(world, hf_checkpoint(30, 30, HISTORY), hf_checkpoint(40, 40, {40: {"eval_loss": 1.2}}))
    choice = find_best(world, first, second)
    assert (choice.checkpoint.training_job_id, choice.checkpoint.checkpoint_id) == ("j1", "checkpoint-20")
    assert [row.job_id for row in choice.table] == ["j1", "j1", "j2", "j2"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (hf_checkpoint(9, 9, {9: {"eval_loss": 0}}, synced=None), "not copied completely"),
        (hf_checkpoint(9, 9, {9: {"eval_loss": 0}}, size=10**9), "bytes, and it is listed with 1,000,000,000"),
        (hf_checkpoint(9, 9, {9: {"eval_loss": 0}}, kind=None), "of a type that cannot be deployed: unknown"),
        (CheckpointScript(".", 9, {"metrics.json": b'{"eval_loss": 0}'}), "cannot be named"),
        (CheckpointScript("checkpoint-9", 9, {}), "it has no files"),
        (CheckpointScript("checkpoint-9", 9, {"__0_0.distcp": b"1", "metrics.json": b'{"eval_loss": 0}'}), "FSDP"),
    ],
)
def test_what_cannot_be_deployed_is_never_chosen(world: World, script: CheckpointScript, why: str) -> None:
    choice = find_best(world, ended(world, script, *three()), requirement=checkpoints.deployable)
    assert choice.checkpoint.checkpoint_id == "checkpoint-20"
    assert why in (choice.table[0].rejected or "")


def test_the_trainers_own_best_is_a_name_not_a_path() -> None:
    def state(**fields: Any) -> str | None:
        return checkpoints.TrainerState(global_step=30, **fields).best_checkpoint

    assert state(best_model_checkpoint="/mnt/ckpts/checkpoint-20") == "checkpoint-20"
    assert state(best_model_checkpoint="C:\\out\\checkpoint-20") == "checkpoint-20"
    assert state(best_global_step=20) == "checkpoint-20"
    assert state() is None


# ---------------------------------------------------------------- one to go on from


def newest(world: World, *some: TrainingJob) -> tuple[str, str]:
    found = world.run(checkpoints.newest_verified(some))
    return found.job_id, found.name


def test_the_newest_complete_checkpoint_is_verified_by_its_state(world: World) -> None:
    assert newest(world, ended(world, *three())) == ("j1", "checkpoint-30")
    assert world.called("world://") == 2


def broken_ways() -> dict[str, CheckpointScript]:
    whole = hf_checkpoint(30, 30, HISTORY)
    index = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()
    return {
        "not copied completely": hf_checkpoint(30, 30, HISTORY, synced=None),
        "listed with 7": hf_checkpoint(30, 30, HISTORY, size=7),
        "no trainer_state.json, which others": CheckpointScript("checkpoint-30", 30, {"model.safetensors": b"1"}),
        "its trainer_state.json cannot be read": CheckpointScript(
            "checkpoint-30", 30, {"trainer_state.json": b'{"glo'}
        ),
        "its trainer_state.json is of step 20": CheckpointScript(
            "checkpoint-30", 30, {"trainer_state.json": trainer_state(20, {})}
        ),
        "checkpoint-30/model-2.safetensors|model-2.safetensors is missing": CheckpointScript(
            "checkpoint-30",
            30,
            {**whole.files, "model.safetensors.index.json": index, "model-1.safetensors": b"1"},
        ),
        "index checkpoint-30/model.safetensors.index.json cannot be read": CheckpointScript(
            "checkpoint-30", 30, {**whole.files, "model.safetensors.index.json": b"{}"}
        ),
    }


@pytest.mark.parametrize(("why", "script"), broken_ways().items(), ids=range(len(broken_ways())))
def test_a_checkpoint_that_is_not_whole_is_passed_over(world: World, why: str, script: CheckpointScript) -> None:
    statuses = [(0, "FAILED")]
    assert newest(world, ended(world, *three()[:2], script, statuses=statuses)) == ("j1", "checkpoint-20")
    if "which others" not in why:
        with pytest.raises(NoUsableCheckpoint, match=why):
            newest(world, ended(world, script, statuses=statuses))


def test_where_no_checkpoint_has_a_state_a_complete_one_is_taken_and_that_is_said(world: World) -> None:
    job = ended(world, *(CheckpointScript(f"global_step_{n}", n, {"w": b"1"}) for n in (1, 2)))
    found = world.run(checkpoints.newest_verified([job]))
    assert found.name == "global_step_2"
    assert "no training state" in found.evidence


def test_the_furthest_step_of_all_attempts_wins_and_of_two_the_later(world: World) -> None:
    first = ended(world, *three())
    again = ended(world, hf_checkpoint(10, 100, {}), hf_checkpoint(20, 200, {}))
    assert newest(world, first, again) == ("j1", "checkpoint-30")
    same = ended(world, hf_checkpoint(30, 300, {}))
    assert newest(world, first, again, same) == ("j3", "checkpoint-30")


def test_a_checkpoint_of_rank_files_agrees_with_the_size_of_all_ranks_or_of_one(world: World) -> None:
    job = ended(world, *three())
    surveyed = world.run(checkpoints.survey(job))
    checkpoint = surveyed.checkpoints[0]
    both = [*surveyed.files["checkpoint-10"]]
    both += [file.model_copy(update={"node_rank": 1}) for file in both]
    for size, fits in ((checkpoint.size_bytes, True), (2 * checkpoint.size_bytes, True), (7, False)):
        listed = checkpoint.model_copy(update={"size_bytes": size})
        why = checkpoints.complete(checkpoints.Survey(job, (listed,), {"checkpoint-10": tuple(both)}), listed)
        assert (why is None) == fits


@pytest.mark.parametrize(
    ("status", "syncing", "usable"), [("COMPLETED", None, True), ("COMPLETED", 1e9, False), ("RUNNING", None, False)]
)
def test_without_a_status_of_its_own_a_checkpoint_is_copied_when_its_job_is_done(
    world: World, status: str, syncing: float | None, usable: bool
) -> None:
    job = ended(world, *three(), statuses=[(0, status)], synced=syncing)
    surveyed = world.run(checkpoints.survey(job))
    checkpoint = surveyed.checkpoints[0].model_copy(update={"sync_status": None})
    assert (checkpoints.complete(surveyed, checkpoint) is None) == usable


def test_no_checkpoint_at_all_says_what_to_look_at(world: World) -> None:
    with pytest.raises(NoUsableCheckpoint, match=r"there is none. Is checkpointing enabled"):
        newest(world, ended(world))


# ---------------------------------------------------------------- while it runs


def test_checkpoints_are_told_of_when_they_appear_and_when_they_are_complete(world: World) -> None:
    scripts = [hf_checkpoint(step, step, HISTORY, synced=15) for step in (10, 20, 30)]
    job = as_model(world, world.add_job(script=JobScript([(0, "RUNNING"), (100, "COMPLETED")], checkpoints=scripts)))
    world.run(jobs.wait(job, companions=[checkpoints.CheckpointWatch()]))
    told = [(event.step, event.complete) for event in world.heard(CheckpointSeen)]
    for step in (10, 20, 30):
        assert [complete for of, complete in told if of == step] == [False, True]
    assert world.called("/checkpoints$") <= 25


# ---------------------------------------------------------------- waiting for one


def test_a_checkpoint_that_is_waited_for_is_the_earliest_complete_one_of_that_step(world: World) -> None:
    job = world.add_job(script=JobScript([(0, "RUNNING"), (90, "COMPLETED")], checkpoints=three()))
    found = world.run(checkpoints.wait_for(as_model(world, job), step=15))
    assert found.checkpoint_id == "checkpoint-20"


def test_a_job_that_ends_without_the_checkpoint_ends_the_wait(world: World) -> None:
    job = world.add_job(script=JobScript([(0, "RUNNING"), (90, "COMPLETED")], checkpoints=three()))
    with pytest.raises(NoUsableCheckpoint, match="without a complete checkpoint of step 99"):
        world.run(checkpoints.wait_for(as_model(world, job), step=99))


def test_a_wait_for_a_checkpoint_has_a_limit_and_the_job_goes_on(world: World) -> None:
    job = world.add_job(script=JobScript([(0, "RUNNING")]))
    with pytest.raises(WaitTimeout, match="may cost money"):
        world.run(checkpoints.wait_for(as_model(world, job), limits=Limits(timeout=60)))
    assert not as_model(world, job).is_terminal
