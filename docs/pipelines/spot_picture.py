"""Take the pictures of spot.md and multi_node.md: run both flows, reclaim their machines, photograph the reports.

.venv-prefect/bin/python -I docs/pipelines/spot_picture.py        # needs chromium
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from prefect_truss_train.testing import PrefectServer, free_port
from truss_train_core.testing import LocalPlatform

HERE = Path(__file__).resolve().parent


def main() -> None:
    browser = shutil.which("chromium") or sys.exit("There is no chromium.")
    home = Path(tempfile.mkdtemp())
    server = PrefectServer(f"http://127.0.0.1:{free_port()}", home / "server")
    os.environ.update(server.environment)  # before prefect is imported
    with PrefectServer.started(server.home, port=server.port), LocalPlatform.started(home / "platform") as platform:
        from prefect_truss_train import BasetenCredentials

        BasetenCredentials(api_key=platform.remote.key, url=platform.remote.web_url).save("baseten")
        with platform.reclaiming("digits", 3):
            flow("spot")(variables={"EPOCHS": "12", "HIDDEN": "4096"})
        with platform.reclaiming("two-nodes", 1):
            flow("multi_node")(variables={"EPOCHS": "12", "STEPS_PER_EPOCH": "1500"})
        for name, key in (("spot", "digits-report"), ("multi_node", "two-nodes-report")):
            options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=20000"]
            options += ["--window-size=1660,520", f"--screenshot={HERE / name}.png", server.url + newest(key)]
            subprocess.run([browser, *options], check=True, capture_output=True)


def flow(name: str) -> Callable[..., Any]:
    """The flow of this name from the pipeline of this name."""
    spec = spec_from_file_location(name, HERE.parents[1] / "dags" / "prefect" / f"{name}.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., Any] = getattr(module, name)
    return found


def newest(key: str) -> str:
    """The address of the page of the newest artifact of a key."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    of_key = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=of_key, sort=ArtifactSort.CREATED_DESC)
    return f"/artifacts/artifact/{found[0].id}"


if __name__ == "__main__":
    main()
