"""Operators: submit, train, choose, deploy, stop. Each is arguments, the flow of the core it drives, what it shows."""

from airflow_provider_truss_train.operators.choose import ChooseCheckpointOperator
from airflow_provider_truss_train.operators.deploy import DeployCheckpointOperator
from airflow_provider_truss_train.operators.stop import StopTrainingJobOperator
from airflow_provider_truss_train.operators.submit import SubmitTrainingJobOperator
from airflow_provider_truss_train.operators.train import TrainingJobOperator

__all__ = [
    "ChooseCheckpointOperator",
    "DeployCheckpointOperator",
    "StopTrainingJobOperator",
    "SubmitTrainingJobOperator",
    "TrainingJobOperator",
]
