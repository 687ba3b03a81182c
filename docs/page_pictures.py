"""Make the pictures of the pages, in docs/pages, out of a real run: `python docs/page_pictures.py`.

A platform is started in a temporary directory. Digits are trained on it, interrupted, resumed, chosen and deployed;
other jobs run, wait and fail beside it. Then a browser looks at every page, in light and in dark. Needs a Chromium.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright
from sklearn.datasets import load_digits

from truss_train_core.testing import LocalPlatform

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pages"
COMMAND = Path(sys.executable).with_name("truss-train")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE, PHONE = {"width": 1180, "height": 430}, {"width": 390, "height": 844}


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as home,
        LocalPlatform.started(Path(home) / "platform", capacity={"CPU": 4, "H100": 8}) as platform,
        sync_playwright() as playwright,
    ):
        story = Story(platform, Path(home))
        story.tell()
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM") or CHROMIUM, args=QUIET)
        take(browser, platform, story.pages())
        browser.close()


class Story:
    """What there is to see."""

    def __init__(self, platform: LocalPlatform, home: Path) -> None:
        self.platform = platform
        self.home = home
        key = {"Authorization": platform.remote.authorization}
        self.http = httpx.Client(base_url=platform.remote.api_url, headers=key, trust_env=False, timeout=60)
        self.environment = {
            **os.environ,
            "TRUSS_TRAIN_REMOTE": "local",
            "USER_TRUSSRC_PATH": str(home / "trussrc"),
        }
        (home / "trussrc").write_text(
            f"[local]\nremote_provider = baseten\nremote_url = {platform.remote.web_url}\n"
            f"api_key = {platform.remote.key.get_secret_value()}\n"
        )

    def tell(self) -> None:
        definition = self.home / "digits"
        shutil.copytree(ROOT / "examples" / "digits", definition)
        config = (definition / "config.py").read_text()
        (definition / "config.py").write_text(config.replace('"EPOCHS": "20"', '"EPOCHS": "40"'))
        (self.home / "question.json").write_text(json.dumps({"image": load_digits().images[1234].tolist()}))
        threading.Thread(target=self.interrupt, daemon=True).start()
        run = ["run", definition / "config.py", "--metric", "eval_loss", "--mode", "min"]
        ask = ["--ask", self.home / "question.json", "--record", self.home / "record.json"]
        subprocess.run([COMMAND, *run, *ask], env=self.environment, check=True)
        self.submit("letters", "letters-cnn", 'echo "epoch 1/10  loss 2.31"; echo "CUDA is not available" >&2; exit 1')
        self.submit("letters", "letters-cnn-cpu", "while true; do date; sleep 1; done", cpu_count=3)
        self.submit("letters", "letters-wide", "sleep 600", cpu_count=2)
        self.wait_for("letters-cnn", "FAILED")
        self.wait_for("letters-cnn-cpu", "RUNNING")
        time.sleep(8)  # for a few samples of what it uses

    def interrupt(self) -> None:
        """Take the machine of the first job away once it has saved enough."""
        while True:
            for job in self.jobs():
                path = f"/v1/training_projects/{job['training_project_id']}/jobs/{job['id']}/checkpoints"
                if len(self.http.get(path).json()["checkpoints"]) >= 8:
                    self.platform.preempt(job["id"])
                    return
            time.sleep(0.2)

    def submit(self, project: str, name: str, command: str, **compute: Any) -> None:
        made = self.http.post("/v1/training_projects", json={"training_project": {"name": project}}).json()
        runtime = {"start_commands": [command]}
        job = {"name": name, "image": {"base_image": "python:3.12-slim"}, "runtime": runtime, "compute": compute}
        path = f"/v1/training_projects/{made['training_project']['id']}/jobs"
        self.http.post(path, json={"training_job": job}).raise_for_status()

    def wait_for(self, name: str, status: str) -> None:
        while not any(job["name"] == name and job["current_status"].endswith(status) for job in self.jobs()):
            time.sleep(0.2)

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.http.post("/v1/training_jobs/search", json={}).json()["training_jobs"])

    def pages(self) -> dict[str, str]:
        """Paths by the names of their pictures."""
        record = json.loads((self.home / "record.json").read_text())
        deployment = record["deployment"]
        return {
            "projects": "/",
            "jobs": "/jobs",
            "job": f"/training/{record['project_id']}/logs/{record['attempts'][-1]['job_id']}",
            "deployments": "/models",
            "deployment": f"/models/{deployment['model_id']}/logs/{deployment['deployment_id']}",
        }


def take(browser: Browser, platform: LocalPlatform, pages: dict[str, str]) -> None:
    PICTURES.mkdir(exist_ok=True)
    question = json.dumps({"image": load_digits().images[1234].astype(int).tolist()})
    for scheme in ("light", "dark"):
        with browser.new_context(viewport=WIDE, color_scheme=scheme) as context:
            page = context.new_page()
            page.goto(f"{platform.remote.web_url}/")
            page.screenshot(path=PICTURES / f"sign-in-{scheme}.png")
            page.goto(platform.sign_in_link())
            for name, path in pages.items():
                page.set_viewport_size(WIDE)
                page.goto(platform.remote.web_url + path)
                page.locator("#live[data-state=live]").wait_for()
                if name == "deployment":
                    page.get_by_label("JSON to send").fill(question)
                    page.get_by_role("button", name="Send").click()
                    page.locator("[data-answer]:visible").wait_for()
                page.wait_for_timeout(1500)
                page.screenshot(path=PICTURES / f"{name}-{scheme}.png", full_page=True)
                if name == "job":
                    page.set_viewport_size(PHONE)
                    page.wait_for_timeout(500)
                    page.screenshot(path=PICTURES / f"{name}-phone-{scheme}.png")


if __name__ == "__main__":
    main()
