"""A run over real HTTP with real processes: the wire on both ends is the one that the flows expect."""

from __future__ import annotations

from pathlib import Path

import pytest

from truss_train_core.api import endpoints
from truss_train_core.api.client import Client
from truss_train_core.api.flows import Event
from truss_train_core.api.models import JobAnswer, ProjectJobsAnswer
from truss_train_core.api.request import Request
from truss_train_core.definitions import (
    CheckpointingConfig,
    Compute,
    DeployCheckpointsConfig,
    DeployCheckpointsRuntime,
    Image,
    LocalServer,
    Runtime,
    TrainingJob,
    TrainingProject,
)
from truss_train_core.events import CheckpointSeen, LogLines, Resuming
from truss_train_core.runs import Best, RecordChanged, RunPlan, RunRecord, new_record, run, run_key
from truss_train_core.testing import Fault, Faulty, LocalPlatform, scripted

TRAIN = """
import json, os, pathlib, time
load = pathlib.Path(os.environ.get("BT_LOAD_CHECKPOINT_DIR", "nowhere"))
states = [json.loads(path.read_text()) for path in load.rglob("trainer_state.json")]
state = max(states, key=lambda each: each["global_step"], default={"global_step": 0, "log_history": []})
print("starting at step", state["global_step"], flush=True)
for step in range(state["global_step"] + 10, 90, 10):
    loss = abs(step - 40) / 10
    state["log_history"].append({"step": step, "eval_loss": loss})
    state["global_step"] = step
    folder = pathlib.Path(os.environ["BT_CHECKPOINT_DIR"]) / f"checkpoint-{step}"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"\\2" + bytes(7) + b"{}")  # of no tensors
    (folder / "config.json").write_text(json.dumps({"model_type": "toy", "step": step}))
    (folder / "trainer_state.json").write_text(json.dumps(state))
    print("step", step, "eval_loss", loss, flush=True)
    time.sleep(1.5)
"""
SERVE = """
import http.server, json, os, pathlib
step = json.loads((pathlib.Path(os.environ["MODEL_DIR"]) / "config.json").read_text())["step"]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({})
    def do_POST(self):
        self.answer({"step": step, "asked": json.loads(self.rfile.read(int(self.headers["Content-Length"])))})
    def answer(self, body):
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def story(tmp_path: Path) -> RunPlan:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    server = tmp_path / "serve.py"
    server.write_text(SERVE)
    runtime = Runtime(start_commands=["python train.py"], checkpointing_config=CheckpointingConfig(enabled=True))
    job = TrainingJob(image=Image(base_image="none"), compute=Compute(availability_model="spot"), runtime=runtime)
    serving = LocalServer(start_command=f"python {server}", predict_endpoint="/predict")
    return RunPlan(
        project=TrainingProject(name="toy", job=job),
        source_dir=folder,
        best=Best(metric="loss", mode="min"),
        deploy=DeployCheckpointsConfig(
            model_name="toy", compute=Compute(), runtime=DeployCheckpointsRuntime(local_server=serving)
        ),
        question={"x": 1},
    )


@pytest.mark.slow
def test_a_run_is_preempted_loses_answers_is_killed_and_ends_with_the_best_checkpoint_served(
    tmp_path: Path, story: RunPlan
) -> None:
    events: list[Event] = []
    preempted: list[str] = []
    away, lost = Fault("answered", "POST", "/training_jobs/search", status=503), Fault("lost", "POST", "/graphql/$")
    faults = scripted(Fault("lost", "POST", "/jobs$"), away, away, lost, lost)
    with LocalPlatform.started(tmp_path / "platform") as platform:
        with Client(platform.remote, transport=Faulty(faults)) as client:

            def listen(event: Event) -> None:
                events.append(event)
                if isinstance(event, CheckpointSeen) and event.complete and not preempted:
                    preempted.append(event.job_id)
                    path = f"/v1/local/jobs/{event.job_id}/preempt"
                    client.send(Request("POST", path, JobAnswer.model_validate_json, "preemption", body={}))

            def die_when_deployed(event: Event) -> None:
                listen(event)
                if isinstance(event, RecordChanged) and event.record.phase == "serving":
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                client.run(run(story, new_record(story, run_key("e2e"))), on_event=die_when_deployed)
        with Client(platform.remote) as client:
            record = client.run(run(story, _kept(events)), on_event=listen)
            jobs = client.send(_list_jobs(record)).training_jobs

    assert [attempt.cause for attempt in record.attempts] == ["preempted", "completed"]
    assert sorted(job.name for job in jobs) == [attempt.job_name for attempt in record.attempts]
    (resuming,) = [event for event in events if isinstance(event, Resuming)]
    assert resuming.checkpoint
    log = [line.message.strip() for event in events if isinstance(event, LogLines) for line in event.lines]
    assert [line for line in log if line.startswith("starting")] == [
        "starting at step 0",
        f"starting at step {resuming.checkpoint.removeprefix('checkpoint-')}",
    ]
    assert record.choice
    assert (record.choice.checkpoint.name, record.choice.metric, record.choice.value) == (
        "checkpoint-40",
        "eval_loss",
        0,
    )
    assert record.answer == '{"step": 40, "asked": {"x": 1}}'


def _kept(events: list[Event]) -> RunRecord:
    return [event.record for event in events if isinstance(event, RecordChanged)][-1]


def _list_jobs(record: RunRecord) -> Request[ProjectJobsAnswer]:
    assert record.project_id
    return endpoints.list_jobs(record.project_id)
