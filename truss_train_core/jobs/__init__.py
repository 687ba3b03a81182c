"""Training jobs: submit exactly once, wait for many at once, read logs and metrics, stop. All of them flows.

For example, to follow a job that runs already to its end:

    with Client("baseten") as client:
        job = client.run(jobs.find("digits-mlp"))
        job = client.run(jobs.follow(job), on_event=print)
    jobs.expect_completed(job)
"""

from truss_train_core.api.models import TrainingJob
from truss_train_core.jobs.finding import fetch, find, find_active, find_project, metrics
from truss_train_core.jobs.logs import LogReader, fetch_log, follow, log_start, read_log
from truss_train_core.jobs.names import job_name, run_key
from truss_train_core.jobs.stopping import describe, get, stop
from truss_train_core.jobs.submission import Submitted, TwinWatch, Upload, look_up, submit, submit_once
from truss_train_core.jobs.watch import CALM, LIVE, Companion, Pace, expect_completed, poll, wait, wait_all

__all__ = [
    "CALM",
    "LIVE",
    "Companion",
    "LogReader",
    "Pace",
    "Submitted",
    "TrainingJob",
    "TwinWatch",
    "Upload",
    "describe",
    "expect_completed",
    "fetch",
    "fetch_log",
    "find",
    "find_active",
    "find_project",
    "follow",
    "get",
    "job_name",
    "log_start",
    "look_up",
    "metrics",
    "poll",
    "read_log",
    "run_key",
    "stop",
    "submit",
    "submit_once",
    "wait",
    "wait_all",
]
