"""`truss-train deploy-checkpoints`."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from truss_train_core.cli import config_files, options, output
from truss_train_core.cli.asking import can_ask
from truss_train_core.cli.checkpoints import Metric, Mode, check_metric
from truss_train_core.cli.connection import PATIENTLY, connect
from truss_train_core.cli.failures import BadOptions, interruptible
from truss_train_core.cli.output import Format
from truss_train_core.errors import TrussTrainError

if TYPE_CHECKING:
    from truss_train_core.api.client import Client
    from truss_train_core.api.models import Checkpoint, Deployment, TrainingJob
    from truss_train_core.cli.checkpoints import Direction
    from truss_train_core.definitions import DeployCheckpointsConfig

CONFIG_FILE = "config.yaml"
"""What truss calls the configuration of a deployment."""


def deploy_checkpoints(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Python file with a DeployCheckpointsConfig.")
    ] = None,
    job_id: Annotated[
        str | None, typer.Option("--job-id", metavar="JOB", help="Deploy a checkpoint of this job, by id or name.")
    ] = None,
    project: options.Project = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", metavar="NAME", help="Which of the job's checkpoints.")
    ] = None,
    metric: Metric = None,
    mode: Mode = None,
    model_name: Annotated[
        str | None, typer.Option("--model-name", metavar="NAME", help="Model to deploy to; made if there is none.")
    ] = None,
    accelerator: Annotated[
        str | None, typer.Option("--accelerator", metavar="TYPE:COUNT", help="GPUs to serve on, e.g. H100:2.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the configuration it would get; deploy nothing.")
    ] = False,
    config_dir: Annotated[
        Path | None,
        typer.Option(
            "--truss-config-output-dir",
            metavar="DIR",
            file_okay=False,
            help="Write the configuration that is deployed to a config.yaml there.",
        ),
    ] = None,
    non_interactive: options.NonInteractive = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once it is created, not when it serves.")] = False,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Deploy checkpoints: those that --config names, or one of a job, by name or by metric.

    On a terminal, what is not said is asked for, and the configuration is written to truss_configs.
    """
    from truss_train_core import deployments, jobs

    check_metric(metric, mode)
    wanted = _definition(config, model_name, accelerator)
    if job_id is None and (checkpoint or metric):
        raise BadOptions("--checkpoint and --metric choose among the checkpoints of a job.", hint="Add --job-id JOB.")
    asks = form is Format.TEXT and not non_interactive and can_ask()
    if job_id is None and not asks and not _names_checkpoints(wanted):
        raise BadOptions(
            "It is not said which checkpoint to deploy.",
            hint="Add --job-id JOB with --checkpoint NAME or --metric NAME --mode min|max, or checkpoint_details to "
            "the file of --config.",
        )
    if config_dir and (config_dir / CONFIG_FILE).exists():
        raise BadOptions(f"{config_dir / CONFIG_FILE} exists already, and nothing is replaced.")
    with connect(remote, deadline=PATIENTLY) as client:
        job = client.run(jobs.find(job_id, project=project)) if job_id is not None else None
        if job is not None:
            chosen = [_chosen(client, job, checkpoint, metric, mode)] if checkpoint or metric or not asks else []
            wanted = deployments.with_checkpoints(wanted, chosen)
        asked = asks and _lacks_something(wanted)
        if asked:
            from truss_train_core.cli import wizard

            wanted = wizard.complete(client, wanted, job, project)
        place = _Place(config_dir, wanted.model_name if asked else None)
        if dry_run:
            _preview(client, wanted, place)
        else:
            _deploy(client, wanted, place, form, wait=not no_wait)


class _Place(NamedTuple):
    """Where a deployment's configuration is kept: in a directory, or in one of its own under `truss_configs`.

    Nowhere where both are None.
    """

    directory: Path | None
    model_name: str | None

    @property
    def is_somewhere(self) -> bool:
        return self != (None, None)

    def keep(self, config: str, label: str) -> None:
        """Write a configuration: YAML, or JSON, which is YAML too."""
        own = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{self.model_name}_{label}")
        path = (self.directory or Path("truss_configs") / own) / CONFIG_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(config, "utf-8")
        output.message(f"Its configuration is in {path}.")


