"""Train for long on spot capacity: cheap, taken away again and again, and through by a deadline all the same.

Each attempt goes on from the last verified checkpoint. Near the deadline, attempts begin on dedicated capacity; past
it, or when the money is spent, the job is stopped. A table tells what each preemption cost.
"""

from pathlib import Path

from airflow.sdk import DAG, Param

from airflow_provider_truss_train.operators import ChooseCheckpointOperator, TrainingJobOperator

CONFIG = Path(__file__).parents[2] / "examples" / "digits" / "config.py"
PARAMS = {
    "config": Param(str(CONFIG), description="Path of a config.py, whose availability_model is “spot”."),
    "variables": Param({}, type="object", description="Environment variables of the training."),
    "hours": Param(24.0, type="number", description="From the time the run is due to its deadline."),
    "hours_undisturbed": Param(
        6.0,
        type="number",
        description="How long the training takes on capacity that stays: from so long before the deadline on, "
        "attempts begin there.",
    ),
    "max_cost": Param(100.0, type="number", description="Of all attempts, in the currency of the prices."),
    "price": Param(6.5, type="number", description="Of one node for an hour, on dedicated capacity."),
    "spot_price": Param(2.5, type="number", description="The same on spot capacity."),
}

with DAG("spot", schedule=None, params=PARAMS, render_template_as_native_obj=True, tags=["truss-train"]):
    train = TrainingJobOperator(
        task_id="train",
        config="{{ params.config }}",
        environment_variables="{{ params.variables }}",
        max_preemptions=50,
        max_cost="{{ params.max_cost }}",
        price="{{ params.price }}",
        spot_price="{{ params.spot_price }}",
        deadline="{{ dag_run.run_after + macros.timedelta(hours=params.hours) }}",
        deadline_margin="{{ params.hours_undisturbed * 3600 }}",
    )
    ChooseCheckpointOperator(task_id="choose", run=train.output, metric="eval_loss", mode="min")
