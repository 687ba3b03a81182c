"""From a job as the platform remembers it to what a runner is told."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from truss_train_core.definitions import SecretReference
from truss_train_core.local.runner import JobSpec, LoadedCheckpoint
from truss_train_core.local.server.database import Job, Project, Secret
from truss_train_core.local.server.job_bodies import notices, read_job
from truss_train_core.local.server.platform import Platform
from truss_train_core.local.server.problems import invalid
from truss_train_core.local.server.references import Pinned, stored_folders


def job_spec(platform: Platform, session: Session, job_id: str) -> JobSpec:
    """What the runner is told. Secrets are resolved now, to the values that they have now.

    Raises:
        Problem: a secret or a checkpoint that was there at creation is gone.
    """
    job = session.scalars(select(Job).where(Job.id == job_id).options(undefer(Job.body), undefer(Job.loaded))).one()
    project = session.get_one(Project, job.project_id)
    request, data = read_job(job.body), platform.data
    runtime = request.job.runtime
    cache = runtime.cache_config if runtime.cache_config and runtime.cache_config.enabled else None
    load = runtime.load_checkpoint_config if job.loaded else None
    environment, secrets = resolve_environment(session, project.team_id, runtime.environment_variables)
    return JobSpec(
        job_id=job.id,
        job_name=job.name,
        project_id=project.id,
        project_name=project.name,
        directory=data.job(job.id),
        archives=tuple(data.upload(artifact.s3_key) for artifact in request.artifacts),
        start_commands=tuple(runtime.start_commands),
        environment=environment,
        secrets=secrets,
        base_image=request.job.image.base_image,
        node_count=job.node_count,
        cpu_count=request.job.compute.cpu_count,
        accelerator=request.accelerator,
        gpus=request.gpus,
        checkpointing=runtime.checkpointing_config.enabled,
        checkpoint_dir=runtime.checkpointing_config.checkpoint_path,
        checkpoint_store=data.checkpoints(project.id, job.id),
        load_dir=load.download_folder if load else None,
        loaded=tuple(_loaded(platform, Pinned(**pinned)) for pinned in job.loaded),
        project_cache=data.project_cache(project.id) if cache else None,
        team_cache=data.team_cache(project.team_id) if cache else None,
        cache_mount=cache.mount_base_path if cache else "/root/.cache",
        legacy_hf_cache=data.huggingface_cache(project.id) if cache and cache.enable_legacy_hf_mount else None,
        baseten_workdir=request.job.enable_baseten_workdir,
        stop_grace=platform.stop_grace,
        python=platform.python,
        sandboxed=platform.sandboxed,
        notices=notices(request),
    )


def resolve_environment(
    session: Session, team_id: str, variables: Mapping[str, str | SecretReference]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Values of environment variables, those of secrets put in place; and which values are secrets.

    Raises:
        Problem: 400: there is no such secret.
    """
    known = session.scalars(select(Secret).where(Secret.team_id == team_id))
    secrets = {secret.name: secret.value for secret in known}
    values, used = {}, []
    for name, value in variables.items():
        if isinstance(value, str):
            values[name] = value
        elif value.name in secrets:
            values[name] = secrets[value.name]
            used.append(secrets[value.name])
        else:
            raise invalid(f"There is no secret {value.name!r} for the environment variable {name}.")
    return values, tuple(used)


def _loaded(platform: Platform, pinned: Pinned) -> LoadedCheckpoint:
    source = platform.data.checkpoints(pinned.project_id, pinned.job_id)
    if not stored_folders(platform.data, pinned.project_id, pinned.job_id, pinned.checkpoint_name):
        raise invalid(f"Checkpoint {pinned.checkpoint_name!r} of job {pinned.job_id} was deleted meanwhile.")
    return LoadedCheckpoint(source=source, checkpoint_name=pinned.checkpoint_name, folder=pinned.folder)
