"""What the tasks hand on to each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from prefect_truss_train.credentials import client_for, remote_of
from truss_train_core.definitions import DeployCheckpointsConfig, NamedCheckpointReference, Parameter, TrainingProject
from truss_train_core.runs import Budget, RunRecord

if TYPE_CHECKING:
    from truss_train_core import Client, Remote, RunPlan
    from truss_train_core.checkpoints import Source
    from truss_train_core.sweeps import Trial


class TrainingRun(BaseModel):
    """A training run: where its definition is, and where it stands. Plain data without secrets.

    Attributes:
        record: where it stands: attempts, the chosen checkpoint, the deployment.
        project: the definition, as it was when the run began.
        source_dir: the working directory.
        deployment: how the chosen checkpoint is deployed, once that is known.
        credentials: name of the `BasetenCredentials` block, None for the default remote where the flow runs.
        budget: what all its attempts may use, and by when.
    """

    model_config = ConfigDict(frozen=True)

    record: RunRecord
    project: TrainingProject
    source_dir: Path
    deployment: DeployCheckpointsConfig | None = None
    credentials: str | None = None
    budget: Budget = Budget()

    @property
    def job_id(self) -> str:
        """The job of the current attempt."""
        return self.record.attempt.job_id or ""

    @property
    def project_id(self) -> str:
        """The training project."""
        return self.record.project_id or ""

    @property
    def job_name(self) -> str:
        return self.record.attempt.job_name

    def at(self, record: RunRecord) -> TrainingRun:
        """The same run, standing there."""
        return self.model_copy(update={"record": record})

    def to_be_deployed(self, config: str | Path | DeployCheckpointsConfig) -> TrainingRun:
        """The same run, to be deployed as a definition, or the file that holds it, says.

        Raises:
            ConfigFileError: the file does not hold exactly one definition.
        """
        from truss_train_core import load_deploy_checkpoints_config

        if not isinstance(config, DeployCheckpointsConfig):
            config = load_deploy_checkpoints_config(config)
        return self.model_copy(update={"deployment": config})

    def scores(self) -> Source:
        """What this run, a gate job that has completed, has written of the checkpoints that it began from."""
        from truss_train_core import checkpoints, jobs

        job = self.client().run(jobs.fetch(self.project_id, self.job_id))
        load = self.project.job.runtime.load_checkpoint_config
        named = [each for each in load.checkpoints if isinstance(each, NamedCheckpointReference)] if load else []
        return checkpoints.scored_by(job, [(each.job_id or "", each.checkpoint_name) for each in named])

    def plan(self, **wishes: Any) -> RunPlan:
        """What is to be done, as `RunPlan` takes it. The log is followed by whoever waits."""
        from truss_train_core import RunPlan

        return RunPlan(
            project=self.project,
            source_dir=self.source_dir,
            deploy=self.deployment,
            budget=self.budget,
            follow_logs=False,
            **wishes,
        )

    def remote(self) -> Remote:
        """Where it runs, and the key."""
        return remote_of(self.credentials)

    def client(self) -> Client:
        """The client that this process has for its remote."""
        return client_for(self.remote())


def load_training(
    config: str | Path | TrainingProject,
    source_dir: str | Path | None,
    environment: Mapping[str, Parameter] | None = None,
    trial: Trial | None = None,
) -> tuple[TrainingProject, Path]:
    """A definition, with environment variables and the parameters of a trial added, and its working directory.

    Raises:
        ConfigFileError: the file does not hold exactly one definition.
        DefinitionError: a variable would replace a secret, or cannot be one.
    """
    from truss_train_core import load_training_project

    directory = Path.cwd() if isinstance(config, TrainingProject) else Path(config).absolute().parent
    if trial:
        project = trial.project(config, environment=environment)
    else:
        project = config if isinstance(config, TrainingProject) else load_training_project(config)
        project = project.with_parameters(environment)
    return project, Path(source_dir).absolute() if source_dir else directory
