"""From a definition and its working directory to a job.

The directory is looked at before anything is created remotely, and the archive is uploaded while it is made. Then the
order is the current client's (seen on the wire): project, credentials, archive, job.

    result = push("./training/config.py")
    print(result["training_project"]["id"], result["training_job"]["id"])
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from truss_train_core import jobs, package
from truss_train_core.api.client import Client
from truss_train_core.api.flows import Flow, Tell, long_work, work
from truss_train_core.api.models import UploadCredentials, Wire
from truss_train_core.config_file import load_training_project
from truss_train_core.definitions import TrainingProject
from truss_train_core.events import ArchiveUploading
from truss_train_core.jobs import Submitted
from truss_train_core.remotes import Remote

Progress = Callable[[int], None]
"""Called with each number of bytes that were handed over for upload, in the thread that uploads."""

TOLD_EVERY = 10.0
"""Seconds between two events that tell how far an upload is; one that takes less tells nothing."""


class PushResult(dict[str, Any]):
    """The pushed job and its project, as JSON.

    It serves every form in which the documentation and recipes use it: `["training_project"]["id"]`,
    `["training_job"]["id"]`, the fields of the job themselves (`["id"]`, `["current_status"]`), and all of these as
    attributes (`.training_job.id`).
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"a push result has no {name!r}") from None


def push(
    config: str | os.PathLike[str] | TrainingProject,
    remote: Remote | str = "baseten",
    *,
    source_dir: str | os.PathLike[str] | None = None,
    team_id: str | None = None,
) -> PushResult:
    """Submit a training job and return at once. Pushed twice, there are two jobs.

    Args:
        config: path of a config.py, or a definition.
        remote: a remote, or the name of one.
        source_dir: the working directory; by default that of the config file, or the current one for a definition.
        team_id: whose project it is; by default the team of the definition, then that of the remote.

    Raises:
        ConfigFileError, PackageError, RemoteError: nothing was created.
        UploadError, ApiError, Unreachable: no job was created.
        AnswerLost: a job may have been created; the message says where to look.
    """
    project, directory = read_config(config, source_dir)
    with Client(remote) as client:
        return push_result(client.run(push_flow(for_team(project, client.remote), directory, team_id=team_id)))


def push_flow(
    project: TrainingProject,
    source_dir: Path,
    *,
    packed: package.Package | None = None,
    team_id: str | None = None,
    progress: Progress | None = None,
) -> Flow[Submitted]:
    """As `push`, for a client of one's own; `packed` is what `prepare` said, where it was asked already.

    How far the upload is, `progress` is told, or an event every `TOLD_EVERY` seconds where that is None.
    """
    upload, user_env = yield from _pack(project, source_dir, packed, progress)
    return (yield from jobs.submit(project, upload, user_env=user_env, team_id=team_id))


def push_once_flow(project: TrainingProject, source_dir: Path, *, team_id: str | None = None) -> Flow[Submitted]:
    """As `push_flow`, but the job's name is a key: the job of this name is created once, and adopted ever after.

    See `jobs.submit_once`; `jobs.job_name` makes such a name. How far the upload is, events tell.
    """
    upload, user_env = yield from _pack(project, source_dir, None, None)
    return (yield from jobs.submit_once(project, upload, user_env=user_env, team_id=team_id))


def preview(
    config: str | os.PathLike[str] | TrainingProject, *, source_dir: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """What a push would send, without any call: `training_project`, `training_job` and `files`.

    `training_job` lacks only the address of the archive, which the server gives. It holds plain environment variables.

    Raises:
        ConfigFileError, PackageError: as `push`.
    """
    project, directory = read_config(config, source_dir)
    packed = prepare(project, directory)
    return {
        "training_project": project.wire_body(),
        "training_job": project.job.wire_body(truss_user_env=package.user_env(directory)),
        "files": [{"path": file.arcname, "size_bytes": file.size} for file in packed.files],
    }


def read_config(
    config: str | os.PathLike[str] | TrainingProject, source_dir: str | os.PathLike[str] | None = None
) -> tuple[TrainingProject, Path]:
    """A definition and its working directory.

    Raises:
        ConfigFileError: the file does not hold exactly one definition.
    """
    if isinstance(config, TrainingProject):
        return config, Path(source_dir or Path.cwd()).absolute()
    path = Path(config).absolute()
    return load_training_project(path), Path(source_dir).absolute() if source_dir else path.parent


def prepare(project: TrainingProject, source_dir: Path) -> package.Package:
    """What travels with the job of a definition; see `package.prepare`."""
    return package.prepare(source_dir, project.job.workspace, runtime_config=project.runtime_config)


def for_team(project: TrainingProject, remote: Remote) -> TrainingProject:
    """The definition, for the remote's team if it names none itself."""
    if project.team_name or not remote.team:
        return project
    return project.model_copy(update={"team_name": remote.team})


def push_result(submitted: Submitted) -> PushResult:
    """The result that `push` returns."""
    project, job = _as_result(submitted.project), _as_result(submitted.job)
    return PushResult(job, training_project=project, training_job=job)


def _as_result(model: Wire) -> PushResult:
    return PushResult(model.model_dump(mode="json"))


def _pack(
    project: TrainingProject, source_dir: Path, packed: package.Package | None, progress: Progress | None
) -> Flow[tuple[jobs.Upload, dict[str, Any]]]:
    found = packed or (yield from work(lambda: prepare(project, source_dir)))
    user_env = yield from work(lambda: package.user_env(source_dir))
    return _upload(found, progress), user_env


def _upload(packed: package.Package, progress: Progress | None) -> jobs.Upload:
    def upload(credentials: UploadCredentials) -> Flow[None]:
        keys = credentials.creds
        target = package.UploadTarget(
            bucket=credentials.s3_bucket,
            key=credentials.s3_key,
            access_key_id=keys.aws_access_key_id,
            secret_access_key=keys.aws_secret_access_key,
            session_token=keys.aws_session_token,
            endpoint_url=keys.endpoint_url,
            region=keys.region_name,
        )
        yield from long_work(
            lambda tell: package.upload(packed, target, progress=progress or _now_and_then(tell, packed))
        )

    return upload


def _now_and_then(tell: Tell, packed: package.Package) -> Progress:
    """Tells how far an upload is every `TOLD_EVERY` seconds, and of its end where it told anything before."""
    size, sent, told = package.archive_size(packed), 0, False
    due = time.monotonic() + TOLD_EVERY

    def count(handed_over: int) -> None:
        nonlocal sent, told, due
        sent += handed_over
        if time.monotonic() >= due or (told and sent == size):
            tell(ArchiveUploading(sent_bytes=sent, size_bytes=size))
            told, due = True, time.monotonic() + TOLD_EVERY

    return count
