"""Sweeps: many trials of one training, poor ones stopped early, the best checkpoint of all.

    objective = sweeps.Objective(metric="eval_loss", mode="min", halving=sweeps.Halving(first=500))
    trials = sweeps.grid({"LEARNING_RATE": [0.01, 0.1]}, objective, key=run_key("my-sweep", "2026-11-24"))
    for trial in trials:  # each in a task, a thread or a process of its own
        plan = RunPlan(project=trial.project("config.py"), source_dir=path, verdict=sweeps.verdict(trial))
        client.run(runs.run(plan, runs.new_record(plan, run_key(trial.sweep, trial.number))))
    results = client.run(sweeps.results(project_id, trials))
    print(sweeps.markdown(results))

Trials find each other at the API, by the names of their jobs, and compare what stands in their checkpoints. Optuna's
samplers and pruners need a study, a store that every worker reaches and tells of each step; here the workers share none
and the training code tells nobody, so this is done without it.
"""

from truss_train_core.sweeps.drawing import picture
from truss_train_core.sweeps.halving import why_stop
from truss_train_core.sweeps.results import Outcome, Results, results, verdict
from truss_train_core.sweeps.space import Range, grid, sample
from truss_train_core.sweeps.table import decision, markdown, table
from truss_train_core.sweeps.trial import Halving, Objective, Trial

__all__ = [
    "Halving",
    "Objective",
    "Outcome",
    "Range",
    "Results",
    "Trial",
    "decision",
    "grid",
    "markdown",
    "picture",
    "results",
    "sample",
    "table",
    "verdict",
    "why_stop",
]
