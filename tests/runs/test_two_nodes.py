"""The example of two nodes on a local platform: preempted, with a rank that dies, with shards that are not whole."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from truss_train_core import Client, Event, RunPlan, RunRecord, checkpoints, load_training_project, runs
from truss_train_core.events import CheckpointSeen, LogLines
from truss_train_core.testing import LocalPlatform

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"
SHARDS_WRITTEN = "    total(np.zeros(1, np.float32))  # all shards are there\n"
DIES = """\
    if RANK == 1 and state["global_step"] == 100 and not list(LOADED.rglob("*.json")):
        import time
        shard = folder / SHARDS[RANK]
        {damage}
        time.sleep(6)  # so that what is there counts as written
        os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with LocalPlatform.started(tmp_path_factory.mktemp("platform"), capacity={"CPU": 8}, stop_grace=1.0) as platform:
        yield platform


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "two_nodes"))


def plan(folder: Path, epochs: int, steps: int) -> RunPlan:
    project = load_training_project(folder / "config.py")
    project = project.with_parameters({"EPOCHS": epochs, "STEPS_PER_EPOCH": steps})
    return RunPlan(project=project, source_dir=folder, best=runs.Best(metric="eval_loss", mode="min"))


def carried_out(
    platform: LocalPlatform, plan: RunPlan, key: str, on_event: Callable[[Event], None] = lambda event: None
) -> tuple[RunRecord, str]:
    """The final record, and what the ranks said."""
    said: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, LogLines):
            said.extend(line.message for line in event.lines)
        on_event(event)

    with Client(platform.remote) as client:
        record = client.run(runs.run(plan, runs.new_record(plan, key)), on_event=hear)
    return record, "\n".join(said)


def test_two_ranks_are_preempted_and_each_goes_on_from_its_own_shard(platform: LocalPlatform, folder: Path) -> None:
    preempted: list[str] = []

    def preempt_once(event: Event) -> None:
        if isinstance(event, CheckpointSeen) and event.complete and not preempted:
            preempted.append(event.job_id)
            platform.preempt(event.job_id)

    story = plan(folder, epochs=12, steps=1500)
    record, said = carried_out(platform, story, "preempted", preempt_once)
    assert [attempt.cause for attempt in record.attempts] == ["preempted", "completed"]
    start = record.attempt.started_from
    assert start
    for rank in (0, 1):
        assert f"Rank {rank} of 2 is connected: " in said
        assert f"Rank {rank} resumes from {start.name}/model-0000{rank + 1}-of-00002.safetensors" in said
    assert record.choice
    assert re.search(r"epoch 12/12 .* eval_accuracy 0\.9", said)


FAULTS = {
    "a rank dies": DIES.format(damage="pass") + SHARDS_WRITTEN,
    "its shard is missing": SHARDS_WRITTEN + DIES.format(damage="shard.unlink()"),
    "its shard is cut off": SHARDS_WRITTEN + DIES.format(damage="os.truncate(shard, 900)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rank_that_dies_ends_the_job_and_the_run_goes_on_from_the_last_whole_checkpoint(
    platform: LocalPlatform, folder: Path, fault: str
) -> None:
    code = (folder / "train.py").read_text()
    assert code.count(SHARDS_WRITTEN) == 1
    (folder / "train.py").write_text(code.replace(SHARDS_WRITTEN, FAULTS[fault]))
    record, said = carried_out(platform, plan(folder, epochs=4, steps=50), runs.run_key(fault))
    assert [attempt.cause for attempt in record.attempts] == ["failed", "completed"]
    assert record.attempt.started_from
    assert record.attempt.started_from.name == "checkpoint-50"
    assert "Rank 1 resumes from checkpoint-50/model-00002-of-00002.safetensors" in said
    with Client(platform.remote) as client:
        first, _ = client.run(runs.jobs_of(record))
        listed = {each.checkpoint_id: each.sync_status for each in client.run(checkpoints.list_checkpoints(first))}
    assert re.search(r"node [01] failed", first.error_message or "")
    assert listed["checkpoint-100"] == "COMPLETE"  # for the storage it is
