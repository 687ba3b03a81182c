"""Jobs for the rows that need a local platform."""

from __future__ import annotations

from truss_train_core.definitions import CheckpointingConfig, Compute, Image, Runtime, TrainingJob, TrainingProject


def project(*commands: str, name: str | None = None, **environment: str) -> TrainingProject:
    """A project with a job of these commands, that writes checkpoints."""
    runtime = Runtime(
        start_commands=list(commands),
        environment_variables=environment,
        checkpointing_config=CheckpointingConfig(enabled=True),
    )
    job = TrainingJob(name=name, image=Image(base_image="python"), compute=Compute(cpu_count=1), runtime=runtime)
    return TrainingProject(name="bench", job=job)
