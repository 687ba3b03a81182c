"""A real Chromium that is signed in to a real platform, which really runs the jobs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import Site
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from truss_train_core.testing import LocalPlatform

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-precise-memory-info",
)  # fmt: skip
PATIENCE = 60_000  # milliseconds


@pytest.fixture(scope="module")  # while it is there, this thread has a running loop, which other tests cannot have
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM") or CHROMIUM, args=QUIET)
        except Error as error:
            pytest.skip(f"no Chromium that starts is installed here: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def site(chromium: Browser, tmp_path: Path) -> Iterator[Site]:
    with LocalPlatform.started(tmp_path / "platform", stop_grace=2.0) as platform, Site.of(platform) as site:
        yield site


@pytest.fixture
def context(chromium: Browser, site: Site) -> Iterator[BrowserContext]:
    """A browser that is signed in."""
    with chromium.new_context() as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(site.platform.sign_in_link())
        page.close()
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab in which nothing may go wrong unnoticed."""
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield page
    assert problems == []
