"""A training whose definition is made by a function, when the task runs, and one that another task waits for."""

from airflow.sdk import DAG, task

from airflow_provider_truss_train.operators import SubmitTrainingJobOperator
from airflow_provider_truss_train.sensors import CheckpointSensor, TrainingJobSensor

CONFIG = "../../examples/digits/config.py"


with DAG("decorated", schedule=None, params={"epochs": 5}, tags=["truss-train"]):

    @task.training_job(config=CONFIG)
    def train(params: dict | None = None) -> dict[str, str]:
        """Environment variables for the definition; a function can return the whole definition as well."""
        assert params
        return {"EPOCHS": str(params["epochs"]), "LEARNING_RATE": "0.05"}

    submit = SubmitTrainingJobOperator(
        task_id="submit", config=CONFIG, environment_variables={"EPOCHS": "{{ params.epochs }}"}
    )
    first = CheckpointSensor(task_id="first_checkpoint", run=submit.output, timeout=600)
    done = TrainingJobSensor(task_id="done", run=submit.output, timeout=3600)
    train() >> submit
    first >> done
