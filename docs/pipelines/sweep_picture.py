"""Draw the picture of sweep.md: nine trials of the digits on a local platform, two at a time, without an engine.

.venv/bin/python docs/pipelines/sweep_picture.py
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from truss_train_core import Client, RunPlan, jobs, runs, sweeps
from truss_train_core.errors import RunFailed
from truss_train_core.testing import LocalPlatform

HERE = Path(__file__).resolve().parent
DIGITS = HERE.parents[1] / "examples" / "digits"
SPACE = {"LEARNING_RATE": {"low": 0.001, "high": 2.0, "scale": "log"}, "HIDDEN": [64, 128, 256]}
EPOCHS = 60


def train(client: Client, trial: sweeps.Trial) -> None:
    project = trial.project(DIGITS / "config.py", environment={"EPOCHS": EPOCHS})
    plan = RunPlan(project=project, source_dir=DIGITS, verdict=sweeps.verdict(trial), follow_logs=False)
    with suppress(RunFailed):  # one that fails does not fail the sweep
        client.run(runs.run(plan, runs.new_record(plan, jobs.run_key(trial.sweep, trial.number))))


def main() -> None:
    halving = sweeps.Halving(first=3, eta=3, unit="epoch")
    objective = sweeps.Objective(metric="eval_loss", mode="min", halving=halving)
    trials = sweeps.sample(SPACE, 9, objective, key=jobs.run_key("picture"), seed=4)

    with tempfile.TemporaryDirectory() as folder, LocalPlatform.started(Path(folder)) as platform:
        with Client(platform.remote) as client, ThreadPoolExecutor(max_workers=2) as workers:
            list(workers.map(partial(train, client), trials))
        with Client(platform.remote) as client:
            project = client.run(jobs.find_project("digits"))
            results = client.run(sweeps.results(project.id, trials))
    print(sweeps.markdown(results))  # noqa: T201
    (HERE / "sweep.svg").write_text(f"{sweeps.picture(results)}\n")


if __name__ == "__main__":
    main()
