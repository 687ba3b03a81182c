"""An accelerator without a type is none."""

from truss.base.truss_config import AcceleratorSpec
from truss_train import Compute, Image, TrainingJob, TrainingProject

project = TrainingProject(
    name="no-accelerator-type",
    job=TrainingJob(image=Image(base_image="python:3.11-slim"), compute=Compute(accelerator=AcceleratorSpec())),
)
