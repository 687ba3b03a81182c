"""What a person sees of a training in Airflow's own pages, in a real browser, on a real Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from browsing import NoChromium, chromium, signed_in
from dag_runs import jobs_named
from playwright.sync_api import Browser, FrameLocator, Page, expect
from standalone import Run, Standalone

from truss_train_core import Client, jobs
from truss_train_core.testing import LocalPlatform

pytestmark = pytest.mark.slow
PATIENCE = 120_000
"""Milliseconds."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        with chromium() as running:
            yield running
    except NoChromium as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, platform: LocalPlatform, browser: Browser
) -> Iterator[Standalone]:
    home = tmp_path_factory.mktemp("standalone")
    dags = Path(__file__).parent / "standalone_dags"
    settings = {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    with Standalone.started(home, platform.remote, dags, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def ended(airflow: Standalone) -> Run:
    """A run that broke off once, whose best checkpoint was chosen and is served."""
    run = airflow.start("seen", seconds=0.3)
    assert run.ends() == "success"
    return run


@pytest.fixture
def page(browser: Browser, airflow: Standalone) -> Iterator[Page]:
    """A tab of somebody who is signed in."""
    expect.set_options(timeout=PATIENCE)
    with signed_in(browser, airflow.api, color_scheme="light") as window:
        yield window.new_page()


def address(run: Run, task_id: str, tab: str = "") -> str:
    """Of a task in Airflow's user interface."""
    return f"/dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}/tasks/{task_id}{tab}"


def training_run(page: Page, run: Run, task_id: str = "train") -> FrameLocator:
    """The tab of that name."""
    page.goto(address(run, task_id))
    page.get_by_role("link", name="Training run").click()
    return page.frame_locator("iframe[title='Training run']")


def test_a_task_shows_the_curve_checkpoints_and_attempts_of_its_run(page: Page, ended: Run) -> None:
    shown = training_run(page, ended)

    expect(shown.get_by_role("img", name="loss by step")).to_be_visible()
    expect(shown.locator("svg text.resumed")).to_have_text("attempt 2")
    expect(shown.locator("tr.chosen")).to_contain_text("checkpoint-3")
    expect(shown.locator("table").last.locator("tbody tr")).to_have_count(5)
    second, first = shown.locator("table").first.locator("tbody tr").all()
    expect(first).to_contain_text("failed")
    expect(second).to_contain_text("completed")
    expect(second).to_contain_text("checkpoint-3")


def test_an_attempt_leads_to_the_page_of_its_job(page: Page, ended: Run, client: Client) -> None:
    first, second = jobs_named(client, jobs.run_key("seen", ended.run_id, "train", -1))
    shown = training_run(page, ended)

    with page.context.expect_page() as opened:
        shown.get_by_role("link", name=second.name or "", exact=True).click()
    wanted = client.remote.job_page(second.training_project_id, second.id)
    opened.value.wait_for_url(lambda url: url.startswith(wanted) or "next=" in url)
    assert first.name != second.name


def test_the_page_follows_airflows_light_and_dark(page: Page, ended: Run) -> None:
    body = training_run(page, ended).locator("body")
    expect(body).to_be_visible()
    light = body.evaluate("body => getComputedStyle(body).color")
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.reload()
    expect(page.frame_locator("iframe[title='Training run']").locator("html")).to_have_attribute("data-theme", "dark")
    dark = body.evaluate("body => getComputedStyle(body).color")
    assert light != dark


def test_a_task_without_a_run_says_so(page: Page, ended: Run) -> None:
    expect(training_run(page, ended, "deploy").locator("body")).to_contain_text("no training run")


def test_the_page_is_for_those_who_are_signed_in_and_holds_no_key(
    airflow: Standalone, ended: Run, platform: LocalPlatform
) -> None:
    where = {"dag_id": "seen", "run_id": ended.run_id, "task_id": "train"}
    address = f"{airflow.api.base_url}/truss-train/run"
    assert httpx.get(address, params=where).status_code == 401

    answer = airflow.api.get("/truss-train/run", params=where).raise_for_status()
    assert "checkpoint-3" in answer.text
    assert platform.remote.key.get_secret_value() not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_tasks_lead_to_the_job_the_checkpoint_and_the_model(page: Page, ended: Run, client: Client) -> None:
    _, second = jobs_named(client, jobs.run_key("seen", ended.run_id, "train", -1))
    job_page = client.remote.job_page(second.training_project_id, second.id)
    deployment = ended.get("/taskInstances/deploy/xcomEntries/return_value")["value"]
    model_page = client.remote.model_page(deployment["model_id"], deployment["deployment_id"])
    first_job_page = job_page.replace(second.id, ended.returned()["attempts"][0]["job_id"])
    for task_id, name, wanted in (
        ("train", "Training job", job_page),
        ("choose", "Checkpoint", first_job_page),
        ("deploy", "Model", model_page),
    ):
        page.goto(address(ended, task_id, "/details"))
        expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute("href", wanted)


def test_the_log_grows_while_the_task_is_deferred(page: Page, airflow: Standalone) -> None:
    run = airflow.start("deferred", seconds=15.0)
    run.waits("deferred")
    page.goto(address(run, "train"))
    expect(page.get_by_text("step 1/5").first).to_be_visible()
    expect(page.get_by_text("step 2/5").first).to_be_visible()  # without a reload
    assert run.task()["state"] == "deferred"
    run.mark("failed")


def test_the_form_of_a_new_connection_has_its_fields(page: Page) -> None:
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox").first.click()
    page.keyboard.type("Baseten")
    page.get_by_role("option", name="Baseten").or_(page.get_by_text("Baseten", exact=True)).first.click()
    for fields in (("Address", "API key", "Port"), ("Team", "Remote")):
        for field in fields:
            expect(form.get_by_text(field, exact=True)).to_be_visible()
        form.get_by_role("button", name="Extra Fields", exact=True).click()  # one group of fields is open at a time


def test_the_test_button_of_a_connection_asks_the_api(page: Page, airflow: Standalone, platform: LocalPlatform) -> None:
    host, _, port = platform.remote.api_url.rpartition(":")  # Airflow 3.3.2 tests none that has no port
    facts = {"connection_id": "seen", "conn_type": "baseten", "host": host, "port": int(port)}
    key = {"password": platform.remote.key.get_secret_value()}
    airflow.api.post("/api/v2/connections", json={**facts, **key}).raise_for_status()
    page.goto("/connections")
    with page.expect_response(lambda response: response.url.endswith("/connections/test")) as tested:
        page.get_by_role("button", name="Test Connection").click()
    assert tested.value.json() == {"status": True, "message": f"{platform.remote.api_url} accepts the key."}
