"""A world without I/O in which flows live: jobs, logs, checkpoints and deployments in memory, time that passes at once.

It answers `Request` values as the API would, through the request's own reader, and carries out all other effects. It
can be told to lose answers, to be away, to show a new job late, and to kill a flow before or after any effect.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any, TypeVar

from truss_train_core.api.flows import Emit, Event, Flow, Now, Pause, Together, Work
from truss_train_core.api.request import Request
from truss_train_core.errors import (
    AnswerLost,
    ApiError,
    NotFound,
    RateLimited,
    Rejected,
    ServerError,
    UnexpectedAnswer,
    Unreachable,
)

R = TypeVar("R")
START = 1_750_000_000.0
COMPLETES = ((0.0, "PENDING"), (5.0, "RUNNING"), (60.0, "COMPLETED"))
SERVES = ((0.0, "BUILDING"), (20.0, "LOADING_MODEL"), (40.0, "ACTIVE"))
TERMINAL = ("COMPLETED", "FAILED", "STOPPED", "PREEMPTED")


class Killed(Exception):
    """The process that drove the flow died."""


@dataclass
class CheckpointScript:
    """`at`: seconds after the job's creation; `synced`: seconds until it is complete, None for never."""

    name: str
    at: float
    files: dict[str, bytes] = field(default_factory=dict)
    kind: str | None = "full"
    synced: float | None = 0.0
    size: int | None = None
    base_model: str | None = None
    lora: dict[str, Any] | None = None
    node: Callable[[str], int] = lambda name: 0  # which node saved a file


@dataclass
class JobScript:
    """What becomes of a job: statuses at seconds after its creation."""

    statuses: list[tuple[float, str]] = field(
        default_factory=lambda: [(0, "PENDING"), (5, "RUNNING"), (60, "COMPLETED")]
    )
    message: str | None = None
    checkpoints: list[CheckpointScript] = field(default_factory=list)
    synced: float | None = None  # seconds after creation until which checkpoint_sync_status is SYNCING


@dataclass
class Line:
    """A log line; `visible` is when it can be read first."""

    ns: int
    message: str
    replica: str | None = "g00r0"
    visible: float = 0.0


@dataclass
class Job:
    id: str
    project: str
    created: float
    body: dict[str, Any]
    script: JobScript
    visible: float
    stopped: float | None = None
    deleted: bool = False
    lines: list[Line] = field(default_factory=list)


@dataclass
class DeploymentScript:
    statuses: list[tuple[float, str]] = field(
        default_factory=lambda: [(0, "BUILDING"), (20, "LOADING_MODEL"), (40, "ACTIVE")]
    )


@dataclass
class Deployment:
    id: str
    model: str
    created: float
    request: dict[str, Any]
    script: DeploymentScript
    visible: float
    deactivated: bool = False


@dataclass
class Fault:
    """What befalls the next calls that match "METHOD path".

    `how`: an error instead of the call; or what comes back after it was carried out, "lost" (nothing) or "500".
    """

    pattern: str
    how: Exception | str
    times: int = 1


