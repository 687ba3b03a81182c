"""A real Chromium that looks at a real Airflow."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, sync_playwright

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SIZE = {"width": 1400, "height": 900}
PATIENCE = 120_000
"""Milliseconds that a page may take."""


class NoChromium(Exception):
    """None is installed here."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for a while.

    Raises:
        NoChromium: there is none.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        raise NoChromium("There is no Chromium here; CHROMIUM may say where one is.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


def signed_in(browser: Browser, api: httpx.Client, **settings: Any) -> BrowserContext:
    """A window in which Airflow knows the person: the one whose token a client of its API has.

    Args:
        browser: which.
        api: a client of that Airflow.
        settings: of the window, as `Browser.new_context` takes them.
    """
    address = str(api.base_url)
    window = browser.new_context(base_url=address, viewport=SIZE, **settings)
    window.set_default_timeout(PATIENCE)
    token = api.headers["Authorization"].removeprefix("Bearer ")
    window.add_cookies([{"name": "_token", "value": token, "url": address}])
    return window
