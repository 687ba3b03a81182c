"""What travels on the wire, as the OpenAPI names it. Both ends use these classes: our client and the local platform.

Unknown fields are dropped and unknown status texts kept, so that a newer API does not break an older client. Times are
aware datetimes; sizes are bytes; logs carry nanoseconds since the epoch, as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from pydantic import ConfigDict, Field

from truss_train_core.values import Value

LOG_WINDOW_MILLIS = 7 * 24 * 3600 * 1000
"""The longest window of one log request, in milliseconds (OpenAPI)."""
LOG_DEFAULT_WINDOW_MILLIS = 30 * 60 * 1000
"""The window of a log request without a start: the half hour before its end (OpenAPI)."""
LOG_LIMIT = 1000
"""The most log lines in one answer (OpenAPI)."""

_TERMINAL_ENDINGS = ("_COMPLETED", "_FAILED", "_STOPPED", "_PREEMPTED", "_EXPIRED", "_CANCELED", "_CANCELLED")


class JobStatus:
    """The job statuses that the API is known to use; `current_status` is a free text, so others may appear."""

    PENDING = "TRAINING_JOB_PENDING"
    QUEUED = "TRAINING_JOB_QUEUED"
    CREATED = "TRAINING_JOB_CREATED"
    DEPLOYING = "TRAINING_JOB_DEPLOYING"
    RUNNING = "TRAINING_JOB_RUNNING"
    COMPLETED = "TRAINING_JOB_COMPLETED"
    DEPLOY_FAILED = "TRAINING_JOB_DEPLOY_FAILED"
    FAILED = "TRAINING_JOB_FAILED"
    STOPPED = "TRAINING_JOB_STOPPED"
    PREEMPTED = "TRAINING_JOB_PREEMPTED"

    ACTIVE = (PENDING, QUEUED, CREATED, DEPLOYING, RUNNING)
    """Statuses in which a job waits or runs, and may cost money."""


class DeploymentStatus:
    """The statuses of a deployment (OpenAPI), and what they mean for someone who waits."""

    BUILDING = "BUILDING"
    DEPLOYING = "DEPLOYING"
    LOADING_MODEL = "LOADING_MODEL"
    ACTIVE = "ACTIVE"
    UPDATING = "UPDATING"
    WAKING_UP = "WAKING_UP"
    SCALED_TO_ZERO = "SCALED_TO_ZERO"
    UNHEALTHY = "UNHEALTHY"
    DEACTIVATING = "DEACTIVATING"
    INACTIVE = "INACTIVE"
    BUILD_FAILED = "BUILD_FAILED"
    BUILD_STOPPED = "BUILD_STOPPED"
    DEPLOY_FAILED = "DEPLOY_FAILED"
    FAILED = "FAILED"

    READY = (ACTIVE, SCALED_TO_ZERO)
    """It answers, or wakes up to answer."""
    DEAD = (INACTIVE, BUILD_FAILED, BUILD_STOPPED, DEPLOY_FAILED, FAILED)
    """It does not become ready by itself."""


class Wire(Value):
    """Base of all messages: frozen, tolerant of fields it does not know."""

    model_config = ConfigDict(populate_by_name=True)


# ---------------------------------------------------------------- projects and jobs


class User(Wire):
    email: str | None = None


class InstanceType(Wire):
    """A kind of machine. Limits are per node; memory in MiB, CPU in thousandths of a core."""

    id: str
    name: str
    memory_limit_mib: int = 0
    millicpu_limit: int = 0
    gpu_count: int = 0
    gpu_type: str | None = None
    gpu_memory_limit_mib: int | None = None


class ProjectSummary(Wire):
    id: str
    name: str


class TrainingJob(Wire):
    """A job as the API describes it.

    `error_message` is the cause for a failed job, but mere advice on the queue while a job is pending (seen on the
    wire). `checkpoint_sync_status` is None, "SYNCING" or "COMPLETED".
    """

    id: str
    created_at: datetime
    updated_at: datetime
    current_status: str
    training_project_id: str
    training_project: ProjectSummary
    instance_type: InstanceType | None = None
    name: str | None = None
    error_message: str | None = None
    node_count: int = 1
    priority: int | None = 0
    availability_model: str = "dedicated"
    checkpoint_sync_status: str | None = None
    user: User | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended. An unknown status counts as running, so that nobody stops waiting early."""
        return self.current_status.endswith(_TERMINAL_ENDINGS)

    @property
    def is_queued(self) -> bool:
        """Whether the job waits for machines, and so has neither a log nor checkpoints yet."""
        return self.current_status in (JobStatus.PENDING, JobStatus.QUEUED)

    @property
    def succeeded(self) -> bool:
        return self.current_status == JobStatus.COMPLETED

    @property
    def is_syncing(self) -> bool:
        """Whether checkpoints are still being copied; a completed job may still be."""
        return self.checkpoint_sync_status == "SYNCING"


