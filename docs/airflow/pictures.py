"""Take the pictures of these pages: run the demonstration and photograph Airflow's pages with a real browser.

.venv-airflow/bin/python docs/airflow/pictures.py        # needs chromium
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

import httpx
from playwright.sync_api import Page

from truss_train_core import Client, checkpoints, jobs
from truss_train_core.errors import JobNotFound
from truss_train_core.testing import LocalPlatform

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "integrations" / "airflow" / "tests" / "support"))
from browsing import SIZE, chromium, signed_in  # noqa: E402
from standalone import demo  # noqa: E402

HALF_WAY = 15
"""Checkpoints after which the job's machine is taken away; it would write forty."""

TALL = {"width": 1400, "height": 1150}
SHORTEN = """directory => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode()); ) text.nodeValue = text.nodeValue.replaceAll(directory, "~");
}"""
"""Says "~" for a directory of the machine that takes the pictures."""


def main() -> None:
    settings = {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    with tempfile.TemporaryDirectory() as folder, LocalPlatform.started(Path(folder) / "platform") as platform:
        home = Path(folder) / "airflow"
        home.mkdir()
        with demo.airflow(home, platform.remote, **settings) as api, chromium() as browser:
            take(signed_in(browser, api, color_scheme="light").new_page(), api, platform)


def take(page: Page, api: httpx.Client, platform: LocalPlatform) -> None:
    """Run the pipeline, and take all the pictures while and after it runs."""
    run_id = demo.start(api, "digits")
    threading.Thread(target=take_away_half_way, args=[platform], daemon=True).start()
    task = f"/dags/digits/runs/{quote(run_id, safe='')}/tasks"
    page.goto(f"{task}/train")
    page.get_by_text("epoch 12/").first.wait_for()
    page.evaluate(SHORTEN, str(platform.data_dir))
    page.screenshot(path=HERE / "log.png")
    demo.follow(api, "digits", run_id)

    page.goto(f"{task}/deploy/details")
    page.get_by_role("link", name="Model", exact=True).wait_for()
    page.screenshot(path=HERE / "links.png")

    page.set_viewport_size(TALL)
    for theme, name in (("light", "training-run"), ("dark", "training-run-dark")):
        page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
        page.goto(f"{task}/train/plugin/training-run")
        page.frame_locator("iframe[title='Training run']").locator("tr.chosen").wait_for()
        page.screenshot(path=HERE / f"{name}.png")

    page.set_viewport_size(SIZE)
    page.evaluate("localStorage.setItem('theme', 'light')")
    facts = {"conn_type": "baseten", "host": platform.remote.api_url, "password": "unseen"}
    extra = json.dumps({"team": "research", "remote": ""})
    api.post("/api/v2/connections", json={"connection_id": "baseten", "extra": extra, **facts}).raise_for_status()
    page.goto("/connections")
    page.get_by_role("button", name="Edit Connection").click()
    page.get_by_role("button", name="Extra Fields", exact=True).click()
    page.get_by_role("dialog").get_by_text("Remote", exact=True).wait_for()
    page.screenshot(path=HERE / "connection.png")


def take_away_half_way(platform: LocalPlatform) -> None:
    """Reclaim the machine of the first job once it has saved enough, as spot capacity is reclaimed."""
    with Client(platform.remote) as client:
        while True:
            try:
                job = client.run(jobs.find())
                if len(client.run(checkpoints.list_checkpoints(job))) >= HALF_WAY:
                    return platform.preempt(job.id)
            except JobNotFound:
                pass
            time.sleep(0.5)


if __name__ == "__main__":
    main()
