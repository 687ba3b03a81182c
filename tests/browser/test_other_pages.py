from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browsing import TRAIN, Site
from playwright.sync_api import Browser, BrowserContext, Page, expect

pytestmark = pytest.mark.slow
expect.set_options(timeout=60_000)

SERVER = (
    'python -c "import http.server as h; H = h.BaseHTTPRequestHandler; '
    "H.do_GET = lambda s: (s.send_response(200), s.end_headers()); "
    "said = lambda s: s.rfile.read(int(s.headers['Content-Length'])) + str(s.headers['Cookie']).encode(); "
    "H.do_POST = lambda s: (s.send_response(200), s.end_headers(), s.wfile.write(b'you said ' + said(s))); "
    "import os; h.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()\""
)
"""A model that repeats what it is asked, and which cookies came along."""


def test_a_checkpoint_is_deployed_and_asked_from_the_pages(site: Site, page: Page) -> None:
    job = site.job(TRAIN.format(last=2, then=""))
    page.goto(site.url + job)
    row = page.locator("tr", has_text="checkpoint-2")
    row.get_by_role("button", name="Deploy").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    row.get_by_role("button", name="Deploy").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Model name").fill("echo")
    dialog.get_by_label("Start command").fill(SERVER)
    dialog.get_by_role("button", name="Deploy").click()

    page.wait_for_url("**/models/*/logs/*")
    expect(page.locator(".badge").first).to_have_text("active")
    expect(page.locator(".lines")).to_contain_text("The model is ready")
    box = page.get_by_label("JSON to send")
    box.fill('{"question": 1}')
    box.press("Control+Enter")
    expect(page.locator("[data-answer]")).to_have_text('you said {"question": 1}None')

    deployment = page.url
    page.goto(site.url + job)
    page.get_by_role("link", name="deployed as deployment-1").click()
    page.on("dialog", lambda dialog: dialog.accept())
    assert page.url == deployment
    page.get_by_role("button", name="Promote").click()
    expect(page.locator("#head")).to_contain_text("production")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".badge").first).to_have_text("inactive")
    page.get_by_role("link", name="Deployments").first.click()
    expect(page.locator("#list")).to_contain_text("echo")


def test_lists_change_by_themselves_and_with_what_is_typed(site: Site, page: Page) -> None:
    page.goto(site.url)
    expect(page.locator("#list")).to_contain_text("No project yet")
    site.job("sleep 600", name="first")
    expect(page.get_by_role("link", name="digits")).to_be_visible()
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.locator(".badge")).to_have_text("running")
    site.job("sleep 600", name="second")
    expect(page.get_by_role("link", name="second")).to_be_visible()

    page.keyboard.press("/")
    page.keyboard.type("firs")
    expect(page.get_by_role("link", name="second")).to_be_hidden()
    expect(page.get_by_role("link", name="first")).to_be_visible()
    assert page.url.endswith("/jobs?q=firs")
    page.reload()
    expect(page.get_by_label("Search jobs")).to_have_value("firs")


def test_pages_fit_a_phone_and_the_dark(site: Site, chromium: Browser, context: BrowserContext) -> None:
    job = site.job(TRAIN.format(last=3, then=""), name="digits-0123456789-1")
    site.became(job, "COMPLETED")
    with chromium.new_context(
        viewport={"width": 360, "height": 740}, color_scheme="dark", storage_state=context.storage_state()
    ) as phone:
        page = phone.new_page()
        for path in ("/", "/jobs", "/models", job):
            page.goto(site.url + path)
            expect(page.locator("#live")).to_have_text("live")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            assert sum(map(int, re.findall(r"\d+", background))) < 150
        page.get_by_role("button", name="Deploy").first.click(trial=True)  # it is in reach


@contextmanager
def serving(data_dir: Path, port: int) -> Iterator[str]:
    """A server that leaves its jobs running; gives its sign-in link."""
    command = [sys.executable, "-m", "truss_train_core.local", "--data-dir", str(data_dir), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield str(json.loads(process.stdout.readline())["sign_in"])
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_page_outlives_a_restart_of_the_server(chromium: Browser, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with chromium.new_context() as context:
        page = context.new_page()
        with serving(tmp_path, port) as link:
            page.goto(link)
            expect(page.locator("#live")).to_have_text("live")
            page.evaluate("window.isTheSamePage = true")
        expect(page.locator("#live")).to_have_text("connecting…")
        with serving(tmp_path, port):
            expect(page.locator("#live")).to_have_text("live")
            assert page.evaluate("window.isTheSamePage")
            page.reload()
            expect(page.get_by_role("heading", name="Projects")).to_be_visible()
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
