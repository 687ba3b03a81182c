"""Train on two nodes that save a shard of each checkpoint each, and go on by rank where the job breaks off."""

from pathlib import Path

from airflow.sdk import DAG, Param

from airflow_provider_truss_train.operators import ChooseCheckpointOperator, TrainingJobOperator

CONFIG = Path(__file__).parents[2] / "examples" / "two_nodes" / "config.py"
PARAMS = {
    "config": Param(str(CONFIG), description="Path of a config.py, whose node_count says how many nodes."),
    "variables": Param({}, type="object", description="Environment variables of the training."),
}

with DAG("multi_node", schedule=None, params=PARAMS, render_template_as_native_obj=True, tags=["truss-train"]):
    train = TrainingJobOperator(
        task_id="train", config="{{ params.config }}", environment_variables="{{ params.variables }}", retries=2
    )
    # Its weights are spread over the nodes, and so not deployed as they are.
    ChooseCheckpointOperator(task_id="choose", run=train.output, metric="eval_loss", mode="min", deployable=False)