def _lacks_something(wanted: DeployCheckpointsConfig) -> bool:
    return not (_names_checkpoints(wanted) and wanted.model_name and wanted.compute)


def _names_checkpoints(wanted: DeployCheckpointsConfig) -> bool:
    details = wanted.checkpoint_details
    return bool(details and (details.checkpoints or details.loops_checkpoint_ids))


def _definition(config: Path | None, model_name: str | None, accelerator: str | None) -> DeployCheckpointsConfig:
    from truss_train_core import definitions

    wanted = config_files.deployment(config) if config else definitions.DeployCheckpointsConfig()
    if model_name:
        wanted = wanted.model_copy(update={"model_name": model_name})
    if accelerator:
        compute = (wanted.compute or definitions.Compute()).model_copy(deep=True)
        compute.accelerator = definitions.AcceleratorSpec.model_validate(accelerator)
        wanted = wanted.model_copy(update={"compute": compute})
    return wanted


def _chosen(
    client: Client, job: TrainingJob, name: str | None, metric: str | None, mode: Direction | None
) -> Checkpoint:
    """The checkpoint of a job that was asked for: by name, by metric, or the only one."""
    from truss_train_core import checkpoints, jobs
    from truss_train_core.cli.progress import narrator

    if metric and mode:
        flow = checkpoints.find_best([job], metric, mode.value, requirement=checkpoints.deployable)
        return client.run(flow, on_event=narrator()).checkpoint
    there = client.run(checkpoints.list_checkpoints(job))
    named = [each for each in there if each.checkpoint_id == name] if name else there
    if len(named) == 1:
        return named[0]
    have = ", ".join(each.checkpoint_id for each in there) or "none"
    if name:
        raise BadOptions(f"{jobs.describe(job)} has no checkpoint {name!r}; it has {have}.")
    raise BadOptions(
        f"It is not said which checkpoint of {jobs.describe(job)} to deploy: it has {have}.",
        hint="Add --checkpoint NAME, or --metric NAME --mode min|max.",
    )


def _preview(client: Client, wanted: DeployCheckpointsConfig, place: _Place) -> None:
    from truss_train_core import deployments

    result = client.run(deployments.preview(wanted))
    config = json.loads(result.truss_config or "{}")
    output.print_json(config)
    if place.is_somewhere:
        place.keep(json.dumps(config, indent=2) + "\n", f"dry_run_{datetime.now():%Y%m%d_%H%M%S}")
    output.message("Nothing was deployed.")


def _deploy(client: Client, wanted: DeployCheckpointsConfig, place: _Place, form: Format, *, wait: bool) -> None:
    from truss_train_core import deployments
    from truss_train_core.cli.progress import narrator

    def goes_on() -> list[str]:
        page = client.remote.model_page(deployment.model_id, deployment.id)
        return [
            f"Deployment {deployment.id} of model {deployment.model_id} goes on and may cost money.",
            f"Look at it: {page}",
        ]

    deployment = client.run(deployments.deploy(wanted), on_event=narrator())
    if place.is_somewhere:
        _keep_config(client, deployment, place)
    if wait:
        with interruptible(goes_on):
            deployment = client.run(deployments.wait_until_serving(deployment), on_event=narrator())
    url = client.remote.predict_url(deployment.model_id, deployment.id)
    if form is Format.JSON:
        output.print_json({"deployment": deployment, "predict_url": url})
    else:
        output.stdout().print(url, soft_wrap=True)


def _keep_config(client: Client, deployment: Deployment, place: _Place) -> None:
    """Keep what a deployment was made from; it goes on, and is waited for, also where that fails."""
    from truss_train_core.api import endpoints

    try:
        found = client.send(endpoints.get_deployment_config(deployment.model_id, deployment.id))
        place.keep(found.raw_config or json.dumps(found.config, indent=2), deployment.id)
    except (TrussTrainError, OSError) as error:
        output.warn(f"The configuration of deployment {deployment.id} is not kept: {error}")
