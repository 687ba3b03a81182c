"""Take the picture of new_dataset.md: let a file arrive, and photograph the DAG run that it sets off.

.venv-airflow/bin/python docs/pipelines/new_dataset_picture.py        # needs chromium
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "integrations" / "airflow" / "tests" / "support"))
from browsing import chromium, signed_in  # noqa: E402
from standalone import Standalone, eventually  # noqa: E402

from truss_train_core.testing import LocalPlatform  # noqa: E402

DAGS = HERE.parents[1] / "dags" / "airflow"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, LocalPlatform.started(Path(folder) / "platform") as platform:
        home, data = Path(folder) / "airflow", Path("/tmp/digits")  # noqa: S108 - a short name for the picture
        home.mkdir()
        data.mkdir(exist_ok=True)
        (data / "1.csv").write_text("1,2,3\n")
        settings = {"DATASET_SOURCE": data.as_uri(), "DATASET_INTERVAL": "1"}
        with Standalone.started(home, platform.remote, DAGS, **settings) as airflow, chromium() as browser:
            airflow.unpaused("new_dataset")
            run = eventually("a run", lambda: airflow.runs("new_dataset"))[0]
            run.ends()
            page = signed_in(browser, airflow.api, color_scheme="light").new_page()
            page.set_viewport_size({"width": 1300, "height": 640})
            page.goto(f"/dags/new_dataset/runs/{quote(run.run_id, safe='')}")
            page.get_by_text("deploy").first.wait_for()
            page.wait_for_load_state("networkidle")
            page.screenshot(path=HERE / "new_dataset.png")


if __name__ == "__main__":
    main()
