"""`truss-train isession`, `update-session`, `sign-ssh-key` and `workstation`: working inside of a job's container."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tempfile
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from truss_train_core.cli import options, output
from truss_train_core.cli.connection import AT_ONCE, PATIENTLY, connect
from truss_train_core.cli.failures import BadOptions, interruptible
from truss_train_core.cli.jobs import follow, ways_on
from truss_train_core.cli.output import Format

if TYPE_CHECKING:
    from rich.table import Table

    from truss_train_core import definitions, runs
    from truss_train_core.api.client import Client
    from truss_train_core.api.models import AuthCode, InteractiveSessionAnswer, TrainingJob

SSH_DOMAIN = "ssh.baseten.co"
_IMAGE = "nvidia/cuda:12.9.1-devel-ubuntu24.04"
_NEWER_IMAGE = "nvidia/cuda:13.0.3-devel-ubuntu24.04"
_GPUS_OF_A_NODE = 8
_SLURM = "bash /b10/workspace/setup_slurm.sh"
"""What truss starts on each node of several (seen on the wire); the script is in the archive."""


class Trigger(str, Enum):
    """When a session opens."""

    ON_STARTUP = "on_startup"
    ON_FAILURE = "on_failure"
    ON_DEMAND = "on_demand"


class Orchestrator(str, Enum):
    """What makes one cluster of several nodes."""

    SLURM = "slurm"


_Trigger = "on_startup|on_failure|on_demand"
_MINUTES = "Minutes to add to what is left; -1 for ten years."


def isession(
    job_id: Annotated[str, typer.Option("--job-id", metavar="JOB", help="Job, by id or name.", show_default=False)],
    update_timeout: Annotated[int | None, typer.Option(metavar="MINUTES", min=-1, help=_MINUTES)] = None,
    update_trigger: Annotated[Trigger | None, typer.Option(metavar=_Trigger, help="When the session opens.")] = None,
    project: options.Project = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Show how to sign in to a job's interactive sessions, one for each replica."""
    from truss_train_core import jobs

    with connect(remote) as client:
        job = client.run(jobs.find(job_id, project=project))
        codes = _codes(client, job)
        if update_timeout is not None or update_trigger is not None:
            _change(client, job, codes, update_timeout, update_trigger)
            codes = _codes(client, job)
    if form is Format.JSON:
        output.print_json({"auth_codes": codes})
    else:
        output.stdout().print(_table(codes))


def update_session(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="Job, by id or name.", show_default=False)],
    trigger: Annotated[Trigger | None, typer.Option(metavar=_Trigger, help="When the session opens.")] = None,
    timeout_minutes: Annotated[int | None, typer.Option(metavar="MINUTES", min=-1, help=_MINUTES)] = None,
    project: options.Project = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Change when a job's interactive sessions open, and how long they last."""
    from truss_train_core import jobs

    if trigger is None and timeout_minutes is None:
        raise BadOptions("It is not said what to change.", hint="Add --trigger or --timeout-minutes.")
    with connect(remote) as client:
        job = client.run(jobs.find(job_id, project=project))
        changed = _change(client, job, _codes(client, job), timeout_minutes, trigger)
    if form is Format.JSON:
        output.print_json([each.interactive_session for each in changed])
    else:
        output.messages(each.message for each in changed)


