"""Trials side by side on a real platform, from one working directory, with parameters in a file."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from truss_train_core import Client, RunPlan, jobs, runs, sweeps
from truss_train_core.testing import LocalPlatform

CONFIG = """
import json
from pathlib import Path
from truss_train import CheckpointingConfig, Image, Runtime, TrainingJob, TrainingProject

read = json.loads((Path(__file__).parent / "runtime_config.json").read_text())
runtime = Runtime(
    start_commands=["python train.py"],
    environment_variables={"SEEN": str(read["level"])},
    checkpointing_config=CheckpointingConfig(enabled=True),
)
project = TrainingProject(name="filed", job=TrainingJob(image=Image(base_image="python:3.12"), runtime=runtime))
"""

TRAIN = """
import json, os
from pathlib import Path

read = json.loads(Path("runtime_config.json").read_text())
assert str(read["level"]) == os.environ["SEEN"], "config.py and train.py saw different parameters"
folder = Path(os.environ["BT_CHECKPOINT_DIR"]) / "checkpoint-1"
folder.mkdir()
(folder / "config.json").write_text("{}")
(folder / "model.safetensors").write_bytes(b"\\2" + bytes(7) + b"{}")
state = {"global_step": 1, "log_history": [{"step": 1, "eval_loss": read["level"], "layers": len(read["layers"])}]}
(folder / "trainer_state.json").write_text(json.dumps(state))
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with LocalPlatform.started(tmp_path / "platform") as platform, Client(platform.remote) as client:
        yield client


@pytest.mark.slow
def test_trials_from_one_directory_each_see_their_own_file_and_the_best_is_chosen(
    client: Client, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "config.py").write_text(CONFIG)
    (work / "train.py").write_text(TRAIN)
    objective = sweeps.Objective(metric="eval_loss", mode="min")
    space = {"level": [0.3, 0.1, 0.2], "layers": [[64, 64]]}
    trials = sweeps.grid(space, objective, key=jobs.run_key("here"), delivery="runtime_config")

    def train(trial: sweeps.Trial) -> str:
        plan = RunPlan(project=trial.project(work / "config.py"), source_dir=work, follow_logs=False)
        record = client.run(runs.run(plan, runs.new_record(plan, jobs.run_key(trial.number))))
        return record.project_id or ""

    with ThreadPoolExecutor(max_workers=3) as workers:
        project_id, *_ = workers.map(train, trials)
    results = client.run(sweeps.results(project_id, trials))
    assert {outcome.trial.parameters["level"]: dict(outcome.course) for outcome in results.outcomes} == {
        0.3: {1.0: 0.3},
        0.1: {1.0: 0.1},
        0.2: {1.0: 0.2},
    }
    assert results.chosen
    assert results.chosen.trial.number == 2
    assert sorted(path.name for path in work.iterdir()) == ["config.py", "train.py"]
