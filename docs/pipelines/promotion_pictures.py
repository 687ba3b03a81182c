"""Take the pictures of retrain.md and approve.md: a night that keeps production, and a person who is asked.

.venv-airflow/bin/python docs/pipelines/promotion_pictures.py        # needs chromium
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "integrations" / "airflow" / "tests" / "support"))
from browsing import chromium, signed_in  # noqa: E402
from standalone import Run, Standalone, eventually  # noqa: E402

from truss_train_core.testing import LocalPlatform  # noqa: E402

DAGS = HERE.parents[1] / "dags" / "airflow"
NIGHT = {"epochs": 2, "hidden": 64}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, LocalPlatform.started(Path(folder) / "platform") as platform:
        home = Path(folder) / "airflow"
        home.mkdir()
        with Standalone.started(home, platform.remote, DAGS, RETRAIN_AT="") as airflow, chromium() as browser:
            page = signed_in(browser, airflow.api, color_scheme="light").new_page()
            page.set_viewport_size({"width": 1300, "height": 640})
            asked = airflow.start("approve", **NIGHT, probe_seconds=0)
            airflow.start("retrain", **NIGHT).ends(600)
            kept = airflow.start("retrain", **NIGHT, margin=0.2)
            kept.ends(600)
            photograph(page, kept, "promote", "is kept", "retrain.png")
            eventually("the question", lambda: asked.task(task_id="approve")["state"] == "awaiting_input", 600)
            photograph(page, asked, "approve/required_actions", "into production", "approve.png")
            asked.answer("approve", "Reject")
            asked.ends()


def photograph(page: Page, run: Run, place: str, wanted: str, name: str) -> None:
    """A page of a task, once it shows what is wanted."""
    page.goto(f"/dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}/tasks/{place}")
    page.get_by_text(wanted).first.wait_for()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=HERE / name)


if __name__ == "__main__":
    main()
