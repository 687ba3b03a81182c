"""What a browser's tests look at: jobs on a real platform, and their pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from running_jobs import wait_for

from truss_train_core.testing import LocalPlatform

TRAIN = """python -u - <<'END'
import json, os, pathlib, time
loaded = sorted(pathlib.Path(os.environ.get("BT_LOAD_CHECKPOINT_DIR", "none")).rglob("trainer_state.json"))
history = json.loads(loaded[-1].read_text())["log_history"] if loaded else []
first = len(history) + 1
for step in range(first, {last} + 1):
    history.append({{"step": step, "loss": 1 / step, "epoch": 1.0}})
    folder = pathlib.Path(os.environ["BT_CHECKPOINT_DIR"], f"checkpoint-{{step}}")
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "trainer_state.json").write_text(json.dumps({{"global_step": step, "log_history": history}}))
    print("saved", step)
{then}
END"""
"""A start command that trains from where it was started to step `last`, a checkpoint at each, and does `then`."""


@dataclass
class Site:
    """A platform with its API, to set up what a page is to show."""

    platform: LocalPlatform
    http: httpx.Client

    @classmethod
    @contextmanager
    def of(cls, platform: LocalPlatform) -> Iterator[Site]:
        headers = {"Authorization": platform.remote.authorization}
        with httpx.Client(base_url=platform.remote.api_url, headers=headers, timeout=30, trust_env=False) as http:
            yield cls(platform, http)

    @property
    def url(self) -> str:
        return self.platform.remote.web_url

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def job(self, *commands: str, runtime: dict[str, Any] | None = None, **fields: Any) -> str:
        """Submit a job, and return the path of its page."""
        project = self.call("POST", "/v1/training_projects", {"training_project": {"name": "digits"}})
        project_id = project["training_project"]["id"]
        asked = {"start_commands": list(commands), "checkpointing_config": {"enabled": True}, **(runtime or {})}
        body = {"image": {"base_image": "python"}, "runtime": asked, **fields}
        made = self.call("POST", f"/v1/training_projects/{project_id}/jobs", {"training_job": body})
        return f"/training/{project_id}/logs/{made['training_job']['id']}"

    def look(self, page: str) -> dict[str, Any]:
        _, _, project_id, _, job_id = page.split("/")
        return dict(self.call("GET", f"/v1/training_projects/{project_id}/jobs/{job_id}")["training_job"])

    def became(self, page: str, *statuses: str) -> None:
        """Wait until a job has one of these statuses, and its checkpoints are copied if it has ended."""
        wanted = [f"TRAINING_JOB_{status}" for status in statuses]

        def look() -> bool:
            job = self.look(page)
            is_copied = job["current_status"].endswith("_RUNNING") or job["checkpoint_sync_status"] != "SYNCING"
            return job["current_status"] in wanted and is_copied

        wait_for(look, f"{page} is one of {statuses}", within=120)
