"""Operators: find, train, rank, choose, deploy, promote, stop. Each: arguments, the flow it drives, what it shows."""

from airflow_provider_truss_train.operators.choose import ChooseCheckpointOperator, RankCheckpointsOperator
from airflow_provider_truss_train.operators.choose_trial import ChooseTrialOperator
from airflow_provider_truss_train.operators.deploy import DeployCheckpointOperator
from airflow_provider_truss_train.operators.find import FindServedCheckpointOperator
from airflow_provider_truss_train.operators.promote import PromoteDeploymentOperator
from airflow_provider_truss_train.operators.stop import StopTrainingJobOperator
from airflow_provider_truss_train.operators.submit import SubmitTrainingJobOperator
from airflow_provider_truss_train.operators.train import TrainingJobOperator

__all__ = [
    "ChooseCheckpointOperator",
    "ChooseTrialOperator",
    "DeployCheckpointOperator",
    "FindServedCheckpointOperator",
    "PromoteDeploymentOperator",
    "RankCheckpointsOperator",
    "StopTrainingJobOperator",
    "SubmitTrainingJobOperator",
    "TrainingJobOperator",
]
