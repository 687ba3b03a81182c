"""An accelerator written as text, and a checkpoint to load that is left to the server."""

from truss_train import Compute, Image, LoadCheckpointConfig, Runtime, TrainingJob, TrainingProject

project = TrainingProject(
    name="accelerator-text",
    job=TrainingJob(
        image=Image(base_image="python:3.11-slim"),
        compute=Compute(accelerator="A100_40GB:8"),
        runtime=Runtime(load_checkpoint_config=LoadCheckpointConfig(enabled=True)),
    ),
)
