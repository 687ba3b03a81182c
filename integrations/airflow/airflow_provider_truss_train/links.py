"""The way from a task to Baseten's pages.

An operator keeps the addresses it knows in `pages`, by the name of the link; Airflow stores them whenever a try ends or
defers.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink


class TrainingJobLink(BaseOperatorLink):
    """The job that trains, or trained last."""

    name = "Training job"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return str(operator.pages.get(self.name, ""))


class ModelLink(BaseOperatorLink):
    """The deployment and its model."""

    name = "Model"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return str(operator.pages.get(self.name, ""))


class CheckpointLink(BaseOperatorLink):
    """The chosen checkpoint, among those of its job."""

    name = "Checkpoint"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return str(operator.pages.get(self.name, ""))
