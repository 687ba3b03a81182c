"""The blocks, for Prefect's registry of collections."""

from prefect_truss_train.credentials import BasetenCredentials
from prefect_truss_train.training_job import TrainingJob

__all__ = ["BasetenCredentials", "TrainingJob"]
