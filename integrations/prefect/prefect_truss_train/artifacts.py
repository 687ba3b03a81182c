"""What a run leaves to look at: links, progress, the table of checkpoints, the loss curve, a summary.

Keys begin with the project's name, so that an artifact's page shows how it went from run to run. An artifact that
cannot be made is a line in the log, never a failed task.
"""

from __future__ import annotations

import functools
import math
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import artifacts as prefect
from prefect.logging import get_logger
from typing_extensions import ParamSpec

if TYPE_CHECKING:
    from prefect_truss_train.training_run import TrainingRun
    from truss_train_core import Flow
    from truss_train_core.checkpoints import Candidate, TrainerState
    from truss_train_core.jobs import TrainingJob
    from truss_train_core.runs import Best
    from truss_train_core.sweeps import Results

P = ParamSpec("P")

STAR = "★"
INTERVAL = 10.0
"""Seconds between two updates of the progress, at least."""


def decides_nothing(make: Callable[P, None]) -> Callable[P, None]:
    """Let what only shows something never end what is shown: its failure is a line in the log."""

    @functools.wraps(make)
    def attempt(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            make(*args, **kwargs)
        except Exception as error:
            get_logger("prefect_truss_train").warning("Prefect could not be told (%s): %r", make.__name__, error)

    return attempt


def _in_place(make: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of Prefect's that would be a coroutine function in a coroutine."""
    return make(*arguments, _sync=True)


def key(project: str, what: str) -> str:
    """The key of an artifact: lowercase letters, digits and dashes."""
    return f"{re.sub(r'[^a-z0-9]+', '-', project.lower()).strip('-') or 'project'}-{what}"


@decides_nothing
def link_job(run: TrainingRun, project_id: str, job_id: str, name: str) -> None:
    """A link to a job."""
    page = run.remote().job_page(project_id, job_id)
    _in_place(prefect.create_link_artifact, page, f"job {name}", key(run.project.name, "job"))


@decides_nothing
def link_model(run: TrainingRun, model_id: str, deployment_id: str, name: str) -> None:
    """A link to a deployment."""
    page = run.remote().model_page(model_id, deployment_id)
    _in_place(prefect.create_link_artifact, page, f"model {name}", key(run.project.name, "model"))


# ---------------------------------------------------------------- while it runs


class Progress:
    """A progress artifact of a job, from the training state in its newest complete checkpoint; goes along with a wait.

    Training that writes no state gets 100 % at its end and says nothing before.
    """

    def __init__(self, run: TrainingRun) -> None:
        self._run = run
        self._artifact: UUID | None = None
        self._next_look = 0.0
        self._shown: tuple[float, str] | None = None

    def __call__(self, job: TrainingJob) -> Flow[None]:
        """Look and show, at most every `INTERVAL` seconds."""
        if time.monotonic() < self._next_look and not job.is_terminal:
            return
        self._next_look = time.monotonic() + INTERVAL
        from truss_train_core import curves

        state = yield from curves.newest_state(job)
        percent = 100.0 if job.succeeded else _percent(state)
        self._show(percent, f"{job.name}: {_where(state)}")

    @decides_nothing
    def _show(self, percent: float, words: str) -> None:
        if (percent, words) == self._shown:
            return
        if self._artifact is None:
            self._artifact = _in_place(
                prefect.create_progress_artifact, percent, key(self._run.project.name, "progress"), words
            )
        else:
            _in_place(prefect.update_progress_artifact, self._artifact, percent, words)
        self._shown = percent, words


def _percent(state: TrainerState | None) -> float:
    return min(100.0, 100.0 * state.global_step / state.max_steps) if state and state.max_steps else 0.0


def _where(state: TrainerState | None) -> str:
    if state is None:
        return "no training state yet"
    steps = f"step {state.global_step}{f' of {state.max_steps}' if state.max_steps else ''}"
    return steps if state.epoch is None else f"{steps}, epoch {state.epoch:g}"


# ---------------------------------------------------------------- when it is done


@decides_nothing
def show_report(run: TrainingRun) -> None:
    """What each attempt took, as a table and in the log.

    Not of a single attempt without a budget: of that, its job's page tells as much.
    """
    from prefect_truss_train.telling import run_logger
    from truss_train_core import runs

    if not (run.budget or run.budget.price or len(run.record.attempts) > 1):
        return
    report = run.client().run(runs.report(run.record, run.budget.price))
    _in_place(prefect.create_table_artifact, report.rows(), key(run.project.name, "report"), "what the attempts took")
    run_logger().info("What the attempts took:\n%s", report)


@decides_nothing
def show_choice(run: TrainingRun, best: Best | None) -> None:
    """The table of all checkpoints with their metrics, the chosen one marked, and the loss curve.

    Args:
        run: whose checkpoint was chosen.
        best: by what; None for the newest.
    """
    from truss_train_core import checkpoints, runs

    client = run.client()
    jobs = client.run(runs.jobs_of(run.record))
    requirement = checkpoints.deployable if run.deployment else checkpoints.complete
    sources = best.sources() if best else checkpoints.DEFAULT
    _show_table(run, client.run(checkpoints.candidates(jobs, sources=sources, requirement=requirement)))
    if picture := loss_curve(run, jobs):
        _in_place(prefect.create_image_artifact, picture, key(run.project.name, "loss"), "loss by step")


def loss_curve(run: TrainingRun, jobs: Sequence[TrainingJob]) -> str | None:
    """The address of a picture of the run's loss over all its attempts; None where too little was measured."""
    from truss_train_core import curves

    attempts = run.client().run(curves.measured(run.record, jobs))
    chosen = run.record.choice.checkpoint.step if run.record.choice else None
    picture = curves.loss_curve(curves.joined(attempts), resumed=curves.resumed_at(attempts), chosen=chosen)
    return curves.as_address(picture) if picture else None


def _show_table(run: TrainingRun, candidates: Sequence[Candidate]) -> None:
    chosen = run.record.choice
    mark = (chosen.checkpoint.job_id, chosen.checkpoint.name) if chosen else None
    metrics = sorted({name for each in candidates for name in each.metrics})
    first = [chosen.metric] if chosen and chosen.metric in metrics else []
    rows: list[dict[str, Any]] = []
    for each in sorted(candidates, key=lambda each: (each.checkpoint.created_at, each.step or 0)):
        checkpoint = each.checkpoint
        rows.append(
            {
                "chosen": STAR if mark == (checkpoint.training_job_id, checkpoint.checkpoint_id) else "",
                "checkpoint": checkpoint.checkpoint_id,
                "job": checkpoint.training_job_id,
                "bytes": checkpoint.size_bytes,
                **{name: _figure(each.metrics.get(name)) for name in dict.fromkeys([*first, *metrics])},
                "cannot be chosen": each.rejected or "",
            }
        )
    reason = chosen.reason if chosen else ""
    _in_place(prefect.create_table_artifact, rows, key(run.project.name, "checkpoints"), reason)


@decides_nothing
def show_summary(run: TrainingRun) -> None:
    """The run on one page: attempts, the choice, the loss curve, the deployment and its answer."""
    from truss_train_core import runs

    picture = loss_curve(run, run.client().run(runs.jobs_of(run.record)))
    name, about = key(run.project.name, "summary"), f"training run of {run.project.name}"
    _in_place(prefect.create_markdown_artifact, summary(run, picture), name, about)


def summary(run: TrainingRun, picture: str | None) -> str:
    """The text of the summary, in Markdown; `picture` is the address of the loss curve."""
    record, remote = run.record, run.remote()
    lines = [f"# {run.project.name}", "", "| attempt | job | ended | started from |", "| --- | --- | --- | --- |"]
    for each in record.attempts:
        page = remote.job_page(record.project_id or "", each.job_id or "")
        origin = each.started_from.name if each.started_from else "the start"
        lines.append(f"| {each.number} | [{each.job_name}]({page}) | {each.cause or each.status or ''} | {origin} |")
    if record.choice:
        lines += ["", f"{STAR} **{record.choice.checkpoint.name}**: {record.choice.reason}."]
    if picture:
        lines += ["", f"![loss by step]({picture})"]
    if record.deployment:
        page = remote.model_page(record.deployment.model_id, record.deployment.deployment_id)
        lines += ["", f"Deployment [{record.deployment.deployment_id}]({page}): {record.deployment.status.lower()}."]
    if record.answer:
        lines += ["", "Its answer:", "", "```json", record.answer, "```"]
    return "\n".join(lines)


@decides_nothing
def show_sweep(project: str, results: Results) -> None:
    """The trials of a sweep on one page: the decision, a curve for each, and the table, the best first.

    Args:
        project: its name.
        results: of the sweep.
    """
    from truss_train_core import curves, sweeps

    picture = sweeps.picture(results)
    parts = [f"![a curve for each trial]({curves.as_address(picture)})"] if picture else []
    text = "\n\n".join([f"# {project}", *parts, sweeps.markdown(results)])
    _in_place(prefect.create_markdown_artifact, text, key(project, "sweep"), sweeps.decision(results))


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}" if math.isfinite(value) else str(value)
