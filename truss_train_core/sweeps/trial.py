"""One trial of a sweep: its parameters, what they are judged by, and how its jobs are found. Plain data."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue

from truss_train_core.checkpoints import Mode
from truss_train_core.config_file import load_training_project
from truss_train_core.definitions import Parameter, TrainingProject
from truss_train_core.values import Setting

_BASE = 24
"""Characters of the job's own name that stay, so that the longest key leaves the mark whole."""


class Halving(Setting):
    """When poor trials are stopped, and how many go on: see `halving.py`.

    Attributes:
        first: where trials are first compared, in `unit`. Time enough to tell a poor one.
        eta: one in so many goes on; and the next comparison is so many times as far.
        unit: "step", or "epoch" where trials make different steps, as with different batch sizes.
    """

    first: float = Field(gt=0)
    eta: int = Field(default=3, ge=2)
    unit: Literal["step", "epoch"] = "step"


class Objective(Setting):
    """What a sweep is after.

    Attributes:
        metric: its name, as the training writes it into its state.
        mode: "min" or "max".
        halving: how poor trials are stopped; None for not at all. One whose loss or metric is NaN is, in any case.
    """

    metric: str
    mode: Mode
    halving: Halving | None = None

    @property
    def unit(self) -> Literal["step", "epoch"]:
        """In which the course of a trial is told."""
        return self.halving.unit if self.halving else "step"


class Trial(Setting):
    """A trial.

    Attributes:
        sweep: the sweep's identity, from `jobs.run_key`; part of the names of its jobs.
        number: from 1.
        of: how many trials the sweep has.
        parameters: its own.
        delivery: how they reach the job: as environment variables, or in `runtime_config.json`.
        objective: the same for all trials of a sweep.
    """

    sweep: str = Field(pattern=r"^[0-9a-f]+$")
    number: int = Field(ge=1)
    of: int = Field(ge=1)
    parameters: dict[str, JsonValue]
    delivery: Literal["environment", "runtime_config"] = "environment"
    objective: Objective

    def project(
        self, config: str | os.PathLike[str] | TrainingProject, *, environment: Mapping[str, Parameter] | None = None
    ) -> TrainingProject:
        """The definition of the trial's job: with its parameters, and a name by which the sweep finds it.

        Args:
            config: path of a config.py, or a definition.
            environment: environment variables that all trials have in common; the trial's own take precedence.

        Raises:
            ConfigFileError: the file does not hold exactly one definition.
            DefinitionError: a parameter cannot be delivered, see `TrainingProject.with_parameters`.
        """
        if self.delivery == "runtime_config":
            project = (
                config.with_parameters(environment, runtime_config=self.parameters)
                if isinstance(config, TrainingProject)
                else load_training_project(config, runtime_config=self.parameters).with_parameters(environment)
            )
        else:
            project = config if isinstance(config, TrainingProject) else load_training_project(config)
            variables: Any = {**(environment or {}), **self.parameters}  # refused there, where they are no variables
            project = project.with_parameters(variables)
        base = (project.job.name or project.name)[:_BASE]
        name = f"{base}-s{self.sweep}-t{self.number}"
        return project.model_copy(update={"job": project.job.model_copy(update={"name": name})})

    def describe(self) -> str:
        """What to call it: "trial 3 of 9 (LEARNING_RATE=0.05)"."""
        return f"trial {self.number} of {self.of} ({shown(self.parameters)})"


def number_of(job_name: str | None, sweep: str) -> int | None:
    """The number of the trial that a job of this name belongs to; None for a job of no trial of the sweep."""
    match = re.search(rf"-s{re.escape(sweep)}-t(\d+)-[0-9a-f]+-\d+$", job_name or "")
    return int(match[1]) if match else None


def shown(parameters: dict[str, JsonValue]) -> str:
    """Parameters in one line."""
    return ", ".join(f"{name}={text(value)}" for name, value in parameters.items())


def text(value: JsonValue) -> str:
    """A parameter for people: no more digits than tell anything."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
