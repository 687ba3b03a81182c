"""What all operators have in common: a connection, pages to link to, and errors that are not retried in vain."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator

from airflow_provider_truss_train.airflow_side import fail_at_once
from airflow_provider_truss_train.hooks import DEFAULT_CONNECTION, BasetenHook


class BasetenOperator(BaseOperator):
    """Drives flows of the core with a client of its connection."""

    def __init__(self, *, baseten_conn_id: str = DEFAULT_CONNECTION, **kwargs: Any) -> None:
        kwargs.setdefault("retry_policy", fail_at_once())
        super().__init__(**kwargs)
        self.baseten_conn_id = baseten_conn_id
        self.pages: dict[str, str] = {}

    @cached_property
    def hook(self) -> BasetenHook:
        return BasetenHook(self.baseten_conn_id)

    def _file(self, name: str) -> Path:
        """A path as the DAG file means it: relative ones begin where that file is."""
        return Path(self.dag.fileloc).parent / name
