"""`@task.training_job`: a task whose function says what to train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory

from airflow_provider_truss_train.operators.train import TrainingJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from truss_train_core.definitions import TrainingProject


class TrainingJobDecoratedOperator(DecoratedOperator, TrainingJobOperator):
    """A training job of which a function says what it is.

    The function returns a `TrainingProject`; or, where the decorator is given a `config`, a mapping of environment
    variables for it. It is called again when a try goes on after a wait, and has to return the same then.
    """

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *TrainingJobOperator.template_fields)
    custom_operator_name = "@task.training_job"

    def __init__(self, *, config: Any = None, multiple_outputs: bool = False, **kwargs: Any) -> None:
        # What the function returns is not what the task returns, so its annotation says nothing of outputs.
        super().__init__(config=config, multiple_outputs=False, **kwargs)

    def _definition(self, context: Context) -> tuple[TrainingProject, Path]:
        arguments = self.determine_kwargs({**context, **self.op_kwargs})
        said = self.python_callable(*self.op_args, **arguments)
        if not isinstance(said, Mapping):
            return self._parametrized(said), self._file(self.source_dir or "")
        if self.config is None:
            raise TypeError(
                f"{self.python_callable.__name__} returns environment variables, but @task.training_job has no config "
                "for which they could be."
            )
        project, directory = super()._definition(context)
        return project.with_parameters(said), directory


def training_job_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a training job of a function that says what it is.

    Args:
        python_callable: the function, or None.
        kwargs: what `TrainingJobOperator` takes.
    """
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=TrainingJobDecoratedOperator, **kwargs
    )
