"""The documentation's example of an approval, for tests/test_standalone.py."""

import runpy
from pathlib import Path

dag = runpy.run_path(str(Path(__file__).parents[4] / "dags" / "airflow" / "approved.py"))["dag"]