class TrainingProject(Wire):
    id: str
    name: str
    created_at: datetime
    updated_at: datetime
    team_name: str | None = None
    latest_job: TrainingJob | None = None


class ProjectAnswer(Wire):
    training_project: TrainingProject


class ProjectsAnswer(Wire):
    training_projects: list[TrainingProject]


class JobAnswer(Wire):
    """The answer to create, get, stop, recreate and update."""

    training_job: TrainingJob
    training_project: TrainingProject | None = None


class ProjectJobsAnswer(Wire):
    training_project: TrainingProject
    training_jobs: list[TrainingJob]


class OrderBy(Wire):
    field: str = "created_at"
    order: Literal["asc", "desc"] = "desc"


class SearchJobs(Wire):
    """Body of a search: one project, one job or everything; sorted by creation time; not paged (OpenAPI)."""

    statuses: list[str] | None = None
    project_id: str | None = None
    job_id: str | None = None
    order_by: list[OrderBy] = Field(default_factory=lambda: [OrderBy()])


class JobsAnswer(Wire):
    training_jobs: list[TrainingJob]

    @cached_property
    def by_id(self) -> dict[str, TrainingJob]:
        """The jobs by their ids, sorted once for all who share this answer."""
        return {job.id: job for job in self.training_jobs}


class AWSCredentials(Wire):
    """Temporary keys for one upload. A server may add its endpoint and region (seen on the wire)."""

    aws_access_key_id: str = Field(repr=False)
    aws_secret_access_key: str = Field(repr=False)
    aws_session_token: str | None = Field(default=None, repr=False)
    endpoint_url: str | None = None
    region_name: str | None = None


class UploadCredentials(Wire):
    creds: AWSCredentials
    s3_bucket: str
    s3_key: str


class DownloadAnswer(Wire):
    """Presigned addresses of the archives that a job was made from: as good as keys."""

    artifact_presigned_urls: list[str] = Field(repr=False)


class CachedFile(Wire):
    """A file in a project's cache. `path` is relative to the cache; `modified` is a time as text."""

    path: str
    size_bytes: int
    modified: str
    file_type: str
    permissions: str


class CacheSummary(Wire):
    timestamp: str
    project_id: str
    file_summaries: list[CachedFile]


# ---------------------------------------------------------------- capacity and the queue


class GpuCapacity(Wire):
    """GPUs of one type. Jobs below `baseline` are expected to start at once; spot jobs may exceed `limit` (OpenAPI)."""

    gpu_type: str
    baseline: int
    limit: int
    usage_count: int
    dedicated_usage_count: int = 0
    spot_usage_count: int = 0


class TeamGpuCapacity(GpuCapacity):
    """What one team may use of a type."""

    team_id: str
    team_name: str


class CapacityAnswer(Wire):
    gpu_capacities: list[GpuCapacity]
    team_gpu_capacities: list[TeamGpuCapacity] = Field(default=[])


class TeamCapacityAnswer(Wire):
    team_gpu_capacity: TeamGpuCapacity


class CapacityLimit(Wire):
    """A limit as it stands now; it may have been changed since the job was submitted, at `last_modified`."""

    gpu_type: str
    max_gpus: int
    last_modified: datetime
    min_gpus: int | None = None


class ActiveJob(Wire):
    """A job that held capacity when another was submitted."""

    training_job_id: str
    training_job_name: str | None = None
    instance_type_name: str
    total_gpus: int
    workload_plane_name: str
    status_at_submit: str
    status_set_at: datetime


class PendingJob(Wire):
    """A job that was ahead in the queue when another was submitted."""

    training_job_id: str
    training_job_name: str | None = None
    instance_type_name: str
    requested_gpus: int
    priority: int
    submitted_at: datetime


class QueueEvent(Wire):
    """A status that a job took on."""

    training_job_id: str
    training_job_name: str | None = None
    status: str
    created: datetime
    event_message: str | None = None
    exit_code: int | None = None


