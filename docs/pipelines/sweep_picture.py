"""Draw the pictures of sweep.md: nine trials of the digits on a local platform, two at a time, without an engine.

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
DARK = {
    "white": "none",
    "#e2e8f0": "#3b4252",
    "#475569": "#cbd5e1",
    "#94a3b8": "#8b9bb4",
    "#2563eb": "#7ab2ff",
    "#dc2626": "#f87171",
    "#d97706": "#fbbf24",
}
"""Colours for a dark page in the place of those that the core draws with."""


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
    drawn = f"{sweeps.picture(results)}\n"
    (HERE / "sweep-light.svg").write_text(drawn)
    (HERE / "sweep-dark.svg").write_text(darkened(drawn))


def darkened(drawn: str) -> str:
    """The same picture for a dark page."""
    for light, dark in DARK.items():
        drawn = drawn.replace(f'"{light}"', f'"{dark}"')
    return drawn


if __name__ == "__main__":
    main()
