"""What all operators have in common: a connection, pages to link to, and errors that are not retried in vain."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_truss_train.airflow_side import fail_at_once
from airflow_provider_truss_train.hooks import DEFAULT_CONNECTION, BasetenHook

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors.base import OperatorLineage
    from airflow.sdk import Context

    from truss_train_core.lineage import Thing


class BasetenOperator(BaseOperator):
    """Drives flows of the core with a client of its connection."""

    def __init__(self, *, baseten_conn_id: str = DEFAULT_CONNECTION, **kwargs: Any) -> None:
        kwargs.setdefault("retry_policy", fail_at_once())
        super().__init__(**kwargs)
        self.baseten_conn_id = baseten_conn_id
        self.pages: dict[str, str] = {}
        self.used: list[Thing] = []
        self.made: list[Thing] = []

    @cached_property
    def hook(self) -> BasetenHook:
        return BasetenHook(self.baseten_conn_id)

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any]:
        """What OpenLineage is told of the task, by what is known so far."""
        from airflow_provider_truss_train.lineage import operator_lineage

        return operator_lineage(self.used, self.made)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """The same after the task has ended, well or not."""
        return self.get_openlineage_facets_on_start()

    def _tell_outlets(self, context: Context) -> None:
        from airflow_provider_truss_train.lineage import tell_outlets

        tell_outlets(self.outlets, self.made, context)

    def _needs_worker_to_end(self) -> bool:
        """Whether the task must end on a worker: outlets and lineage are told of by workers only."""
        from airflow_provider_truss_train.lineage import is_recorded

        return bool(self.outlets) or is_recorded()

    def _file(self, name: str) -> Path:
        """A path as the DAG file means it: relative ones begin where that file is."""
        return Path(self.dag.fileloc).parent / name
