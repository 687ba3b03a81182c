"""A run of the core as the tries of one task see it.

Its record is kept in Airflow's task state, which outlives tries and clears, and changes before anything is created
remotely and after. So whoever comes next finds the jobs that there are:

    a retry                              goes on where the last try was
    a retry or a clear of a failed run   starts another attempt from the newest verified checkpoint, budgets as new
    a clear while the job runs           takes up the job, or stops it and begins anew: `on_clear`
    a clear of a finished run            returns the finished run, or begins anew: `retrain_when_cleared`

Where task state is lost, the same jobs are found by their names, which derive from dag id, run id, task id and map
index; or, of a task that trains once for something, from that in place of run id and map index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_truss_train.airflow_side import Log, teller, tries_before
from airflow_provider_truss_train.attending import still_runs, stop

if TYPE_CHECKING:
    from airflow.sdk import Context

    from truss_train_core import Client, Event, RunPlan, RunRecord

STATE_KEY = "truss_train_run"
OnClear = Literal["reattach", "cancel"]


class TaskRun:
    """A run in the hands of one try of a task.

    Args:
        client: what talks to the API.
        plan: what the run is to do.
        context: of the task.
        retries: of the task.
        once_per: tasks of one DAG and id for which it is equal are one run, whatever their DAG runs; None for a run of
            this task's own.
        log: where to tell what happens.
    """

    def __init__(
        self, client: Client, plan: RunPlan, context: Context, *, retries: int, once_per: str | None = None, log: Log
    ) -> None:
        self._client = client
        self._plan = plan
        self._once_per = once_per
        self._ti: Any = context["ti"]
        self._store: Any = context.get("task_state_store")
        self._tries_before = self._kept_with = tries_before(self._ti, retries)
        self._log = log
        self._tell = teller(log)
        self.record = self._new()

    def take_up(self, *, on_clear: OnClear, retrain: bool) -> None:
        """Begin, or go on with what earlier tries of the task have left.

        Args:
            on_clear: what becomes of a job that runs although the task was cleared.
            retrain: whether a clear of a finished run begins anew.
        """
        from truss_train_core.runs import reopened

        kept = self._kept()
        if kept is None:
            self._keep(self.record)
            return
        self.record, self._kept_with = kept
        if self._kept_with != self._tries_before:  # the task was cleared, which stays so until it has been dealt with
            waited = self.record.phase == "training"
            self._settle()
            # The trigger that waited for the job stops it, too, and may have come first.
            cancelled = waited and self.record.phase == "failed" and self.record.attempt.cause == "stopped"
            self._begin_anew(on_clear, retrain, running=cancelled or self.record.phase == "training")
            self._kept_with = self._tries_before
        if self.record.phase == "failed":
            self._log.info("The run failed before: another attempt goes on from its newest verified checkpoint.")
        self._keep(reopened(self._plan, self.record))

    def go_on(self) -> None:
        """Go on within this try, where another process has waited meanwhile."""
        kept = self._kept()
        if kept is not None:
            self.record = kept[0]

    def step(self) -> None:
        """Do what the record's phase says."""
        from truss_train_core.runs import step

        self._keep(self._client.run(step(self.record, self._plan), on_event=self._hear))

    def _settle(self) -> None:
        """Take note of a job that ended while no try of the task was there to see it."""
        while self.record.phase in ("training", "resuming"):
            if self.record.phase == "training" and self._client.run(still_runs(*self._current_job())):
                return
            self.step()

    def _current_job(self) -> tuple[str, str]:
        return self.record.project_id or "", self.record.attempt.job_id or ""

    def _begin_anew(self, on_clear: OnClear, retrain: bool, *, running: bool) -> None:
        """Whether the clear asks for a new run, `running` being whether it met a job; the log says which it is."""
        if self.record.phase == "done" and retrain:
            self._log.info("The task was cleared after its run had finished: a new training begins.")
        elif self.record.phase == "done":
            self._log.info(
                "The task was cleared after its run had finished: the finished run is returned. "
                "Set retrain_when_cleared to train again."
            )
            return
        elif running and on_clear == "cancel":
            self._log.info("The task was cleared while its job ran: the job is stopped, and a new training begins.")
            self._client.run(stop(*self._current_job()), on_event=self._tell)
        else:
            return
        self.record = self._new(self._tries_before)

    def _new(self, *parts: object) -> RunRecord:
        from truss_train_core.runs import new_record, run_key

        ti = self._ti
        if self._once_per and not parts:
            return new_record(self._plan, run_key(ti.dag_id, ti.task_id, "once per", self._once_per))
        return new_record(self._plan, run_key(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, *parts))

    def _hear(self, event: Event) -> None:
        from truss_train_core import events

        if not isinstance(event, events.CheckpointSeen):  # whoever waited for the job has told of them
            self._tell(event)

    def _kept(self) -> tuple[RunRecord, int] | None:
        """The record that earlier tries left, and their `tries_before`."""
        from truss_train_core import RunRecord

        kept = self._store.get(STATE_KEY) if self._store else None
        if kept is None:
            return None
        return RunRecord.model_validate(kept["record"]), kept["tries_before"]

    def _keep(self, record: RunRecord) -> None:
        self.record = record
        if self._store:
            self._store.set(STATE_KEY, {"record": record.model_dump(mode="json"), "tries_before": self._kept_with})
