"""A DAG that a change of a directory sets off: see tests/test_standalone.py."""

import os
from pathlib import Path

from airflow.sdk import DAG, Asset, AssetWatcher

from airflow_provider_truss_train.assets import NewDatasetVersionTrigger
from airflow_provider_truss_train.operators import TrainingJobOperator

CONFIG = Path(__file__).parents[4] / "tests" / "cli" / "quick" / "config.py"
EVENT = "(triggering_asset_events.values() | first | first).extra.payload"

watched = (Path(os.environ["AIRFLOW_HOME"]) / "data").as_uri()
trigger = NewDatasetVersionTrigger(source=watched, poll_interval=1.0)
data = Asset("data", watchers=[AssetWatcher(name="files", trigger=trigger)])

with DAG("new_data", schedule=[data]):
    version = f"{{{{ {EVENT}.version }}}}"
    TrainingJobOperator(task_id="train", config=CONFIG, environment_variables={"DATA_VERSION": version})
