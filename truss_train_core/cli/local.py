"""`truss-train serve` and `truss-train local …`: the platform on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from truss_train_core.cli import options, output
from truss_train_core.cli.connection import all_is_loaded, connect
from truss_train_core.cli.failures import BadOptions
from truss_train_core.cli.output import Format
from truss_train_core.errors import LocalPlatformError, RemoteError

if TYPE_CHECKING:
    from truss_train_core.local.serve import Ready, ServeOptions

app = typer.Typer(no_args_is_help=True, help="What only the local platform can do.")


def serve(
    port: Annotated[
        int,
        typer.Option(metavar="NUMBER", min=0, max=65535, help="0 for any that is free. The truss CLI expects 8000."),
    ] = 8000,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to bind. Who reaches it with the key runs commands here.")
    ] = "127.0.0.1",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Name that clients reach it by, beside this machine's own; may be repeated."),
    ] = None,
    data_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where everything is kept.")] = Path("~/.truss-train"),
    api_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            envvar="TRUSS_TRAIN_SERVE_KEY",
            help="What clients send; otherwise the key of last time, or a new one.",
        ),
    ] = None,
    capacity: Annotated[
        str, typer.Option(metavar="H100=8,…", show_default=False, help="GPUs by type, and CPU cores, that jobs share.")
    ] = "",
    python: Annotated[
        Path,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, show_default=False, help="Interpreter whose packages jobs see."
        ),
    ] = Path(sys.executable),
    stop_grace: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Between SIGTERM and SIGKILL for jobs.")
    ] = 30.0,
    remote: Annotated[
        str, typer.Option(metavar="NAME", help="Section of ~/.trussrc to write address and key into; '' for none.")
    ] = "local",
    sandbox: Annotated[
        bool | None,
        typer.Option(
            "--sandbox/--no-sandbox",
            show_default=False,
            help="Run jobs and deployments in a sandbox (bubblewrap), or not; otherwise where that is possible.",
        ),
    ] = None,
    stop_all_on_exit: Annotated[
        bool, typer.Option("--stop-all-on-exit", help="End jobs and deployments too; otherwise they go on.")
    ] = False,
    form: options.Output = Format.TEXT,
) -> None:
    """Serve the management API on this machine, and really run the jobs."""
    try:
        from truss_train_core.local.serve import ServeOptions, serve
        from truss_train_core.local.server.scheduler import parse_capacity
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    try:
        sizes = parse_capacity(capacity) if capacity else {}
    except ValueError as error:
        raise BadOptions(f"--capacity: {error}") from error

    chosen = ServeOptions(
        port=port,
        host=host,
        allowed_hosts=tuple(allowed_host or ()),
        data_dir=data_dir,
        api_key=api_key,
        capacity=sizes,
        stop_grace=stop_grace,
        python=python,
        remote=remote or None,
        sandbox=sandbox,
        stop_all_on_exit=stop_all_on_exit,
    )
    all_is_loaded()
    serve(chosen, lambda ready: _say_ready(chosen, ready, form))
    if form is Format.TEXT:
        output.message("Stopped." if stop_all_on_exit else "Stopped; jobs and deployments that run go on without it.")


@app.command("sign-in")
def sign_in(remote: options.Remote = "local", form: options.Output = Format.TEXT) -> None:
    """Print a link to the platform's pages that signs one browser in."""
    from truss_train_core.api import endpoints

    with connect(remote) as client:
        _check_local(client.remote.is_local, remote)
        link = client.send(endpoints.new_sign_in_link())
    if form is Format.JSON:
        output.print_json(link)
    else:
        output.stdout().print(link.url, soft_wrap=True)


@app.command()
def preempt(
    job: Annotated[
        str | None,
        typer.Argument(metavar="[JOB]", help="Spot job that runs, by id or name; the newest one if not given."),
    ] = None,
    remote: options.Remote = "local",
    form: options.Output = Format.TEXT,
) -> None:
    """Take a spot job away, as a reclaim of its machines would: to see a resume before one has to pay for it."""
    from truss_train_core import jobs
    from truss_train_core.api import endpoints

    with connect(remote) as client:
        _check_local(client.remote.is_local, remote)
        found = client.run(jobs.find(job))
        preempted = client.send(endpoints.preempt_job(found.id)).training_job
    if form is Format.JSON:
        output.print_json(preempted)
    else:
        output.message(f"Took {jobs.describe(found)} away.")


def _check_local(is_local: bool, remote: str | None) -> None:
    if not is_local:
        raise RemoteError(f"Remote {remote!r} is not a local platform, and only that can do this.")


def _say_ready(chosen: ServeOptions, ready: Ready, form: Format) -> None:
    if form is Format.JSON:
        said = {
            "url": ready.url,
            "key_file": str(ready.key_file),
            "remote": chosen.remote,
            "sign_in": ready.sign_in,
            "sandboxed": ready.unsandboxed is None,
        }
        output.print_json(said, indent=None)
        return
    reach = f"use it with --remote {chosen.remote}" if chosen.remote else f"its key is in {ready.key_file}"
    say = output.stdout().print
    say(f"Serving {ready.url} from {ready.key_file.parent}; {reach}. Ctrl-C stops it.", soft_wrap=True)
    if ready.unsandboxed is None:
        seen = "of this machine's files they see the system's programs and what is their own"
        say(f"Jobs run in a sandbox: {seen}.", soft_wrap=True)
    else:
        say(f"Jobs run without a sandbox, and may do what you may: {ready.unsandboxed}.", soft_wrap=True)
    say(f"In a browser: {ready.sign_in} (works once; `truss-train local sign-in` prints another)", soft_wrap=True)


def _not_installed(error: ModuleNotFoundError) -> Exception:
    if (error.name or "").startswith("truss_train_core"):
        return error
    return LocalPlatformError(
        f"The local platform is not installed: there is no module {error.name}.",
        hint='Install it with: pip install "truss-train-core[local]"',
    )
