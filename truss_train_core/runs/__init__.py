"""A run: train, resume where it breaks off, choose the best checkpoint, deploy it, ask it. Resumable from its record.

    plan = RunPlan(project=project, source_dir=path, best=Best(metric="eval_loss", mode="min"), deploy=deploy)
    record = new_record(plan, run_key("my-pipeline", "2026-11-24"))
    record = client.run(run(plan, record), on_event=keep)

`keep` stores the record of each `RecordChanged`; killed at any moment, the run goes on from the last one.
"""

from truss_train_core.jobs import run_key
from truss_train_core.runs.attempts import reopened, starting_from
from truss_train_core.runs.beginning import BEGINS_FROM, beginning_from, served_checkpoint
from truss_train_core.runs.budget import Budget, NodePrice, Usage, gpus_of, usage, within
from truss_train_core.runs.deadline import Deadline
from truss_train_core.runs.early import EarlyStop, Verdict
from truss_train_core.runs.finding import jobs_of
from truss_train_core.runs.plan import Best, RunPlan, new_record
from truss_train_core.runs.record import (
    Attempt,
    CheckpointRef,
    Chosen,
    Deployed,
    Phase,
    RecordChanged,
    RunRecord,
)
from truss_train_core.runs.report import AttemptReport, Report, report
from truss_train_core.runs.steps import run, step

__all__ = [
    "BEGINS_FROM",
    "Attempt",
    "AttemptReport",
    "Best",
    "Budget",
    "CheckpointRef",
    "Chosen",
    "Deadline",
    "Deployed",
    "EarlyStop",
    "NodePrice",
    "Phase",
    "RecordChanged",
    "Report",
    "RunPlan",
    "RunRecord",
    "Usage",
    "Verdict",
    "beginning_from",
    "gpus_of",
    "jobs_of",
    "new_record",
    "reopened",
    "report",
    "run",
    "run_key",
    "served_checkpoint",
    "starting_from",
    "step",
    "usage",
    "within",
]