class QueueContext(Wire):
    """Why a job waited: who held the capacity of its type when it was submitted, and what became of them.

    `events` run from `submitted_at` to `events_window_end`, which is `released_at`, or now while the job waits.
    """

    target_job_id: str
    target_job_name: str | None = None
    gpu_type: str
    requested_gpus: int
    submitted_at: datetime
    released_at: datetime | None = None
    pending_seconds: int | None = None
    org_capacity: CapacityLimit | None = None
    team_capacity: CapacityLimit | None = None
    active_at_submit: list[ActiveJob]
    pending_ahead_at_submit: list[PendingJob]
    events: list[QueueEvent]
    events_window_end: datetime


# ---------------------------------------------------------------- interactive sessions


class AuthCode(Wire):
    """How to sign in to the interactive session of one replica."""

    session_id: str
    replica_id: str
    auth_code: str = Field(repr=False)
    auth_url: str
    tunnel_name: str | None = None
    generated_at: datetime | None = None
    expires_at: datetime | None = None
    working_directory: str | None = None


class AuthCodesAnswer(Wire):
    """A code for each replica that has a session; none where there is no session, or none yet."""

    auth_codes: list[AuthCode]


class InteractiveSession(Wire):
    id: str
    trigger: str
    timeout_minutes: int
    session_provider: str
    auth_provider: str
    pod_name: str
    expires_at: datetime | None = None


class InteractiveSessionAnswer(Wire):
    """The session after a change; `message` says what was changed."""

    interactive_session: InteractiveSession
    message: str


class SignInLink(Wire):
    """Signs the browser that follows it in to a local platform, once."""

    url: str = Field(repr=False)


class SSHCertificate(Wire):
    """A certificate for one replica of a job, and the token with which the proxy lets it pass."""

    ssh_certificate: str = Field(repr=False)
    jwt: str = Field(repr=False)
    proxy_address: str
    ssh_cert_expires_at: datetime


# ---------------------------------------------------------------- logs and metrics


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log. `timestamp` is nanoseconds since the epoch, as text.

    No `BaseModel`: there are millions of them.
    """

    timestamp: str
    message: str
    replica: str | None = None
    level: str | None = None
    request_id: str | None = None


class LogsAnswer(Wire):
    """Lines of a log, and whether no others will become visible: of an ended job, only the local platform knows."""

    model_config = ConfigDict(cache_strings=False)  # what a log says is hardly ever said twice

    logs: list[LogLine]
    complete: bool = False


class MetricPoint(Wire):
    timestamp: datetime
    value: float


class StorageMetrics(Wire):
    usage_bytes: list[MetricPoint] = Field(default=[])
    utilization: list[MetricPoint] = Field(default=[])


class NodeMetrics(Wire):
    """Samples of one node. Utilizations are 0 to 1, CPU usage is in cores, keys of the GPU series are ranks."""

    gpu_memory_usage_bytes: dict[str, list[MetricPoint]] = Field(default={})
    gpu_utilization: dict[str, list[MetricPoint]] = Field(default={})
    cpu_usage: list[MetricPoint] = Field(default=[])
    cpu_memory_usage_bytes: list[MetricPoint] = Field(default=[])
    ephemeral_storage: StorageMetrics = Field(default_factory=StorageMetrics)


class PerNodeMetrics(Wire):
    node_id: str
    metrics: NodeMetrics


class MetricsAnswer(NodeMetrics):
    """The leader's samples, and each node's."""

    training_job: TrainingJob
    cache: StorageMetrics | None = None
    per_node_metrics: list[PerNodeMetrics] = Field(default=[])


# ---------------------------------------------------------------- checkpoints


class Checkpoint(Wire):
    """A checkpoint: a first-level directory of the checkpoint directory. `checkpoint_id` is that directory's name.

    `sync_status` is None, "SYNCING" or "COMPLETE"; note the spelling, which differs from the job's (seen on the wire).
    A `checkpoint_id` of "." means files lying directly in the checkpoint directory.
    """

    training_job_id: str
    checkpoint_id: str
    created_at: datetime
    checkpoint_type: str | None = None
    base_model: str | None = None
    lora_adapter_config: dict[str, Any] | None = None
    size_bytes: int = 0
    sync_status: str | None = None


class CheckpointsAnswer(Wire):
    training_job: TrainingJob
    checkpoints: list[Checkpoint]


class CheckpointFile(Wire):
    """A file of a checkpoint. `relative_file_name` begins with the checkpoint's name; `url` is a presigned GET."""

    url: str = Field(repr=False)
    relative_file_name: str
    node_rank: int
    size_bytes: int
    last_modified: str