class World:
    def __init__(self) -> None:
        self.time = START
        self.projects: dict[str, str] = {}
        self.jobs: list[Job] = []
        self.models: dict[str, str] = {}
        self.deployments: list[Deployment] = []
        self.script: Callable[[str | None], JobScript] = lambda name: JobScript()
        self.deployment_script: Callable[[], DeploymentScript] = DeploymentScript
        self.instances = [instance("cpu", 0, None, 4, 16), instance("h100", 1, "H100", 26, 234)]
        self.late = 0.0
        self.knows_complete_logs = False
        self.faults: list[Fault] = []
        self.calls: list[str] = []
        self.bodies: list[Any] = []
        self.events: list[Event] = []
        self.after_create: Callable[[], None] = lambda: None
        self.listener: Callable[[Event], object] = lambda event: None
        self.pauses: list[float] = []
        self.uploads = 0
        self.effects = 0
        self._kills: tuple[int | None, int | None] = (None, None)

    # ------------------------------------------------------------ driving flows

    def run(self, flow: Flow[R], *, kill_before: int | None = None, kill_after: int | None = None) -> R:
        """Run a flow to its end; or kill it right before, or right after, its n-th effect is carried out."""
        self.effects, self._kills = 0, (kill_before, kill_after)
        return self._drive(flow)

    def _drive(self, flow: Flow[R]) -> R:
        try:
            effect = next(flow)
            while True:
                try:
                    value = self._one_more(effect)
                except Killed:
                    raise
                except Exception as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(value)
        except StopIteration as end:
            return end.value
        finally:
            flow.close()

    def _one_more(self, effect: Any) -> Any:
        n, (before, after) = self.effects, self._kills
        self.effects += 1
        if n == before:
            raise Killed
        try:
            return self._carry_out(effect)
        finally:
            if n == after:
                raise Killed

    def heard(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def called(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, call)) for call in self.calls)

    def _carry_out(self, effect: Any) -> Any:
        if isinstance(effect, Request):
            return self._answer(effect)
        if isinstance(effect, Pause):
            assert effect.seconds >= 0
            self.pauses.append(effect.seconds)
            self.time += effect.seconds
        elif isinstance(effect, Now):
            return self.time
        elif isinstance(effect, Emit):
            effect.event.model_dump_json()
            self.events.append(effect.event)
            self.listener(effect.event)
        elif isinstance(effect, Work):
            return effect.function(lambda event: self._carry_out(Emit(event)))
        elif isinstance(effect, Together):
            return [self._drive(flow) for flow in effect.flows]
        else:
            raise TypeError(f"not an effect: {effect!r}")
        return None

    # ------------------------------------------------------------ answering

    def _answer(self, request: Request[Any]) -> Any:
        self.time += 0.05
        call = f"{request.method} {request.path}"
        if request.to == "graphql":
            call += " " + re.findall(r"create_model_version|listed_instances", request.body["query"])[0]
        self.calls.append(call)
        self.bodies.append(request.body)
        fault = next((each for each in self.faults if each.times > 0 and re.search(each.pattern, call)), None)
        if fault:
            fault.times -= 1
            if isinstance(fault.how, Exception):
                raise fault.how
        content = self._route(request, call)
        if fault and fault.how == "500":
            raise ServerError("internal error", status=500)
        if fault:
            raise Unreachable("lost") if request.repeatable else AnswerLost("lost")
        return request.read(content if isinstance(content, bytes) else json.dumps(content).encode())

    def _route(self, request: Request[Any], call: str) -> Any:
        for pattern, handler in self._routes():
            match = re.fullmatch(pattern, call)
            if match:
                return handler(request, *match.groups())
        raise Rejected(f"no such endpoint: {call}", status=400)

    def _routes(self) -> list[tuple[str, Callable[..., Any]]]:
        job = r"/v1/training_projects/([^/]+)/jobs/([^/]+)"
        deployment = r"/v1/models/([^/]+)/deployments/([^/]+)"
        return [
            (r"POST /v1/(?:teams/\w+/)?training_projects", self._upsert),
            (r"GET /v1/training_projects", lambda r: {"training_projects": [self._project(p) for p in self.projects]}),
            (r"GET /v1/blobs/credentials/train", self._credentials),
            (r"POST /v1/training_projects/([^/]+)/jobs", self._create_job),
            (r"GET /v1/training_projects/([^/]+)/jobs", self._list_jobs),
            (r"POST /v1/training_jobs/search", self._search),
            (rf"GET {job}", lambda r, p, j: {"training_job": self._job(self._find(j))}),
            (rf"PATCH {job}", self._update_job),
            (rf"POST {job}/stop", self._stop),
            (r"GET /v1/training/jobs/([^/]+)/queue_context", self._queue_context),
            (rf"GET {job}/logs", self._logs),
            (rf"GET {job}/checkpoints", self._checkpoints),
            (rf"GET {job}/checkpoint_files", self._files),
            (r"GET world://([^/]+)/(.+)", self._download),
            (r"POST /graphql/ listed_instances", lambda r: {"data": {"listedInstances": self.instances}}),
            (r"POST /graphql/ create_model_version", self._deploy),
            (r"GET /v1/models", self._models),
            (r"GET /v1/models/([^/]+)/deployments", self._list_deployments),
            (rf"GET {deployment}", lambda r, m, d: self._deployment(self._find_deployment(d))),
            (rf"GET {deployment}/config", lambda r, m, d: {"config": config_of(self._find_deployment(d).request)}),
            (rf"GET {deployment}/logs", lambda r, m, d: {"logs": [log_line(1, "CUDA out of memory\n")]}),
            (rf"POST {deployment}/deactivate", self._deactivate),
            (r"POST /model-([^/]+)/deployment/([^/]+)/(.+)", self._predict),
        ]

    # ------------------------------------------------------------ projects and jobs

    def _upsert(self, request: Request[Any]) -> Any:
        name = request.body["training_project"]["name"]
        project = next((key for key, known in self.projects.items() if known == name), None)
        if project is None:
            project = f"p{len(self.projects) + 1}"
            self.projects[project] = name
        return {"training_project": self._project(project)}

    def _project(self, project: str) -> dict[str, Any]:
        return {"id": project, "name": self.projects[project], "created_at": iso(START), "updated_at": iso(START)}

    def _credentials(self, request: Request[Any]) -> Any:
        self.uploads += 1
        creds = {"aws_access_key_id": "a", "aws_secret_access_key": "s", "aws_session_token": "t"}
        return {"creds": creds, "s3_bucket": "bucket", "s3_key": f"key-{self.uploads}.tgz"}

    def _create_job(self, request: Request[Any], project: str) -> Any:
        job = self.add_job(project, dict(request.body["training_job"]))
        self.after_create()
        return {"training_job": self._job(job)}

    def add_job(self, project: str = "p1", body: dict[str, Any] | None = None, script: JobScript | None = None) -> Job:
        self.projects.setdefault(project, "digits")
        body = body or {"name": "by-hand"}
        script = script or self.script(body.get("name"))
        job = Job(f"j{len(self.jobs) + 1}", project, self.time, body, script, self.time + self.late)
        self.jobs.append(job)
        return job

    def status_of(self, job: Job) -> str:
        if job.stopped is not None:
            return "TRAINING_JOB_STOPPED"
        age = self.time - job.created
        return "TRAINING_JOB_" + [status for at, status in job.script.statuses if at <= age][-1]

    def is_over(self, job: Job) -> bool:
        return self.status_of(job).endswith(TERMINAL)

    def _job(self, job: Job) -> dict[str, Any]:
        status = self.status_of(job)
        age = self.time - job.created
        changed = job.stopped or job.created + [at for at, _ in job.script.statuses if at <= age][-1]
        compute = job.body.get("compute") or {}
        gpus = (compute.get("accelerator") or {}).get("count", 0)
        syncing = job.script.synced is not None and age < job.script.synced
        return {
            "id": job.id,
            "name": job.body.get("name"),
            "created_at": iso(job.created),
            "updated_at": iso(changed),
            "current_status": status,
            "error_message": job.script.message if status.endswith(("FAILED", "PREEMPTED", "PENDING")) else None,
            "training_project_id": job.project,
            "training_project": {"id": job.project, "name": self.projects[job.project]},
            "checkpoint_sync_status": "SYNCING" if syncing else "COMPLETED",
            "instance_type": {"id": "i1", "name": "i1", "gpu_count": gpus},
            "node_count": compute.get("node_count", 1),
            "availability_model": compute.get("availability_model", "dedicated"),
        }

    def _queue_context(self, request: Request[Any], job_id: str) -> Any:
        job = self._find(job_id)
        return {
            "target_job_id": job.id,
            "gpu_type": "H100",
            "requested_gpus": 0,
            "submitted_at": iso(job.created),
            "released_at": iso(job.created + job.script.statuses[1][0]),
            "active_at_submit": [],
            "pending_ahead_at_submit": [],
            "events": [],
            "events_window_end": iso(self.time),
        }

    def _visible(self, project: str | None = None) -> list[Job]:
        return [j for j in self.jobs if j.visible <= self.time and not j.deleted and project in (None, j.project)]

    def _find(self, job_id: str) -> Job:
        job = next((job for job in self.jobs if job.id == job_id and not job.deleted), None)
        if job is None:
            raise NotFound(f"job {job_id}", status=404)
        return job

    def _list_jobs(self, request: Request[Any], project: str) -> Any:
        return {
            "training_project": self._project(project),
            "training_jobs": [self._job(job) for job in reversed(self._visible(project))],
        }

    def _search(self, request: Request[Any]) -> Any:
        wanted = request.body
        jobs = [self._job(job) for job in self._visible(wanted["project_id"])]
        return {
            "training_jobs": [
                job
                for job in jobs
                if (wanted["statuses"] is None or job["current_status"] in wanted["statuses"])
                and wanted["job_id"] in (None, job["id"])
            ]
        }

    def _update_job(self, request: Request[Any], project: str, job_id: str) -> Any:
        job = self._find(job_id)
        if self.status_of(job) != "TRAINING_JOB_PENDING":
            raise Rejected("only a pending job can be changed", status=400)
        job.body = {**job.body, "compute": {**job.body["compute"], **request.body}}
        return {"training_job": self._job(job)}

    def _stop(self, request: Request[Any], project: str, job_id: str) -> Any:
        job = self._find(job_id)
        if not self.is_over(job):
            job.stopped = self.time
        return {"training_job": self._job(job)}

    def _logs(self, request: Request[Any], project: str, job_id: str) -> Any:
        query = request.query
        start, end = query["start_epoch_millis"], query["end_epoch_millis"]
        assert query["direction"] == "asc"
        if not 0 < end - start <= 7 * 24 * 3600 * 1000:
            raise Rejected(f"bad window {end - start}", status=400)
        job = self._find(job_id)
        visible = [line for line in job.lines if line.visible <= self.time]
        lines = sorted((line for line in visible if start <= line.ns // 1_000_000 < end), key=lambda line: line.ns)
        answer: dict[str, Any] = {
            "logs": [log_line(each.ns, each.message, each.replica) for each in lines[: query["limit"]]]
        }
        if self.knows_complete_logs:
            answer["complete"] = self.is_over(job) and len(visible) == len(job.lines)
        return answer

    # ------------------------------------------------------------ checkpoints

    def _seen(self, job: Job) -> list[CheckpointScript]:
        end = job.stopped if job.stopped is not None else self.time
        return [each for each in job.script.checkpoints if job.created + each.at <= end]

    def _checkpoints(self, request: Request[Any], project: str, job_id: str) -> Any:
        job = self._find(job_id)
        return {
            "training_job": self._job(job),
            "checkpoints": [
                {
                    "training_job_id": job.id,
                    "checkpoint_id": each.name,
                    "created_at": iso(job.created + each.at),
                    "checkpoint_type": each.kind,
                    "base_model": each.base_model,
                    "lora_adapter_config": each.lora,
                    "size_bytes": sum(map(len, each.files.values())) if each.size is None else each.size,
                    "sync_status": "COMPLETE"
                    if each.synced is not None and self.time >= job.created + each.at + each.synced
                    else "SYNCING",
                }
                for each in reversed(self._seen(job))
            ],
        }

    def _files(self, request: Request[Any], project: str, job_id: str) -> Any:
        job = self._find(job_id)
        files = [
            {
                "url": f"world://{job.id}/{each.name}/{name}",
                "relative_file_name": f"{each.name}/{name}" if each.name != "." else name,
                "node_rank": each.node(name),
                "size_bytes": len(content),
                "last_modified": iso(job.created + each.at),
            }
            for each in self._seen(job)
            for name, content in each.files.items()
        ]
        size = 3  # small pages, so that every listing has several
        first = request.query["page_token"] or 0
        more = first + size < len(files)
        return {
            "presigned_urls": files[first : first + size],
            "next_page_token": first + size if more else None,
            "total_count": len(files),
        }

    def _download(self, request: Request[Any], job_id: str, path: str) -> bytes:
        name, _, file = path.partition("/")
        content = next(each.files[file] for each in self._find(job_id).script.checkpoints if each.name == name)
        last = request.headers.get("Range", "").removeprefix("bytes=0-")
        return content[: int(last) + 1] if last else content

    # ------------------------------------------------------------ deployments

    def _models(self, request: Request[Any]) -> Any:
        return {"models": [{"id": key, "name": name, "created_at": iso(START)} for name, key in self.models.items()]}

    def _deploy(self, request: Request[Any]) -> Any:
        asked = request.body["variables"]["request"]
        name = asked["metadata"]["oracle_name"]
        if not asked["dry_run"]:
            deployment = self.add_deployment(asked)
            self.after_create()
            version = {"id": deployment.id, "name": name, "model_id": deployment.model}
        result = {"model_version": None if asked["dry_run"] else version, "truss_config": json.dumps(config_of(asked))}
        return {"data": {"create_model_version_from_inference_template": result}}

    def add_deployment(self, asked: dict[str, Any]) -> Deployment:
        name = asked["metadata"]["oracle_name"]
        model = self.models.setdefault(name, f"m{len(self.models) + 1}")
        script = self.deployment_script()
        deployment = Deployment(f"d{len(self.deployments) + 1}", model, self.time, asked, script, self.time + self.late)
        self.deployments.append(deployment)
        return deployment

    def _find_deployment(self, deployment_id: str) -> Deployment:
        found = next((each for each in self.deployments if each.id == deployment_id), None)
        if found is None:
            raise NotFound(f"deployment {deployment_id}", status=404)
        return found

    def _deployment(self, deployment: Deployment) -> dict[str, Any]:
        age = self.time - deployment.created
        status = [status for at, status in deployment.script.statuses if at <= age][-1]
        return {
            "id": deployment.id,
            "model_id": deployment.model,
            "name": "deployment-1",
            "status": "INACTIVE" if deployment.deactivated else status,
            "created_at": iso(deployment.created),
        }

    def _list_deployments(self, request: Request[Any], model: str) -> Any:
        return {
            "deployments": [
                self._deployment(each)
                for each in reversed(self.deployments)
                if each.model == model and each.visible <= self.time
            ]
        }

    def live_deployments(self) -> list[Deployment]:
        dead = ("INACTIVE", "DEPLOY_FAILED", "FAILED", "BUILD_FAILED")
        return [each for each in self.deployments if self._deployment(each)["status"] not in dead]

    def _deactivate(self, request: Request[Any], model: str, deployment_id: str) -> Any:
        self._find_deployment(deployment_id).deactivated = True
        return {"success": True}

    def _predict(self, request: Request[Any], model: str, deployment: str, path: str) -> Any:
        if self._deployment(self._find_deployment(deployment))["status"] != "ACTIVE":
            raise ServerError("waking up", status=503)
        return {"digit": 7, "path": path}


def config_of(asked: dict[str, Any]) -> dict[str, Any]:
    references = [
        source["b10_training_checkpoint_weights_source"]["checkpoint"]
        for source in asked["weights_sources"]
        if source["weight_source_type"] == "B10_CHECKPOINTING"
    ]
    return {
        "training_checkpoints": {
            "download_folder": "/tmp/training_checkpoints",
            "artifact_references": [
                {"training_job_id": each["training_job_id"], "paths": [f"rank-0/{each['checkpoint_name']}/"]}
                for each in references
            ],
        },
        "environment_variables": {
            each["name"]: each["value"] for each in asked["inference_stack"]["environment_variables"]
        },
    }


def instance(name: str, gpus: int, kind: str | None, cores: int, gib: int, nodes: int = 1) -> dict[str, Any]:
    return {
        "id": f"i-{name}",
        "name": name,
        "millicpuLimit": cores * 1000,
        "memoryLimit": gib * 1024,
        "gpuCount": gpus,
        "gpuType": kind,
        "nodeCount": nodes,
    }


def log_line(ns: int, message: str, replica: str | None = "g00r0") -> dict[str, Any]:
    return {"timestamp": str(ns), "message": message, "replica": replica, "level": None, "request_id": None}


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def away() -> Exception:
    return Unreachable("no answer from api")


def broken() -> ApiError:
    return ServerError("internal error", status=500)


def garbled() -> ApiError:
    return UnexpectedAnswer("a proxy's page", status=200)


def throttled(seconds: float) -> ApiError:
    return RateLimited("slow down", retry_after=seconds)


def trainer_state(step: int, history: dict[int, dict[str, float]], **more: Any) -> bytes:
    """A trainer_state.json: `history` is what was measured at which step."""
    entries = [{"step": at, "epoch": at / 10, **values} for at, values in history.items() if at <= step]
    return json.dumps(
        {"global_step": step, "epoch": step / 10, "max_steps": 100, "log_history": entries, **more}
    ).encode()


def safetensors(size: int, tensors: int = 1) -> bytes:
    """A safetensors file with this many bytes of tensors, all of them zero."""
    ends = [size * n // tensors for n in range(tensors + 1)]
    offsets = enumerate(pairwise(ends))
    header = json.dumps(
        {f"w{n}": {"dtype": "U8", "shape": [end - start], "data_offsets": [start, end]} for n, (start, end) in offsets}
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


def hf_checkpoint(step: int, at: float, history: dict[int, dict[str, float]], **more: Any) -> CheckpointScript:
    """A complete checkpoint in the layout of the Hugging Face Trainer."""
    files = {
        "model.safetensors": safetensors(50),
        "config.json": b"{}",
        "trainer_state.json": trainer_state(step, history),
    }
    return CheckpointScript(f"checkpoint-{step}", at, files, **more)
