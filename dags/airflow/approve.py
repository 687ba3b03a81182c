"""Score the best three checkpoints, ask a person, promote, watch, and roll back by itself what fails its probes."""

from pathlib import Path

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, task

from airflow_provider_truss_train.operators import (
    ChooseCheckpointOperator,
    DeployCheckpointOperator,
    PromoteDeploymentOperator,
    RankCheckpointsOperator,
    TrainingJobOperator,
)
from airflow_provider_truss_train.sensors import ProbationSensor
from truss_train_core import gates

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
HELD_OUT = gates.labelled(DIGITS / "held_out.json", label="digit", patience=30)
EVALUATION = """
- by {{ ti.xcom_pull("choose").reason }}: {{ ti.xcom_pull("choose").checkpoint.checkpoint_id }}
- by {{ ti.xcom_pull("rank")[0].reason }}: {{ ti.xcom_pull("rank")[0].checkpoint.checkpoint_id }}
"""
PARAMS = {"epochs": 20, "hidden": 4096, "approval": True, "probe_seconds": 1800, "probe_every": 60, "accuracy": 0.9}


@task.branch
def ask_a_person(params: dict | None = None) -> str:
    """Whether a person is asked, which a run may leave out."""
    return "approve" if params and params["approval"] else "promote"


with DAG("approve", schedule=None, params=PARAMS, default_args={"retries": 2}, tags=["truss-train"]) as dag:
    sizes = {"EPOCHS": "{{ params.epochs }}", "HIDDEN": "{{ params.hidden }}"}
    config = DIGITS / "config.py"
    train = TrainingJobOperator(task_id="train", config=config, environment_variables=sizes)
    rank = RankCheckpointsOperator(task_id="rank", run=train.output, metric="eval_loss", mode="min", count=3)
    score = TrainingJobOperator(task_id="score", config=DIGITS / "score_config.py", begin_from=rank.output)
    scores = {"metric": "held_out_accuracy", "mode": "max", "scored_by": score.output, "among": rank.output}
    choose = ChooseCheckpointOperator(task_id="choose", run=train.output, **scores)
    deploy = DeployCheckpointOperator(task_id="deploy", checkpoint=choose.output, config=config)
    approve = ApprovalOperator(
        task_id="approve",
        subject="Put {{ ti.xcom_pull('choose').checkpoint.checkpoint_id }} of run {{ run_id }} into production?",
        body=EVALUATION,
    )
    promote = PromoteDeploymentOperator(
        task_id="promote", deployment=deploy.output, trigger_rule="none_failed_min_one_success"
    )
    ProbationSensor(
        task_id="watch",
        promoted=promote.output,
        probes=lambda context: [gates.score(HELD_OUT, at_least=context["params"]["accuracy"])],
        seconds="{{ params.probe_seconds }}",
        every="{{ params.probe_every }}",
    )
    asked = ask_a_person()
    deploy >> asked >> [approve, promote]
    approve >> promote
