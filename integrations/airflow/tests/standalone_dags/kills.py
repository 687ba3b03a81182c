"""DAGs whose tasks are killed, cleared and marked by tests/test_standalone.py."""

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_truss_train.operators import TrainingJobOperator

CONFIG = Path(__file__).parents[4] / "tests" / "cli" / "quick" / "config.py"
COMMON = {"config": CONFIG, "retries": 4, "retry_delay": timedelta(seconds=1)}
PACE = {"STEP_SECONDS": "{{ params.seconds }}"}

for deferrable in (True, False):
    with DAG("deferred" if deferrable else "undeferred", schedule=None, params={"seconds": 1.0}):
        TrainingJobOperator(task_id="train", environment_variables=PACE, deferrable=deferrable, **COMMON)

for deferrable in (True, False):
    with DAG("deferred_once" if deferrable else "undeferred_once", schedule=None, params={"seconds": 1.0}):
        TrainingJobOperator(task_id="train", config=CONFIG, environment_variables=PACE, deferrable=deferrable)

with DAG("interfered", schedule=None):
    TrainingJobOperator(task_id="train", baseten_conn_id="interfered", deferrable=False, **COMMON)

with DAG("cancelling", schedule=None, params={"seconds": 1.0}):
    TrainingJobOperator(task_id="train", environment_variables=PACE, on_clear="cancel", **COMMON)

with DAG("limited", schedule=None, params={"seconds": 1.0}, dagrun_timeout=timedelta(seconds=15)):
    TrainingJobOperator(task_id="train", environment_variables=PACE, **COMMON)

with DAG("many", schedule=None, params={"seconds": 1.0}, max_active_tasks=6):
    TrainingJobOperator.partial(task_id="train", **COMMON).expand(environment_variables=[PACE] * 20)

with DAG("queued", schedule=None):
    numbers = [{"NUMBER": str(number)} for number in range(20)]
    TrainingJobOperator.partial(task_id="train", baseten_conn_id="queue", **COMMON).expand(
        environment_variables=numbers
    )
