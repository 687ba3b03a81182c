"""What a job leaves behind: logs, metrics, checkpoints, and the archives it was made from."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from truss_train_core.api import models
from truss_train_core.api.models import LOG_DEFAULT_WINDOW_MILLIS, LOG_LIMIT, LOG_WINDOW_MILLIS
from truss_train_core.local import joblogs, samples
from truss_train_core.local.runner import Sample, StoredCheckpoint
from truss_train_core.local.server import answers
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.job_bodies import read_job
from truss_train_core.local.server.lifecycle import find_job
from truss_train_core.local.server.problems import invalid
from truss_train_core.local.server.references import stored_checkpoints

EpochMillis = Annotated[int, Field(ge=0, lt=253_402_300_800_000)]
"""Milliseconds since the epoch, up to the year 9999: there are no later dates."""


class LogQuery(BaseModel):
    """Which lines: by default the newest 500 of the last half hour, newest first."""

    start_epoch_millis: EpochMillis | None = None
    end_epoch_millis: EpochMillis | None = None
    direction: Literal["asc", "desc"] | None = None
    limit: int | None = Field(default=500, ge=1, le=LOG_LIMIT)
    min_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None


class _MetricsQuery(BaseModel):
    start_epoch_millis: EpochMillis | None = None
    end_epoch_millis: EpochMillis | None = None
    step_seconds: int | None = Field(default=None, ge=1, le=10**9)


class _FilesQuery(BaseModel):
    page_size: int = Field(default=1000, ge=1, le=1000)
    page_token: int = Field(default=0, ge=0)


# ---------------------------------------------------------------- logs


def read_logs(directory: Path, query: LogQuery, now: float) -> list[models.LogLine]:
    """Lines of a job or a deployment.

    Raises:
        Problem: 400: the window is longer than seven days.
    """
    end = int(now * 1000) + 1 if query.end_epoch_millis is None else query.end_epoch_millis
    start = end - LOG_DEFAULT_WINDOW_MILLIS if query.start_epoch_millis is None else query.start_epoch_millis
    if end - start > LOG_WINDOW_MILLIS:
        raise invalid("start_epoch_millis: at most seven days of logs are read at once; page through longer times.")
    return joblogs.read_window(
        directory,
        start_ms=start,
        end_ms=end,
        descending=query.direction != "asc",
        limit=query.limit or 500,
        min_level=query.min_level,
    )


def get_logs(call: Call) -> Answer:
    job = _job(call)  # looked at before its log: whatever a job prints is in its log before it has ended
    lines = read_logs(call.platform.data.job(job.id), call.asked(LogQuery), call.platform.now())
    return models.LogsAnswer(logs=lines, complete=job.is_terminal)


# ---------------------------------------------------------------- metrics


def get_metrics(call: Call) -> Answer:
    query = call.asked(_MetricsQuery)
    job = _job(call)
    directory = call.platform.data.job(job.id)
    nodes = samples.read(
        directory, _moment(query.start_epoch_millis), _moment(query.end_epoch_millis), query.step_seconds
    )
    leader = nodes[0] if nodes else []
    cached = [sample for sample in leader if sample.cache_usage_bytes is not None]
    cache = models.StorageMetrics(
        usage_bytes=[_point(sample, sample.cache_usage_bytes or 0) for sample in cached],
        utilization=[_point(sample, sample.disk_utilization) for sample in cached],
    )
    return models.MetricsAnswer(
        training_job=job,
        cache=cache if cached else None,
        per_node_metrics=[
            models.PerNodeMetrics(node_id=joblogs.replica_of(rank), metrics=models.NodeMetrics(**_series(node)))
            for rank, node in enumerate(nodes)
        ],
        **_series(leader),
    )


def _series(node: list[Sample]) -> dict[str, object]:
    gpus = sorted({gpu for sample in node for gpu in sample.gpu_utilization})
    return {
        "cpu_usage": [_point(sample, sample.cpu_usage) for sample in node],
        "cpu_memory_usage_bytes": [_point(sample, sample.cpu_memory_usage_bytes) for sample in node],
        "ephemeral_storage": models.StorageMetrics(
            usage_bytes=[_point(sample, sample.disk_usage_bytes) for sample in node],
            utilization=[_point(sample, sample.disk_utilization) for sample in node],
        ),
        "gpu_utilization": {
            gpu: [_point(sample, sample.gpu_utilization[gpu]) for sample in node if gpu in sample.gpu_utilization]
            for gpu in gpus
        },
        "gpu_memory_usage_bytes": {
            gpu: [
                _point(sample, sample.gpu_memory_usage_bytes[gpu])
                for sample in node
                if gpu in sample.gpu_memory_usage_bytes
            ]
            for gpu in gpus
        },
    }


def _point(sample: Sample, value: float) -> models.MetricPoint:
    return models.MetricPoint(timestamp=sample.timestamp, value=value)


def _moment(millis: int | None) -> datetime | None:
    return None if millis is None else datetime.fromtimestamp(millis / 1000, timezone.utc)


# ---------------------------------------------------------------- checkpoints


def list_checkpoints(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        job = answers.get_job(session, call.path["project_id"], call.path["job_id"])
    return models.CheckpointsAnswer(
        training_job=job,
        checkpoints=[
            models.Checkpoint(
                training_job_id=job.id,
                checkpoint_id=stored.name,
                created_at=stored.created_at,
                checkpoint_type=stored.kind,
                base_model=stored.base_model,
                lora_adapter_config=stored.lora_adapter_config,
                size_bytes=stored.size_bytes,
                sync_status="COMPLETE" if stored.complete else "SYNCING",
            )
            for stored in _stored(call, job.id)
        ],
    )


def list_checkpoint_files(call: Call) -> Answer:
    """One page of the files of all complete checkpoints, with presigned addresses. A page token is an offset."""
    query = call.options(_FilesQuery)
    with call.platform.database.reading() as session:
        job = find_job(session, call.path["project_id"], call.path["job_id"])
    files = sorted(
        (file for stored in _stored(call, job.id) if stored.complete for file in stored.files),
        key=lambda file: (file.path.split("/"), file.rank),
    )
    store, platform = call.platform.data.checkpoints(job.project_id, job.id), call.platform
    base = store.relative_to(platform.data.root)
    after = query.page_token + query.page_size
    return models.CheckpointFilesAnswer(
        presigned_urls=[
            models.CheckpointFile(
                url=platform.presigner.url(call.base_url, f"{base}/rank-{file.rank}/{file.path}", platform.now()),
                relative_file_name=file.path,
                node_rank=file.rank,
                size_bytes=file.size_bytes,
                last_modified=file.last_modified.isoformat(),
            )
            for file in files[query.page_token : after]
        ],
        next_page_token=after if after < len(files) else None,
        total_count=len(files),
    )


def download(call: Call) -> Answer:
    """Addresses of the archives that the job was made from."""
    with call.platform.database.reading() as session:
        request = read_job(find_job(session, call.path["project_id"], call.path["job_id"]).body)
    platform = call.platform
    return models.DownloadAnswer(
        artifact_presigned_urls=[
            platform.presigner.url(call.base_url, f"uploads/{artifact.s3_key}", platform.now())
            for artifact in request.artifacts
        ]
    )


def _stored(call: Call, job_id: str) -> tuple[StoredCheckpoint, ...]:
    return stored_checkpoints(call.platform.data, call.path["project_id"], job_id)


def _job(call: Call) -> models.TrainingJob:
    with call.platform.database.reading() as session:
        return answers.get_job(session, call.path["project_id"], call.path["job_id"])


_JOB = "/v1/training_projects/{project_id}/jobs/{job_id}"
ROUTES = (
    Route("GET", _JOB + "/logs", get_logs),
    Route("POST", _JOB + "/logs", get_logs),
    Route("GET", _JOB + "/metrics", get_metrics),
    Route("POST", _JOB + "/metrics", get_metrics),
    Route("GET", _JOB + "/checkpoints", list_checkpoints),
    Route("GET", _JOB + "/checkpoint_files", list_checkpoint_files),
    Route("GET", _JOB + "/download", download),
)
