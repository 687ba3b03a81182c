"""Train: submit, wait, resume where the job breaks off."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import XComArg

from airflow_provider_truss_train.airflow_side import ENDED, is_last_try, task_state, teller
from airflow_provider_truss_train.attending import verdict_of
from airflow_provider_truss_train.operators.submit import SubmitTrainingJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_truss_train.attending import Attendance
    from airflow_provider_truss_train.task_run import TaskRun
    from truss_train_core import Client, RunRecord
    from truss_train_core.definitions import TrainingProject
    from truss_train_core.runs import Budget

ON_KILL_SECONDS = 4.0
"""How long a killed task may take to stop its job. Airflow ends its process after five."""


class TrainingJobOperator(SubmitTrainingJobOperator):
    """Trains: submits a job exactly once, waits for it, and where it breaks off resumes from the last checkpoint.

    While it waits it needs no worker, and the job's log appears in the task's log. Returns the run's record, which
    `ChooseCheckpointOperator` takes.

    The job is stopped when the task is marked failed or successful, when its DAG run times out, when `training_timeout`
    has passed, and when the run has used `max_runtime` or `max_gpu_hours`; not when a worker or a triggerer is
    restarted or dies: the next takes it up.

    Args:
        config, source_dir, environment_variables, begin_from, once_per, baseten_conn_id, retrain_when_cleared,
            on_clear: as for `SubmitTrainingJobOperator`.
        trial: a trial of a sweep, as `sweeps.Trial.model_dump` (templated): the job has its parameters, over
            `environment_variables`, and is stopped early where it does poorly. That is no failure.
        max_failures: how many failed attempts are followed by another within one try of the task.
        max_preemptions: the same for attempts that lost their machines.
        training_timeout: seconds from a job's creation, its time in the queue included, after which it is stopped and
            the task fails; None for never.
        max_runtime: seconds, or a timedelta, that all attempts of the run may run together, those of earlier tries of
            the task included and times in the queue not; then the job is stopped and the task fails; None for any.
        max_gpu_hours: the same for GPUs × nodes × hours.
        max_cost: the same for money, in the currency of `price` (templated).
        price: what an hour of a node costs, which the API does not tell (templated). With it, or where there was more
            than one attempt, the task's log and its XCom "report" tell what each attempt took, and a worker ends the
            task.
        spot_price: the same on spot capacity; None for as much (templated).
        deadline: when the training has to be through (templated): a datetime with a time zone, or ISO 8601. What still
            runs then is stopped, and the task fails. The same for every try of the task: from `dag_run.run_after`, say.
        deadline_margin: seconds before the deadline from which on attempts begin on dedicated capacity instead of spot
            (templated); 0 for never.
        outage: seconds for which an API that does not answer is put up with.
        follow_logs: whether to show the job's log and its checkpoints. With hundreds of tasks at once, that is two
            calls of its own for each running job, at every look; without it, all wait on one call.
        deferrable: whether to wait in the triggerer rather than on a worker.
    """

    template_fields: Sequence[str] = (
        *SubmitTrainingJobOperator.template_fields,
        "trial", "max_cost", "price", "spot_price", "deadline", "deadline_margin",
    )  # fmt: skip

    def __init__(
        self,
        *,
        trial: Mapping[str, Any] | XComArg | None = None,
        max_failures: int = 2,
        max_preemptions: int = 10,
        training_timeout: float | None = None,
        max_runtime: float | timedelta | None = None,
        max_gpu_hours: float | None = None,
        max_cost: float | str | None = None,
        price: float | str | None = None,
        spot_price: float | str | None = None,
        deadline: datetime | str | None = None,
        deadline_margin: float | str = 0.0,
        outage: float = 1800.0,
        follow_logs: bool = True,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.trial: Any = trial
        self.max_failures = max_failures
        self.max_preemptions = max_preemptions
        self.training_timeout = training_timeout
        self.max_runtime = max_runtime.total_seconds() if isinstance(max_runtime, timedelta) else max_runtime
        self.max_gpu_hours = max_gpu_hours
        self.max_cost = max_cost
        self.price = price
        self.spot_price = spot_price
        self.deadline = deadline
        self.deadline_margin = deadline_margin
        self.outage = outage
        self.follow_logs = follow_logs
        self.deferrable = deferrable
        self._in_hand: tuple[Any, TaskRun] | None = None
        self._killed = False

    def execute(self, context: Context) -> dict[str, Any]:
        with self.hook.client() as client:
            return self._train(self._take_up(client, context), client, context)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Go on after the triggerer has waited for a job."""
        from airflow_provider_truss_train.triggers import error_of

        error = error_of(event)
        with self.hook.client() as client:
            run = self._run(client, context)
            run.go_on()
            if error:
                self._report(run, client, context)
                raise error
            if run.record.phase == "training":
                self._step(run)
            return self._train(run, client, context)

    def on_kill(self) -> None:
        """Stop the job if nobody waits for it any more.

        Airflow calls this when a person marks or clears the task, but also when the worker is shut down. It runs within
        a signal handler, between any two instructions of the task, so the work is done by another thread. A job that is
        just being submitted is stopped as soon as it is known.
        """
        self._killed = True
        thread = threading.Thread(target=self._stop_if_unwanted)
        thread.start()
        thread.join(ON_KILL_SECONDS)

    def _train(self, run: TaskRun, client: Client, context: Context) -> dict[str, Any]:
        from airflow.sdk.exceptions import AirflowFailException

        from truss_train_core.errors import BudgetSpent, RunFailed

        self._in_hand = (context["ti"], run)
        try:
            while not run.record.is_final:
                if run.record.phase == "training":
                    self._wait(run, client)
                self._step(run)
        except BudgetSpent:
            self._report(run, client, context)
            raise
        if self._is_reported(run.record):
            self._report(run, client, context)
        if run.record.phase == "failed":
            failure = f"Run {run.record.key} of project {run.record.project_name!r} failed: {run.record.failure}"
            if run.record.attempt.cause == "stopped":  # somebody wanted it to end
                raise AirflowFailException(failure)
            raise RunFailed(failure, hint="Nothing of it runs any more; a retry goes on from its newest checkpoint.")
        self._tell_outlets(context)
        return run.record.model_dump(mode="json")

    def _wait(self, run: TaskRun, client: Client) -> None:
        """Wait for the job of the current attempt; deferred, this does not return."""
        from airflow_provider_truss_train.attending import attend

        if self._killed:
            self._stop_if_unwanted()
        self._show(run.record)
        attendance = self._attendance(run, client)
        if self.deferrable:
            self._defer(run.record, attendance)
        client.run(attend(attendance), on_event=teller(self.log))

    def _attendance(self, run: TaskRun, client: Client) -> Attendance:
        from airflow_provider_truss_train.attending import Attendance
        from truss_train_core import runs

        record, budget = run.record, self._budget()
        used = client.run(runs.usage(record, without=record.attempt.job_id)) if budget else runs.Usage()
        return Attendance(
            project_id=record.project_id or "",
            job_id=record.attempt.job_id or "",
            timeout=self.training_timeout,
            outage=self.outage,
            follow_logs=self.follow_logs,
            budget=budget.model_dump(mode="json"),
            used=used.model_dump(),
            trial=self.trial,
        )

    def _defer(self, record: RunRecord, attendance: Attendance) -> None:
        from airflow_provider_truss_train.triggers import TrainingRunTrigger

        ended = record.attempt.model_copy(update={"status": "TRAINING_JOB_COMPLETED", "cause": "completed"})
        completed = record.with_attempt(ended, phase="done").model_dump(mode="json")
        self.defer(
            trigger=TrainingRunTrigger(
                baseten_conn_id=self.baseten_conn_id,
                attendance=attendance.as_dict(),
                ends_task=self.do_xcom_push and not (self._needs_worker_to_end() or self._is_reported(record)),
                stop_on_clear=self.on_clear == "cancel",
                completed=completed,
            ),
            method_name="execute_complete",
        )

    def _stop_if_unwanted(self) -> None:
        from airflow_provider_truss_train.attending import stop

        if self._in_hand is None:
            return
        ti, run = self._in_hand
        project_id, job_id = run.record.project_id, run.record.attempt.job_id
        if not project_id or not job_id:
            return
        state = task_state(ti)
        cleared = state not in (*ENDED, "running")
        unwanted = state in ENDED or (cleared and self.on_clear == "cancel")
        if unwanted or (state == "running" and is_last_try(ti)):
            self.log.info("The task is %s: its job is stopped.", state or "to run again")
            with self.hook.client() as client:  # the task's own may be in the middle of something
                client.run(stop(project_id, job_id), on_event=teller(self.log))
        else:
            self.log.info("The task is %s: its job goes on, and the next try takes it up.", state or "to run again")

    def _budgets(self) -> dict[str, Any]:
        return {
            "max_failures": self.max_failures,
            "max_preemptions": self.max_preemptions,
            "budget": self._budget(),
            "verdict": verdict_of(self.trial),
        }

    def _parametrized(self, config: Path | TrainingProject) -> TrainingProject:
        if self.trial is None:
            return super()._parametrized(config)
        from truss_train_core.sweeps import Trial

        return Trial.model_validate(self.trial).project(config, environment=self.environment_variables)

    def _budget(self) -> Budget:
        from truss_train_core import runs

        price = None if self.price is None else {"dedicated": self.price, "spot": self.spot_price}
        deadline = None if self.deadline is None else {"at": self.deadline, "margin": self.deadline_margin}
        given = {"runtime": self.max_runtime, "gpu_hours": self.max_gpu_hours, "cost": self.max_cost}
        return runs.Budget.model_validate({**given, "price": price, "deadline": deadline})

    def _is_reported(self, record: RunRecord) -> bool:
        """Whether there is more to tell than a job's page does."""
        return self.price is not None or len(record.attempts) > 1

    def _report(self, run: TaskRun, client: Client, context: Context) -> None:
        """Tell what each attempt took, in the log and in an XCom."""
        from truss_train_core import runs
        from truss_train_core.errors import TrussTrainError

        try:
            report = client.run(runs.report(run.record, self._budget().price))
        except TrussTrainError as error:  # what only tells something fails nothing
            self.log.warning("What the attempts took cannot be told: %s", error)
            return
        for line in str(report).splitlines():
            self.log.info("%s", line)
        context["ti"].xcom_push("report", report.model_dump(mode="json"))
