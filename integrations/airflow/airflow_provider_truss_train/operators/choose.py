"""Choose a checkpoint of a run, or rank the best few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_truss_train.airflow_side import teller
from airflow_provider_truss_train.facts import checkpoint_refs, chosen_checkpoint
from airflow_provider_truss_train.links import CheckpointLink
from airflow_provider_truss_train.operators.base import BasetenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from truss_train_core import Client
    from truss_train_core.checkpoints import Choice, Requirement, Source
    from truss_train_core.jobs import TrainingJob


class _Choosing(BasetenOperator):
    """What choosing and ranking have in common: the jobs of a run, and what is shown of the choices among them."""

    operator_extra_links = (CheckpointLink(),)
    ui_color = "#d7f0d0"
    run: Any
    deployable: bool

    def _decide(self, context: Context) -> list[dict[str, Any]]:
        from truss_train_core import lineage

        with self.hook.client() as client:
            jobs = _jobs_of(client, self.run)
            self.used = [lineage.job(job.id, job_name=job.name) for job in jobs]
            choices = self._choices(client, jobs)
        first = choices[0]
        page = self.hook.remote.job_page(jobs[0].training_project_id, first.checkpoint.training_job_id)
        self.pages[CheckpointLink.name] = page
        for row in first.table:
            value = "" if row.value is None else f"{row.value:.6g}"
            self.log.info("%-30s %12s  %s", row.checkpoint, value, row.rejected or "")
        self.made = [chosen_checkpoint(choice) for choice in choices]
        self._tell_outlets(context)
        return [choice.model_dump(mode="json", exclude={"table"}) for choice in choices]

    def _choices(self, client: Client, jobs: Sequence[TrainingJob]) -> Sequence[Choice]:
        raise NotImplementedError

    def _requirement(self) -> Requirement:
        from truss_train_core import checkpoints

        return checkpoints.deployable if self.deployable else checkpoints.complete


class ChooseCheckpointOperator(_Choosing):
    """Chooses a checkpoint of a run, by a metric or the newest, and shows the table it chose from in the task's log.

    Returns the choice, which `DeployCheckpointOperator` takes: `checkpoint`, `step`, `metric`, `mode`, `value` and
    `reason`.

    Args:
        run: the record that a training task returned (templated; usually that task's output).
        metric: name of the metric; None for the newest checkpoint.
        mode: "min" or "max"; to be given with a metric.
        log_pattern: a regular expression that finds the metric in the job's log, as in `checkpoints.from_log`.
        scored_by: the record of a gate job, in whose scores the metric is looked for first (templated); see
            `checkpoints.scored_by`.
        among: what the gate job has loaded (templated): what `RankCheckpointsOperator` returned.
        deployable: whether only checkpoints that Baseten can deploy are considered.
        baseten_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("run", "metric", "mode", "scored_by", "among", "baseten_conn_id")

    def __init__(
        self,
        *,
        run: Any,
        metric: str | None = None,
        mode: str | None = None,
        log_pattern: str | None = None,
        scored_by: Any = None,
        among: Any = None,
        deployable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (metric is None) != (mode is None):
            raise ValueError("metric and mode are given together: the direction is never guessed")
        if (scored_by is None) != (among is None):
            raise ValueError("scored_by and among are given together: the scores are of what the gate job has loaded")
        self.run = run
        self.metric = metric
        self.mode = mode
        self.log_pattern = log_pattern
        self.scored_by = scored_by
        self.among = among
        self.deployable = deployable

    def execute(self, context: Context) -> dict[str, Any]:
        return self._decide(context)[0]

    def _choices(self, client: Client, jobs: Sequence[TrainingJob]) -> Sequence[Choice]:
        from truss_train_core import checkpoints, runs

        requirement = self._requirement()
        if self.metric is None:
            flow = checkpoints.find_newest(jobs, requirement=requirement)
        else:
            scores = self._scores(client)
            best = runs.Best(metric=self.metric, mode=self.mode, log_pattern=self.log_pattern, first=scores)
            flow = checkpoints.find_best(jobs, best.metric, best.mode, sources=best.sources(), requirement=requirement)
        return [client.run(flow, on_event=teller(self.log))]

    def _scores(self, client: Client) -> tuple[Source, ...]:
        from truss_train_core import checkpoints

        if self.scored_by is None:
            return ()
        loaded = [(each.job_id, each.name) for each in checkpoint_refs(self.among)]
        return (checkpoints.scored_by(_jobs_of(client, self.scored_by)[-1], loaded),)


class RankCheckpointsOperator(_Choosing):
    """Ranks the best few checkpoints of a run by a metric, the best first, and shows the table in the task's log.

    Returns a list of choices, which `TrainingJobOperator` takes as `begin_from`, for a gate job that scores them; fewer
    than `count` where fewer can be chosen.

    Args:
        run: the record that a training task returned (templated; usually that task's output).
        metric: name of the metric (templated).
        mode: "min" or "max" (templated).
        count: how many.
        log_pattern: a regular expression that finds the metric in the job's log, as in `checkpoints.from_log`.
        deployable: whether only checkpoints that Baseten can deploy are considered.
        baseten_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("run", "metric", "mode", "baseten_conn_id")

    def __init__(
        self,
        *,
        run: Any,
        metric: str,
        mode: str,
        count: int = 3,
        log_pattern: str | None = None,
        deployable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.metric = metric
        self.mode = mode
        self.count = count
        self.log_pattern = log_pattern
        self.deployable = deployable

    def execute(self, context: Context) -> list[dict[str, Any]]:
        return self._decide(context)

    def _choices(self, client: Client, jobs: Sequence[TrainingJob]) -> Sequence[Choice]:
        from truss_train_core import checkpoints, runs

        best = runs.Best(metric=self.metric, mode=self.mode, log_pattern=self.log_pattern)
        find = checkpoints.find_top(
            jobs, best.metric, best.mode, self.count, sources=best.sources(), requirement=self._requirement()
        )
        return client.run(find, on_event=teller(self.log))


def _jobs_of(client: Client, record: Any) -> list[TrainingJob]:
    from truss_train_core import RunRecord, runs

    return client.run(runs.jobs_of(RunRecord.model_validate(record)))
