"""Checkpoints that storage holds completely, and that are not whole all the same."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import CheckpointScript, JobScript, World, hf_checkpoint, safetensors, trainer_state

from truss_train_core import checkpoints
from truss_train_core.api.models import TrainingJob
from truss_train_core.checkpoints.wholeness import whole
from truss_train_core.errors import NoUsableCheckpoint
from truss_train_core.local.processes.checkpoint_sync import INDEX_FILE, CheckpointSync
from truss_train_core.local.runner import CheckpointIndex
from truss_train_core.local.statefiles import read_json

T = TypeVar("T")
HISTORY = {step: {"eval_loss": 100.0 - step} for step in (10, 20)}
WHOLE = hf_checkpoint(20, 20, HISTORY).files
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = json.dumps({"metadata": {}, "weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}).encode()
SHARDED = {
    SHARDS[0]: safetensors(40, 2), SHARDS[1]: safetensors(60, 3), "model.safetensors.index.json": INDEX,
    "trainer_state.json": trainer_state(20, HISTORY),
}  # fmt: skip


def without(files: dict[str, T], name: str) -> dict[str, T]:
    return {each: content for each, content in files.items() if each != name}


NOT_WHOLE = {
    "it has no weights": without(WHOLE, "model.safetensors"),
    r"has \d+ bytes, and \d+ by its own head": {**SHARDED, SHARDS[0]: SHARDED[SHARDS[0]][:-1]},
    "the head of checkpoint-20/model.safetensors cannot be read": {**WHOLE, "model.safetensors": bytes(1000)},
    "head of checkpoint-20/model.safetensors cannot": {**WHOLE, "model.safetensors": b"\xff" * 1000},
    "the head of .* cannot be read": {**WHOLE, "model.safetensors": safetensors(9)[:20]},
    "model-00002-of-00002.safetensors is missing": without(SHARDED, SHARDS[1]),
    "model.safetensors.index.json is missing": without(SHARDED, "model.safetensors.index.json"),
    "trainer_state.json is of step 10": {**WHOLE, "trainer_state.json": trainer_state(10, HISTORY)},
    "its trainer_state.json cannot be read": {**WHOLE, "trainer_state.json": b'{"global_st'},
}


def ended(world: World, *scripts: CheckpointScript) -> TrainingJob:
    job = world.add_job(script=JobScript([(0, "FAILED")], checkpoints=list(scripts)))
    job.created -= 3600
    return TrainingJob.model_validate(world._job(job))


@pytest.mark.parametrize(("why", "files"), NOT_WHOLE.items(), ids=range(len(NOT_WHOLE)))
def test_a_checkpoint_that_is_not_whole_is_neither_deployed_nor_resumed_from(why: str, files: dict[str, bytes]) -> None:
    good, broken = hf_checkpoint(10, 10, HISTORY), CheckpointScript("checkpoint-20", 20, files)
    for flow in (
        lambda job: checkpoints.find_newest([job], requirement=checkpoints.deployable),
        lambda job: checkpoints.find_best([job], "eval_loss", "min", requirement=checkpoints.deployable),
        lambda job: checkpoints.newest_verified([job]),
    ):
        world = World()
        assert name_of(world.run(flow(ended(world, good, broken)))) == "checkpoint-10"
    with pytest.raises(NoUsableCheckpoint, match=why):
        world.run(checkpoints.newest_verified([ended(world, broken)]))


@pytest.mark.parametrize("files", [WHOLE, SHARDED, {**SHARDED, "model-00001-of-00001.bin.md": b""}])
def test_a_whole_one_is_taken(files: dict[str, bytes]) -> None:
    world = World()
    job = ended(world, hf_checkpoint(10, 10, HISTORY), CheckpointScript("checkpoint-20", 20, files))
    assert name_of(world.run(checkpoints.find_best([job], "eval_loss", "min"))) == "checkpoint-20"
    assert name_of(world.run(checkpoints.newest_verified([job]))) == "checkpoint-20"


SPREAD = {SHARDS[0]: 0, SHARDS[1]: 1}
"""Which of two nodes saved a shard; all else is of the first."""


def by_two_nodes(files: dict[str, bytes], step: int = 20) -> CheckpointScript:
    script = CheckpointScript(f"checkpoint-{step}", step, files)
    script.node = lambda name: SPREAD.get(name, 0)
    return script


def test_shards_may_be_spread_over_nodes_to_resume_from_but_not_to_be_deployed() -> None:
    world = World()
    job = ended(world, by_two_nodes(SHARDED))
    assert name_of(world.run(checkpoints.newest_verified([job]))) == "checkpoint-20"
    with pytest.raises(NoUsableCheckpoint, match="its weights are spread over several nodes"):
        world.run(checkpoints.find_newest([job], requirement=checkpoints.deployable))


@pytest.mark.parametrize("shard", SHARDS)
@pytest.mark.parametrize(("damage", "why"), [(lambda content: None, "is missing"), (lambda c: c[:-1], "by its own")])
def test_a_checkpoint_that_lacks_a_nodes_shard_or_has_it_cut_off_is_not_resumed_from(
    shard: str, damage: Callable[[bytes], bytes | None], why: str
) -> None:
    world = World()
    left = damage(SHARDED[shard])
    files = without(SHARDED, shard) if left is None else {**SHARDED, shard: left}
    with pytest.raises(NoUsableCheckpoint, match=f"{shard} .*{why}|{shard} {why}"):
        world.run(checkpoints.newest_verified([ended(world, by_two_nodes(files))]))


def test_where_each_node_saves_everything_each_has_to_be_whole() -> None:
    world = World()
    job = ended(world, by_two_nodes(SHARDED))
    surveyed = world.run(checkpoints.survey(job))
    (name, files), (checkpoint,) = next(iter(surveyed.files.items())), surveyed.checkpoints
    on_the_first = tuple(file.model_copy(update={"node_rank": 0}) for file in files)
    on_the_second = tuple(file.model_copy(update={"node_rank": 1}) for file in files)
    for second, problem in ((on_the_second, None), (on_the_second[1:], f"checkpoint-20/{SHARDS[0]} is missing")):
        copied = checkpoints.Survey(job, surveyed.checkpoints, {name: (*on_the_first, *second)})
        assert world.run(whole(copied, checkpoint)) == problem


def test_where_other_checkpoints_have_files_of_a_node_one_without_is_not_resumed_from() -> None:
    world = World()
    names = ("__0_0.distcp", "__1_0.distcp")

    def saved(step: int, *files: str) -> CheckpointScript:
        script = CheckpointScript(f"checkpoint-{step}", step, dict.fromkeys(files, b"tensors"))
        script.node = lambda name: int(name[2])
        return script

    job = ended(world, saved(10, *names), saved(20, names[0]))
    assert name_of(world.run(checkpoints.newest_verified([job]))) == "checkpoint-10"


def test_a_head_longer_than_what_is_read_at_first_is_read_to_its_end() -> None:
    world = World()
    large = safetensors(3000, tensors=3000)
    assert int.from_bytes(large[:8], "little") > 64 * 1024
    for content, usable in ((large, True), (large[:-1], False)):
        job = ended(world, CheckpointScript("checkpoint-20", 20, {**WHOLE, "model.safetensors": content}))
        surveyed = world.run(checkpoints.survey(job))
        assert (world.run(checkpoints.verify(surveyed, surveyed.checkpoints[0])) is None) == usable


def test_an_epoch_in_the_name_is_compared_with_the_epoch_of_the_state() -> None:
    world = World()
    state = json.dumps({"global_step": 300, "epoch": 3.0}).encode()
    job = ended(world, CheckpointScript("epoch_3", 20, {**WHOLE, "trainer_state.json": state}))
    assert name_of(world.run(checkpoints.newest_verified([job]))) == "epoch_3"


def name_of(found: Any) -> str:
    return str(found.name if isinstance(found, checkpoints.Verified) else found.checkpoint.checkpoint_id)


# ---------------------------------------------------------------- written in any order, stopped anywhere

STEPS = (10, 20, 30)


def intended(step: int) -> dict[str, bytes]:
    return {**SHARDED, "trainer_state.json": trainer_state(step, {each: {"eval_loss": 1.0} for each in STEPS})}


@st.composite
def interrupted_writing(draw: st.DrawFn) -> list[tuple[int, str, int]]:
    """Pieces in the order in which they are written: (step, file, bytes of it that are there then)."""
    pieces: list[tuple[int, str, int]] = []
    for step in STEPS:
        for name in draw(st.permutations(sorted(intended(step)))):
            size = len(intended(step)[name])
            cuts = draw(st.lists(st.integers(0, size - 1), max_size=2))
            pieces += [(step, name, cut) for cut in sorted(cuts)] + [(step, name, size)]
    return pieces[: draw(st.integers(0, len(pieces)))]


@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(pieces=interrupted_writing(), kill_delay=st.sampled_from([0.0, 1000.0]))
def test_written_in_any_order_and_stopped_anywhere_what_is_chosen_is_whole(
    pieces: list[tuple[int, str, int]], kill_delay: float
) -> None:
    """Through the local platform's own copying. A delayed kill is the worst: nothing was written just before it."""
    with tempfile.TemporaryDirectory() as directory:
        root, store = Path(directory, "job"), Path(directory, "store")
        root.mkdir()
        sync = CheckpointSync([root], store, interval=60, settle=10)
        sync.start()
        cut_off_at = time.time()
        for number, (step, name, size) in enumerate(pieces):
            file = root / f"checkpoint-{step}" / name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(intended(step)[name][:size])
            written_at = cut_off_at - kill_delay - 100 * (len(pieces) - number - 1)
            os.utime(file, (written_at, written_at))
        sync.finish(cut_off_at=cut_off_at)
        scripts = list(stored(store))

    world = World()
    job = ended(world, *scripts)
    written = {step: {name: size for each, name, size in pieces if each == step} for step in STEPS}
    full = {step: {name: len(content) for name, content in intended(step).items()} for step in STEPS}
    stateful = [step for step in STEPS if "trainer_state.json" in written[step]]
    weights = [step for step in STEPS if written[step] in (full[step], without(full[step], "trainer_state.json"))]
    whole = [step for step in weights if step in stateful or not stateful]
    newest = checkpoints.find_newest([job], requirement=checkpoints.deployable)
    for flow, allowed in ((newest, weights), (checkpoints.newest_verified([job]), whole)):
        try:
            chosen = checkpoints.step_of(name_of(world.run(flow)))
        except NoUsableCheckpoint:
            # The last one is not trusted if it was written just before a kill.
            assert allowed[:-1] == [] and (kill_delay == 0 or allowed == [])  # noqa: PT018
        else:
            assert chosen in allowed


def stored(store: Path) -> Iterator[CheckpointScript]:
    index = read_json(store / INDEX_FILE, CheckpointIndex) or CheckpointIndex()
    for number, checkpoint in enumerate(index.checkpoints):
        files = {
            file.path.partition("/")[2]: (store / f"rank-{file.rank}" / file.path).read_bytes()
            for file in checkpoint.files
        }
        yield CheckpointScript(checkpoint.name, number, files, synced=0.0 if checkpoint.complete else None)
