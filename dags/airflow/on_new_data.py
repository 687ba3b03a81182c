"""Fine-tune whenever a dataset has changed, on exactly the version that set the run off.

Versions that arrive while Airflow has not yet begun a run for the first of them come to one run: it trains on the last.
"""

import os
from pathlib import Path

from airflow.sdk import DAG, Asset, AssetWatcher

from airflow_provider_truss_train.assets import NewDatasetVersionTrigger
from airflow_provider_truss_train.operators import TrainingJobOperator

CONFIG = Path(__file__).parents[2] / "examples" / "digits" / "config.py"
DATA = os.environ.get("DIGITS_DATA", "file:///srv/digits")
EVENT = "(triggering_asset_events.values() | first | last).extra.payload"

data = Asset(
    "digits-data",
    watchers=[AssetWatcher(name="files", trigger=NewDatasetVersionTrigger(source=DATA, poll_interval=5.0))],
)

with DAG("on_new_data", schedule=[data], max_active_runs=1, params={"epochs": 5}, tags=["truss-train"]):
    TrainingJobOperator(
        task_id="train",
        config=CONFIG,
        inlets=[data],
        environment_variables={
            "EPOCHS": "{{ params.epochs }}",
            "DATA_SOURCE": f"{{{{ {EVENT}.source }}}}",
            "DATA_VERSION": f"{{{{ {EVENT}.version }}}}",
        },
    )
