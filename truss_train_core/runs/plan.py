"""What a run is to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from truss_train_core import jobs
from truss_train_core.checkpoints import DEFAULT, Mode, Source, from_function, from_log
from truss_train_core.checkpoints.sources.function import Measure
from truss_train_core.definitions import DeployCheckpointsConfig, TrainingProject
from truss_train_core.deployments.serving import AN_HOUR
from truss_train_core.runs.budget import Budget
from truss_train_core.runs.early import Verdict
from truss_train_core.runs.record import Attempt, RunRecord
from truss_train_core.values import Setting
from truss_train_core.waiting import FOREVER, Limits


class Best(Setting):
    """By which metric the best checkpoint is chosen.

    Attributes:
        metric: its name, as in `checkpoints.choose_best`.
        mode: "min" or "max".
        log_pattern: a regular expression that finds it in the log, as in `checkpoints.from_log`.
        measure: a function that tells it, as in `checkpoints.from_function`.
        first: sources that are asked before all others, such as the scores of a gate job, `checkpoints.scored_by`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    metric: str
    mode: Mode
    log_pattern: str | None = None
    measure: Measure | None = None
    first: tuple[Source, ...] = ()

    def sources(self) -> tuple[Source, ...]:
        """Where the metric is looked for: what was asked for first, then the files of the checkpoints."""
        asked = list(self.first)
        if self.measure:
            asked.append(from_function(self.measure))
        if self.log_pattern:
            asked.append(from_log(self.log_pattern, jobs.fetch_log))
        return (*asked, *DEFAULT)

    @model_validator(mode="after")
    def _can_be_read(self) -> Best:
        self.sources()
        return self


class RunPlan(Setting):
    """A training job until its checkpoint serves. What cannot work is refused here, before anything is created.

    Attributes:
        project: the definition. Its job name is what the names of the run's jobs begin with.
        source_dir: the working directory.
        team_id: whose project it is; None leaves that to the definition and the account.
        max_failures: how many failed attempts are followed by another one. Failing twice without a newer checkpoint in
            between ends the run in any case.
        max_preemptions: the same for attempts that lost their machines.
        best: how to choose a checkpoint; None for the newest, if one is to be deployed.
        deploy: how to deploy it, None for not at all. Checkpoints in it are replaced by the chosen one.
        question: what to ask the deployed model, None for nothing; sent to `question_path`.
        follow_logs: whether to read the jobs' logs and emit them.
        budget: what all attempts together may use, and by when; beyond it the job is stopped, and the run fails.
        verdict: tells whether the job is to be stopped early. The run then goes on as if it had completed.
        training, serving: how long to wait, for each attempt and for the deployment.
    """

    # What the project is given may be secret, and is not quoted in an error.
    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)

    project: TrainingProject
    source_dir: Path
    team_id: str | None = None
    max_failures: int = Field(default=2, ge=0)
    max_preemptions: int = Field(default=10, ge=0)
    best: Best | None = None
    deploy: DeployCheckpointsConfig | None = None
    question: Mapping[str, Any] | None = None
    question_path: str = "predict"
    follow_logs: bool = True
    budget: Budget = Field(default_factory=Budget)
    verdict: Verdict | None = None
    training: Limits = FOREVER
    serving: Limits = AN_HOUR

    @model_validator(mode="after")
    def _can_work(self) -> RunPlan:
        if (self.best or self.deploy) and not self.project.job.runtime.checkpointing_config.enabled:
            raise ValueError("there will be no checkpoint to choose: set CheckpointingConfig(enabled=True)")
        if self.deploy and not self.deploy.model_name:
            raise ValueError("the deployment has no model_name")
        if self.deploy and not self.deploy.compute:
            raise ValueError("the deployment has no compute: it does not say what it runs on")
        if self.question is not None and not self.deploy:
            raise ValueError("there is a question, but no deployment to ask it")
        if self.budget.gpu_hours is not None and not self.project.job.compute.gpus:
            raise ValueError("there is a budget of GPU-hours, but the job has no GPU: limit its running time")
        return self

    def name(self, key: str, attempt: int) -> str:
        """The name of the job of an attempt."""
        return jobs.job_name(self.project.job.name or self.project.name, key, attempt)


def new_record(plan: RunPlan, key: str) -> RunRecord:
    """The record of a run that is about to begin.

    Args:
        plan: what it is to do.
        key: its identity, from `jobs.run_key`: two runs with one key are one run.
    """
    return RunRecord(key=key, project_name=plan.project.name, attempts=(Attempt(number=1, job_name=plan.name(key, 1)),))