class CheckpointFilesAnswer(Wire):
    """One page. `next_page_token` is None on the last; 0 is a token (OpenAPI)."""

    presigned_urls: list[CheckpointFile]
    next_page_token: int | None = None
    total_count: int = 0


# ---------------------------------------------------------------- models, deployments, environments


class Model(Wire):
    id: str
    name: str
    created_at: datetime
    deployments_count: int = 0
    production_deployment_id: str | None = None
    development_deployment_id: str | None = None
    instance_type_name: str = ""
    team_name: str = ""


class ModelsAnswer(Wire):
    models: list[Model]


class Deployment(Wire):
    id: str
    model_id: str
    name: str
    status: str
    created_at: datetime
    environment: str | None = None
    is_production: bool = False
    is_development: bool = False
    active_replica_count: int = 0
    instance_type_name: str | None = None
    labels: dict[str, Any] | None = None

    @property
    def is_ready(self) -> bool:
        return self.status in DeploymentStatus.READY

    @property
    def is_dead(self) -> bool:
        return self.status in DeploymentStatus.DEAD


class DeploymentsAnswer(Wire):
    deployments: list[Deployment]


class RetryAnswer(Wire):
    """`reason` says why there was nothing to retry."""

    retried: bool
    deployment: Deployment
    reason: str | None = None


class Promotion(Wire):
    """A promotion in progress; `status` is e.g. "RELEASING", "RAMPING_UP", "FAILED"."""

    status: str
    percent_traffic_to_new_version: int = 0
    error_message: str | None = None


class Environment(Wire):
    """A stable name of a model, such as "production", and what answers there.

    `candidate_deployment` and `in_progress_promotion` are None unless a deployment is being promoted.
    """

    name: str
    model_id: str
    created_at: datetime
    current_deployment: Deployment | None = None
    candidate_deployment: Deployment | None = None
    in_progress_promotion: Promotion | None = None
    instance_type: InstanceType | None = None


class EnvironmentsAnswer(Wire):
    environments: list[Environment]


class CancelPromotionAnswer(Wire):
    """`status` is "CANCELED", or "RAMPING_DOWN" while traffic goes back."""

    status: str
    message: str


class DeploymentConfigAnswer(Wire):
    """The truss configuration a deployment was made from: parsed, and as text."""

    config: dict[str, Any] | None = None
    raw_config: str | None = None


# ---------------------------------------------------------------- account: instance types, teams, secrets


class InstanceTypesAnswer(Wire):
    instance_types: list[InstanceType]


class UserInfo(Wire):
    """Whose key it is."""

    user_id: str
    email: str | None = None
    name: str | None = None
    workspace_name: str | None = None


class Team(Wire):
    id: str
    name: str
    default: bool
    created_at: datetime


class TeamsAnswer(Wire):
    teams: list[Team]


class Secret(Wire):
    id: str
    name: str
    created_at: datetime
    team_name: str = ""


class SecretsAnswer(Wire):
    secrets: list[Secret]


class UpsertSecret(Wire):
    name: str
    value: str = Field(repr=False)


# ---------------------------------------------------------------- GraphQL: deploying checkpoints


class InferenceTemplateVersion(Wire):
    """`model_version` of the mutation's answer: `id` is the deployment's id."""

    id: str
    name: str
    model_id: str


class InferenceTemplateResult(Wire):
    """`model_version` is None for a dry run; `truss_config` is JSON text."""

    model_version: InferenceTemplateVersion | None = None
    truss_config: str | None = None


class CreateFromTemplateAnswer(Wire):
    create_model_version_from_inference_template: InferenceTemplateResult


class ListedInstance(Wire):
    """An instance type as GraphQL lists it. `memory_limit` is in MiB, `gpu_type` like "H100" or "A100-40GB"."""

    id: str
    name: str
    millicpu_limit: int = Field(default=0, alias="millicpuLimit")
    memory_limit: int = Field(default=0, alias="memoryLimit")
    gpu_count: int = Field(default=0, alias="gpuCount")
    gpu_type: str | None = Field(default=None, alias="gpuType")
    node_count: int = Field(default=1, alias="nodeCount")


class ListedInstancesAnswer(Wire):
    listed_instances: list[ListedInstance] = Field(alias="listedInstances")


# ---------------------------------------------------------------- errors


class ErrorBody(Wire):
    """The bodies of errors: `{"message"}`, `{"code", "message"}`, or `{"error", "retry_after"}` for a 429."""

    message: str | None = None
    error: str | None = None
    code: str | None = None
    retry_after: float | None = None
