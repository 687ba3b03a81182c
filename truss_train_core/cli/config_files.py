"""Reading config files, and telling what travels with a job."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from truss_train_core.cli import output

if TYPE_CHECKING:
    from truss_train_core.definitions import DeployCheckpointsConfig, TrainingProject
    from truss_train_core.package import Package


def training_project(path: Path) -> tuple[TrainingProject, Path]:
    """The TrainingProject of a file, and its working directory. What the file prints goes to stderr.

    Raises:
        ConfigFileError: the file does not hold exactly one.
    """
    from truss_train_core import pushing

    with contextlib.redirect_stdout(sys.stderr):
        return pushing.read_config(path)


def deployment(path: Path) -> DeployCheckpointsConfig:
    """The DeployCheckpointsConfig of a file. What the file prints goes to stderr.

    Raises:
        ConfigFileError: the file does not hold exactly one.
    """
    from truss_train_core.config_file import load_deploy_checkpoints_config

    with contextlib.redirect_stdout(sys.stderr):
        return load_deploy_checkpoints_config(path)


def report(packed: Package) -> None:
    """Say what travels, and what stays behind by which rule: nothing is dropped in silence."""
    from truss_train_core import package

    for line in package.describe(packed):
        output.message(line, style="dim")
