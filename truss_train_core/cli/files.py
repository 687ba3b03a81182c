"""`truss-train download`, `get-checkpoint-urls` and `cache summarize`."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truss_train_core.cli import options, output
from truss_train_core.cli.connection import PATIENTLY, connect
from truss_train_core.cli.failures import BadOptions
from truss_train_core.cli.output import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from truss_train_core.api.models import CachedFile, TrainingJob

cache = typer.Typer(no_args_is_help=True, help="The cache that the jobs of a project share.")


class CacheOrder(str, Enum):
    """The values of `--sort` for files of a cache."""

    FILEPATH = "filepath"
    SIZE = "size"
    MODIFIED = "modified"
    TYPE = "type"
    PERMISSIONS = "permissions"


_CACHE_KEYS: dict[CacheOrder, Callable[[CachedFile], Any]] = {
    CacheOrder.FILEPATH: lambda file: file.path,
    CacheOrder.SIZE: lambda file: file.size_bytes,
    CacheOrder.MODIFIED: lambda file: file.modified,
    CacheOrder.TYPE: lambda file: file.file_type,
    CacheOrder.PERMISSIONS: lambda file: file.permissions,
}


def download(
    job_id: Annotated[str, typer.Option("--job-id", metavar="JOB", help="Job, by id or name.", show_default=False)],
    target_directory: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, help="Where to put it.", show_default=False)
    ] = Path(),
    no_unzip: Annotated[bool, typer.Option("--no-unzip", help="Keep the archive as it is.")] = False,
    project: options.Project = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Download the files that a job was made from, to a directory of its own. Nothing that exists is replaced."""
    from truss_train_core import jobs
    from truss_train_core.api import endpoints

    with connect(remote, deadline=PATIENTLY) as client:
        job = client.run(jobs.find(job_id, project=project))
        name = _file_name(job)
        _refuse_existing(target_directory / name, target_directory / f"{name}.tgz")
        urls = client.send(endpoints.download_job(job.training_project_id, job.id)).artifact_presigned_urls
    if not urls:
        raise BadOptions(f"{jobs.describe(job)} was made without files.")
    target_directory.mkdir(parents=True, exist_ok=True)
    with _archives(urls, target_directory, jobs.describe(job)) as archives:
        paths = _keep(archives, target_directory, name) if no_unzip else [_unpack(archives, target_directory, name)]
    if form is Format.JSON:
        output.print_json({"paths": [str(path) for path in paths]})
    else:
        for path in paths:
            output.stdout().print(str(path), soft_wrap=True)


def get_checkpoint_urls(
    job_id: options.JobId = None,
    project: options.Project = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Write presigned addresses of all checkpoint files to PROJECT_JOB_checkpoints.json; with -o json, to stdout.

    They are as good as keys, and live for seven days.
    """
    from truss_train_core import checkpoints, jobs

    with connect(remote) as client:
        job = client.run(jobs.find(job_id, project=project))
        files = client.run(checkpoints.list_files(job))
    document = {"timestamp": datetime.now(timezone.utc).isoformat(), "job": job, "checkpoint_artifacts": files}
    if form is Format.JSON:
        output.print_json(document)
        return
    path = Path(f"{_file_name(job)}_checkpoints.json")
    path.unlink(missing_ok=True)  # a new one, so that nobody else may read it
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(output.as_json(document) + "\n")
    output.message(f"{len(files)} addresses, which are as good as keys and live for seven days.")
    output.stdout().print(str(path), soft_wrap=True)


@cache.command()
def summarize(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="Project, by name or id.", show_default=False)],
    sort: Annotated[CacheOrder, typer.Option("--sort", help="By what.")] = CacheOrder.FILEPATH,
    order: options.Order = options.Direction.ASCENDING,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.TableOutput = options.TableFormat.TEXT,
) -> None:
    """List the files in a project's cache."""
    from truss_train_core import jobs
    from truss_train_core.api import endpoints

    with connect(remote) as client:
        summary = client.send(endpoints.cache_summary(client.run(jobs.find_project(project)).id))
    files = sorted(summary.file_summaries, key=_CACHE_KEYS[sort], reverse=order is options.Direction.DESCENDING)
    if form is options.TableFormat.JSON:
        output.print_json(summary.model_copy(update={"file_summaries": files}))
    elif form is options.TableFormat.CSV:
        output.print_csv(
            ("path", "size_bytes", "modified", "file_type", "permissions"), (f.model_dump() for f in files)
        )
    elif files:
        table = output.table("FILE", "SIZE", "MODIFIED", "TYPE", "PERMISSIONS", right=("SIZE",), gives_way=("FILE",))
        for file in files:
            path = output.may_be_cut(file.path)
            table.add_row(path, output.size(file.size_bytes), file.modified, file.file_type, file.permissions)
        output.stdout().print(table)
        output.message(f"{len(files)} files, {output.size(sum(file.size_bytes for file in files))}.")
    else:
        output.message("The cache is empty.")


def _file_name(job: TrainingJob) -> str:
    """What to call something of a job; safe as a file's name, whatever the project is called."""
    project = re.sub(r"[^A-Za-z0-9._-]+", "-", job.training_project.name).lstrip(".")
    return f"{project}_{job.id}"


def _refuse_existing(*paths: Path) -> None:
    for path in paths:
        if os.path.lexists(path):
            raise BadOptions(
                f"{path} exists already, and nothing is replaced.", hint="Move it, or add --target-directory."
            )


@contextmanager
def _archives(urls: Sequence[str], directory: Path, about: str) -> Iterator[list[Path]]:
    """The archives, downloaded beside where they are to go, for as long as this lasts."""
    from truss_train_core.api.downloads import pieces
    from truss_train_core.cli.progress import download_bar

    with tempfile.TemporaryDirectory(dir=directory, prefix=".download-") as folder, download_bar() as progress:
        paths = [Path(folder) / f"archive-{number}" for number in range(len(urls))]
        for url, path in zip(urls, paths, strict=True):
            with path.open("wb") as file:
                for piece in pieces(url, f"files of {about}"):
                    file.write(piece)
                    progress(len(piece))
        yield paths


def _keep(archives: Sequence[Path], directory: Path, name: str) -> list[Path]:
    """Archives under their names: the first as PROJECT_JOB.tgz, though it may be compressed or not."""
    targets = [directory / f"{name}{f'-{number}' if number else ''}.tgz" for number in range(len(archives))]
    _refuse_existing(*targets)
    return [archive.rename(target) for archive, target in zip(archives, targets, strict=True)]


def _unpack(archives: Iterable[Path], directory: Path, name: str) -> Path:
    """Unpack, and give the directory its name once all is there."""
    from truss_train_core.local.processes.unpack import unpack

    with tempfile.TemporaryDirectory(dir=directory, prefix=".download-") as folder:
        files = Path(folder) / name
        files.mkdir()
        unpack(archives, files)
        return files.rename(directory / name)
