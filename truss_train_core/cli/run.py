"""`truss-train run`: the whole story, from a config.py to a model that answers."""

from __future__ import annotations

import json
import re
import shlex
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truss_train_core.cli import budgets, config_files, options, output
from truss_train_core.cli.checkpoints import Metric, Mode, check_metric
from truss_train_core.cli.connection import PATIENTLY, connect
from truss_train_core.cli.failures import BadOptions, interruptible
from truss_train_core.cli.output import Format
from truss_train_core.errors import ConfigFileError, TrussTrainError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from truss_train_core.api.client import Client
    from truss_train_core.api.flows import Event
    from truss_train_core.cli.progress import Listener
    from truss_train_core.cli.record_file import RecordFile
    from truss_train_core.definitions import DeployCheckpointsConfig
    from truss_train_core.runs import Report, RunPlan, RunRecord


_FIGURES = ("QUEUED", "RAN", "LOST", "COST", "LOST COST")


def run(
    config: options.Config,
    metric: Metric = None,
    mode: Mode = None,
    max_failures: Annotated[
        int, typer.Option(metavar="NUMBER", help="Failed attempts that are followed by another.")
    ] = 2,
    max_preemptions: Annotated[
        int, typer.Option(metavar="NUMBER", help="Preempted attempts that are followed by another.")
    ] = 10,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long to wait for each attempt, which goes on.")
    ] = None,
    max_runtime: budgets.MaxRuntime = None,
    max_gpu_hours: budgets.MaxGpuHours = None,
    max_cost: budgets.MaxCost = None,
    price: budgets.Price = None,
    spot_price: budgets.SpotPrice = None,
    deadline: budgets.DeadlineAt = None,
    deadline_margin: budgets.DeadlineMargin = 0.0,
    no_deploy: Annotated[bool, typer.Option("--no-deploy", help="Train and choose only.")] = False,
    ask: Annotated[
        str | None, typer.Option(metavar="JSON|FILE", help="What to ask the deployed model: a JSON object.")
    ] = None,
    ask_path: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Where to ask it: predict, or sync/… for a path of the model server itself."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the run is noted; otherwise in .truss-train beside CONFIG."),
    ] = None,
    resume: Annotated[Path | None, typer.Option(metavar="FILE", help="Go on with the run that is noted there.")] = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Train, resume where it breaks off, choose the best checkpoint, deploy it and ask it.

    The file holds a TrainingProject and a DeployCheckpointsConfig. Killed at any moment, the run goes on with
    --resume: no job and no deployment is made twice.
    """
    from truss_train_core import runs
    from truss_train_core.pushing import for_team, prepare
    from truss_train_core.waiting import Limits

    check_metric(metric, mode)
    if timeout is not None and timeout <= 0:
        raise BadOptions("--timeout is a number of seconds, more than 0.")
    budget = budgets.budget(max_runtime, max_gpu_hours, max_cost, price, spot_price, deadline, deadline_margin)
    if ask_path and ask is None:
        raise BadOptions("--ask-path needs --ask.")
    question = _question(ask)
    project, directory = config_files.training_project(config)
    config_files.report(prepare(project, directory))
    with connect(remote, deadline=PATIENTLY) as client:
        plan = runs.RunPlan(
            project=for_team(project, client.remote),
            source_dir=directory,
            max_failures=max_failures,
            max_preemptions=max_preemptions,
            best=runs.Best(metric=metric, mode=mode.value) if metric and mode else None,
            deploy=None if no_deploy else _deployment(config),
            question=question,
            question_path=ask_path or "predict",
            budget=budget,
            training=Limits(timeout=timeout),
        )
        begun, file = _begin(plan, record, resume)
        final = _carry_out(client, plan, begun, file, form)
        report = _report(client, plan, final)
        if form is Format.JSON:
            output.print_json({"result": final, "report": report}, indent=None)
        else:
            if report:
                output.stdout().print(_report_table(report))
            output.stdout().print(_summary(client, final, file), soft_wrap=True)


def _deployment(config: Path) -> DeployCheckpointsConfig:
    try:
        return config_files.deployment(config)
    except ConfigFileError as error:
        error.hint = " ".join(filter(None, (error.hint, "To train and choose only, say --no-deploy.")))
        raise


def _question(text: str | None) -> dict[str, Any] | None:
    """The question: a JSON object, or what stands in a file of that name."""
    if text is None:
        return None
    try:
        content = text if text.lstrip().startswith("{") else Path(text).read_text("utf-8")
        question = json.loads(content)
    except OSError as error:
        raise BadOptions(f"--ask is neither a JSON object nor a file: {text}: {error.strerror}.") from error
    except ValueError as error:
        raise BadOptions(f"--ask is not JSON: {error}.") from error
    if not isinstance(question, dict):
        raise BadOptions("--ask is not a JSON object.", hint="""For example: --ask '{"prompt": "Hello"}'""")
    return question


def _begin(plan: RunPlan, record: Path | None, resume: Path | None) -> tuple[RunRecord, RecordFile]:
    """The record to go on from, and the file to keep it in."""
    from truss_train_core import runs
    from truss_train_core.cli.record_file import RecordFile

    name = plan.project.name
    if resume:
        begun = RecordFile(resume).read()
        if begun.project_name != name:
            raise BadOptions(f"{resume} is of a run of project {begun.project_name!r}, not of {name!r}.")
        return runs.reopened(plan, begun), RecordFile(record or resume)
    key = runs.run_key(name, uuid.uuid4())
    file = RecordFile(
        record or _default_folder(plan.source_dir) / f"{re.sub('[^A-Za-z0-9._-]+', '-', name)}-{key}.json"
    )
    if file.path.exists():
        raise BadOptions(f"{file.path} is of another run.", hint=f"To go on with that one: --resume {file.path}")
    return runs.new_record(plan, key), file


def _default_folder(source_dir: Path) -> Path:
    """Where records are kept, out of the way of git."""
    folder = source_dir / ".truss-train"
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    return folder / "runs"


def _carry_out(client: Client, plan: RunPlan, begun: RunRecord, file: RecordFile, form: Format) -> RunRecord:
    """Do the run, keeping its record."""
    from truss_train_core import runs

    record = begun

    def keep(event: Event) -> None:
        nonlocal record
        if isinstance(event, runs.RecordChanged):
            file.write(event.record)
            record = event.record
        listener(event)

    try:
        with interruptible(lambda: _goes_on(record, file)), _listener(client, plan, form) as listener:
            return client.run(runs.run(plan, begun), on_event=keep)
    except TrussTrainError as error:
        if form is Format.TEXT and (report := _report(client, plan, record)):
            output.stderr().print(_report_table(report))
        if file.path.exists():
            error.hint = " ".join(filter(None, (error.hint, f"Go on with the run: {_command(file)}")))
        raise


def _report(client: Client, plan: RunPlan, record: RunRecord) -> Report | None:
    """What the run took; None where it has no jobs, or the API does not answer."""
    from truss_train_core import runs

    try:
        report = client.run(runs.report(record, plan.budget.price))
    except TrussTrainError as error:
        output.warn(f"What the run took cannot be told: {error.message}")
        return None
    return report if report.attempts else None


def _report_table(report: Report) -> Table:
    rows = report.rows()
    table = output.table(*(name.upper() for name in rows[0]), right=_FIGURES, gives_way=("JOB",))
    for row in rows:
        ended = output.status_text(row["ended"]) if row is not rows[-1] else row["ended"]
        table.add_row(*({**row, "job": output.may_be_cut(row["job"]), "ended": ended}.values()))
    return table


@contextmanager
def _listener(client: Client, plan: RunPlan, form: Format) -> Iterator[Listener]:
    """What shows the run: JSON, a live picture on a terminal, lines elsewhere."""
    from truss_train_core.cli.progress import json_lines, narrator

    replicas = plan.project.job.compute.node_count > 1
    if form is Format.JSON:
        yield json_lines
    elif output.on_terminal():
        from truss_train_core.cli.run_view import RunView

        with RunView(output.stderr(), client, plan.project.name, plan.best, replicas=replicas) as view:
            yield view
    else:
        yield narrator(log=output.stderr(), replicas=replicas)


def _goes_on(record: RunRecord, file: RecordFile) -> list[str]:
    attempt = record.attempt
    if record.phase == "training":
        lines = [f"Job {attempt.job_name} goes on."]
    elif record.phase == "submitting":
        lines = [f"Job {attempt.job_name} may have been created; if so, it goes on."]
    elif record.deployment:
        lines = [f"Deployment {record.deployment.deployment_id} goes on and may cost money."]
    else:
        lines = ["Nothing of the run goes on."]
    lines += ["Go on with the run:", f"  {_command(file)}"]
    if record.phase in ("training", "submitting"):
        lines += ["Stop the job:", f"  truss-train stop --job-id {attempt.job_id or attempt.job_name}"]
    return lines


def _command(file: RecordFile) -> str:
    """The same command again, to go on with the run."""
    arguments = sys.argv[1:]
    resume = [] if "--resume" in arguments else ["--resume", str(file.path)]
    return shlex.join(["truss-train", *arguments, *resume])


def _summary(client: Client, record: RunRecord, file: RecordFile) -> Text:
    """How the run ended: lines of a name and a value."""
    from rich.text import Text

    lines = []
    if record.choice:
        lines.append(("checkpoint", f"{record.choice.checkpoint.name}: {record.choice.reason}"))
    if record.deployment:
        deployed = record.deployment
        lines.append(("deployment", f"{deployed.deployment_id} of model {deployed.model_id}"))
        lines.append(("address", client.remote.predict_url(deployed.model_id, deployed.deployment_id)))
    if record.answer:
        lines.append(("answer", record.answer))
    lines.append(("record", str(file.path)))
    return Text("\n").join(Text.assemble((f"{name:<12}", "dim"), value) for name, value in lines)
