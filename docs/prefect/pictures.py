"""Take the pictures of these pages: run the demonstration and photograph Prefect's pages with a real browser.

.venv-prefect/bin/python -I docs/prefect/pictures.py        # needs chromium
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from prefect_truss_train.testing import PrefectServer, free_port
from truss_train_core.testing import LocalPlatform

HERE = Path(__file__).resolve().parent
DEMO = HERE.parents[1] / "demos" / "prefect.py"
SIZES = {"flow-run": "1300,620", "summary": "1300,880", "checkpoints": "1300,1130", "progress": "1300,420"}


def main() -> None:
    browser = shutil.which("chromium") or sys.exit("There is no chromium.")
    spec = spec_from_file_location("demo", DEMO)
    assert spec
    assert spec.loader
    demo = module_from_spec(spec)
    spec.loader.exec_module(demo)
    home = Path(tempfile.mkdtemp())
    server = PrefectServer(f"http://127.0.0.1:{free_port()}", home / "server")
    os.environ.update(server.environment)  # before prefect is imported
    with PrefectServer.started(server.home, port=server.port), LocalPlatform.started(home / "platform") as platform:
        threading.Thread(target=demo.take_away_half_way, args=[platform], daemon=True).start()
        demo.tell_the_story(server, platform, time.monotonic())
        for name, address in pages().items():
            options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=20000"]
            options += [f"--window-size={SIZES[name]}", f"--screenshot={HERE / name}.png", server.url + address]
            subprocess.run([browser, *options], check=True, capture_output=True)


def pages() -> dict[str, str]:
    """The addresses of the pages to be photographed, by the name of the picture."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = {"flow-run": f"/runs/flow-run/{client.read_flow_runs()[0].id}"}
        for artifact in client.read_artifacts():
            what = (artifact.key or "").removeprefix("digits-")
            if what in SIZES:
                found.setdefault(what, f"/artifacts/artifact/{artifact.id}")
    return found


if __name__ == "__main__":
    main()
