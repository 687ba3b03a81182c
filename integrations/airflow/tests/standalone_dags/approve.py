"""The pipelines approve and retrain, for tests/test_standalone.py."""

import runpy
from pathlib import Path

PIPELINES = Path(__file__).parents[4] / "dags" / "airflow"
approve = runpy.run_path(str(PIPELINES / "approve.py"))["dag"]
retrain = runpy.run_path(str(PIPELINES / "retrain.py"))["dag"]
