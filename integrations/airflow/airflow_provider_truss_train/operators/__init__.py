"""Operators: submit, train, choose, deploy, promote, stop. Each: arguments, the flow it drives, what it shows."""

from airflow_provider_truss_train.operators.choose import ChooseCheckpointOperator
from airflow_provider_truss_train.operators.deploy import DeployCheckpointOperator
from airflow_provider_truss_train.operators.promote import PromoteDeploymentOperator
from airflow_provider_truss_train.operators.stop import StopTrainingJobOperator
from airflow_provider_truss_train.operators.submit import SubmitTrainingJobOperator
from airflow_provider_truss_train.operators.train import TrainingJobOperator

__all__ = [
    "ChooseCheckpointOperator",
    "DeployCheckpointOperator",
    "PromoteDeploymentOperator",
    "StopTrainingJobOperator",
    "SubmitTrainingJobOperator",
    "TrainingJobOperator",
]
