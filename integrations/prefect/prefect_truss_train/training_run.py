"""What the tasks hand on to each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from prefect_truss_train.credentials import client_for, remote_of
from truss_train_core.definitions import DeployCheckpointsConfig, TrainingProject
from truss_train_core.runs import RunRecord

if TYPE_CHECKING:
    from truss_train_core import Client, Remote, RunPlan


class TrainingRun(BaseModel):
    """A training run: where its definition is, and where it stands. Plain data without secrets.

    Attributes:
        record: where it stands: attempts, the chosen checkpoint, the deployment.
        project: the definition, as it was when the run began.
        source_dir: the working directory.
        deployment: how the chosen checkpoint is deployed, once that is known.
        credentials: name of the `BasetenCredentials` block, None for the default remote where the flow runs.
    """

    model_config = ConfigDict(frozen=True)

    record: RunRecord
    project: TrainingProject
    source_dir: Path
    deployment: DeployCheckpointsConfig | None = None
    credentials: str | None = None

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

    def plan(self, **wishes: Any) -> RunPlan:
        """What is to be done, as `RunPlan` takes it. The log is followed by whoever waits."""
        from truss_train_core import RunPlan

        return RunPlan(
            project=self.project, source_dir=self.source_dir, deploy=self.deployment, follow_logs=False, **wishes
        )

    def remote(self) -> Remote:
        """Where it runs, and the key."""
        return remote_of(self.credentials)

    def client(self) -> Client:
        """The client that this process has for its remote."""
        return client_for(self.remote())


def load_training(
    config: str | Path | TrainingProject, source_dir: str | Path | None, environment: Mapping[str, str]
) -> tuple[TrainingProject, Path]:
    """A definition, with environment variables added, and its working directory.

    Raises:
        ConfigFileError: the file does not hold exactly one definition.
    """
    from truss_train_core import load_training_project

    if isinstance(config, TrainingProject):
        project, directory = config, Path.cwd()
    else:
        project, directory = load_training_project(config), Path(config).absolute().parent
    if environment:
        variables = {**project.job.runtime.environment_variables, **environment}
        runtime = project.job.runtime.model_copy(update={"environment_variables": variables})
        project = project.model_copy(update={"job": project.job.model_copy(update={"runtime": runtime})})
    return project, Path(source_dir).absolute() if source_dir else directory