def sign_ssh_key(
    job_id: Annotated[str, typer.Option("--job-id", metavar="JOB", help="Job, by id or name.", show_default=False)],
    public_key: Annotated[
        Path, typer.Option(metavar="FILE", exists=True, dir_okay=False, help="Of the key to sign.", show_default=False)
    ],
    replica: Annotated[int, typer.Option(metavar="RANK", min=0, help="Node to log in to.")] = 0,
    project: options.Project = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Print a short-lived certificate with which the owner of an SSH key may log in to a node of a job.

    With -o json, the proxy that leads there and the token that it asks for come with it.
    """
    from truss_train_core import jobs
    from truss_train_core.api import endpoints

    key = _public_key(public_key)
    with connect(remote) as client:
        job = client.run(jobs.find(job_id, project=project))
        signed = client.send(endpoints.sign_ssh_key(job.training_project_id, job.id, key, str(replica)))
    if form is Format.JSON:
        output.print_json(signed)
    else:
        output.stdout().print(signed.ssh_certificate.strip(), soft_wrap=True)
        output.message(f"It is valid until {signed.ssh_cert_expires_at.isoformat(timespec='minutes')}.")


def _public_key(path: Path) -> str:
    """The one line of a public key; a private one is not sent anywhere."""
    text = path.read_text("utf-8", errors="replace").strip()
    if not re.match(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+ \S+", text) or "\n" in text:
        raise BadOptions(f"{path} is not an SSH public key.", hint="Its name usually ends in .pub.")
    return text


def workstation(
    accelerator: Annotated[str, typer.Option(metavar="TYPE", help="GPUs of each node.")] = "H100",
    gpu_count: Annotated[int | None, typer.Option(metavar="NUMBER", min=1, max=8, help="On one node.")] = None,
    node_count: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, max=16, help="Nodes with 8 GPUs each.")
    ] = None,
    project: Annotated[
        str | None, typer.Option("--project", "--project-id", metavar="NAME", help="Its name; made if there is none.")
    ] = None,
    orchestrator: Annotated[
        Orchestrator | None,
        typer.Option(
            metavar="slurm", help="Make one cluster of the nodes, with the scripts of truss, which must be installed."
        ),
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", metavar="IMAGE", help="Base image; one with CUDA if not given.")
    ] = None,
    enable_checkpointing: Annotated[
        bool, typer.Option("--enable-checkpointing", help="Keep what is written to the checkpoint directory.")
    ] = False,
    checkpoint_path: Annotated[str | None, typer.Option(metavar="PATH", help="That directory.")] = None,
    checkpoint_volume_size: Annotated[int | None, typer.Option(metavar="GIB", min=1, help="Its size.")] = None,
    checkpoint_from_job: Annotated[
        str | None, typer.Option(metavar="JOB", help="Load the newest verified checkpoint of this job.")
    ] = None,
    spot: Annotated[bool, typer.Option("--spot", help="On spot capacity, which may be taken away.")] = False,
    team: Annotated[str | None, typer.Option("--team", metavar="NAME", help="Team whose project it is.")] = None,
    tail: options.Tail = False,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Start a job that does nothing but wait for you to log in with SSH. It costs money until it is stopped."""
    from truss_train_core import definitions, pushing, runs
    from truss_train_core.cli.progress import json_lines, narrator

    if gpu_count is not None and node_count is not None:
        raise BadOptions("--gpu-count and --node-count do not go together: a node of several has 8 GPUs.")
    if orchestrator is not None and (node_count or 1) == 1:
        raise BadOptions("--orchestrator is for several nodes.", hint="Add --node-count.")
    nodes, gpus = node_count or 1, _GPUS_OF_A_NODE if node_count else gpu_count or 1
    wanted = workstation_project(
        project or f"workstation-{accelerator}",
        definitions.Compute(
            node_count=nodes, accelerator=f"{accelerator}:{gpus}", availability_model="spot" if spot else "dedicated"
        ),
        image,
        definitions.CheckpointingConfig(
            enabled=enable_checkpointing, checkpoint_path=checkpoint_path, volume_size_gib=checkpoint_volume_size
        ),
        team,
        command=_SLURM if orchestrator else "sleep infinity",
    )
    with connect(remote, deadline=PATIENTLY if tail else AT_ONCE) as client, tempfile.TemporaryDirectory() as folder:
        if client.remote.is_local:
            raise BadOptions("The local platform has no workstations: its jobs run on this machine already.")
        if checkpoint_from_job is not None:
            wanted = runs.starting_from(wanted, _checkpoint(client, checkpoint_from_job))
        for script in slurm_scripts() if orchestrator else []:
            Path(shutil.copy(script, folder)).chmod(0o755)
        listener = json_lines if tail and form is Format.JSON else narrator()
        with interruptible(lambda: ["Whether it was created already, this tells:", "  truss-train jobs"]):
            flow = pushing.push_flow(pushing.for_team(wanted, client.remote), Path(folder))
            job = client.run(flow, on_event=listener).job
        hosts = ssh_hosts(job.id, nodes, client.remote.name)
        if form is Format.JSON and not tail:
            output.print_json({"training_job": job, "ssh_hosts": hosts})
            return
        output.messages(["Once it runs, log in (`truss ssh setup` prepares for that, once):"])
        output.messages(f"  ssh {host}" for host in hosts)
        if tail:
            follow(client, job, form)
        else:
            output.messages(ways_on(job))


def workstation_project(
    name: str,
    compute: definitions.Compute,
    image: str | None,
    checkpointing: definitions.CheckpointingConfig,
    team: str | None,
    *,
    command: str = "sleep infinity",
) -> definitions.TrainingProject:
    """The job of a workstation: it sleeps, shares the project's cache, and opens for SSH when it starts.

    Another `command` prepares its nodes, and does not end.
    """
    from truss_train_core import definitions

    newer = compute.accelerator and compute.accelerator.accelerator in ("B300", "GB300")
    return definitions.TrainingProject(
        name=name,
        team_name=team,
        job=definitions.TrainingJob(
            image=definitions.Image(base_image=image or (_NEWER_IMAGE if newer else _IMAGE)),
            compute=compute,
            runtime=definitions.Runtime(
                start_commands=[command],
                cache_config=definitions.CacheConfig(enabled=True, require_cache_affinity=False),
                checkpointing_config=checkpointing,
            ),
            interactive_session=definitions.InteractiveSession(
                trigger=definitions.InteractiveSessionTrigger.ON_STARTUP,
                session_provider=definitions.InteractiveSessionProvider.SSH,
            ),
        ),
    )


def slurm_scripts() -> list[Path]:
    """The scripts with which truss makes a Slurm cluster of nodes; they are its own, and belong to its version."""
    found = importlib.util.find_spec("truss")
    folders = found.submodule_search_locations if found else None
    scripts = [path for folder in folders or [] for path in Path(folder).glob("templates/workstation/*.sh")]
    if not scripts:
        raise BadOptions(
            "--orchestrator slurm takes the scripts of the truss package, which are not installed.",
            hint="Install it beside this one (pip install truss), or leave the option out: the nodes then just wait.",
        )
    return sorted(scripts)


def ssh_hosts(job_id: str, nodes: int, remote: str) -> list[str]:
    """The names under which truss's SSH proxy reaches the nodes of a job; a remote of another name is part of them."""
    domain = SSH_DOMAIN if remote == options.DEFAULT_REMOTE else f"{remote}.{SSH_DOMAIN}"
    return [f"training-job-{job_id}-{rank}.{domain}" for rank in range(nodes)]


def _codes(client: Client, job: TrainingJob) -> list[AuthCode]:
    from truss_train_core import jobs
    from truss_train_core.api import endpoints

    codes = client.send(endpoints.auth_codes(job.training_project_id, job.id)).auth_codes
    if codes:
        return codes
    if client.remote.is_local:
        raise BadOptions("The local platform has no interactive sessions: its jobs run on this machine already.")
    raise BadOptions(
        f"{jobs.describe(job)} has no interactive session, or none yet.",
        hint="A job has one where its definition has an interactive_session, some time after it runs.",
    )


def _change(
    client: Client, job: TrainingJob, codes: list[AuthCode], minutes: int | None, trigger: Trigger | None
) -> list[InteractiveSessionAnswer]:
    from truss_train_core.api import endpoints

    return [
        client.send(
            endpoints.update_interactive_session(
                job.training_project_id,
                job.id,
                session_id,
                timeout_minutes=minutes,
                trigger=trigger.value if trigger else None,
            )
        )
        for session_id in dict.fromkeys(code.session_id for code in codes)
    ]


def _checkpoint(client: Client, job_id: str) -> runs.CheckpointRef:
    from truss_train_core import checkpoints, jobs, runs

    job = client.run(jobs.find(job_id))
    found = client.run(checkpoints.newest_verified([job]))
    return runs.CheckpointRef(job_id=job.id, name=found.name, step=found.step)


def _table(codes: list[AuthCode]) -> Table:
    table = output.table("REPLICA", "CODE", "ADDRESS", "DIRECTORY", "EXPIRES")
    for code in codes:
        expires = code.expires_at.isoformat(timespec="minutes") if code.expires_at else ""
        table.add_row(code.replica_id, code.auth_code, code.auth_url, code.working_directory or "", expires)
    return table
