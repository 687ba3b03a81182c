"""Jobs for the rows: one to give to a local platform, and what answers tell of one."""

from __future__ import annotations

from truss_train_core.definitions import CheckpointingConfig, Compute, Image, Runtime, TrainingJob, TrainingProject

EIGHT_H100 = {
    "id": "H100:8", "name": "H100:8", "memory_limit_mib": 1_000_000, "millicpu_limit": 100_000, "gpu_count": 8,
    "gpu_type": "H100", "gpu_memory_limit_mib": 81_920,
}  # fmt: skip
"""An instance type, as an answer tells of it."""


def project(*commands: str, name: str | None = None, **environment: str) -> TrainingProject:
    """A project with a job of these commands, that writes checkpoints."""
    runtime = Runtime(
        start_commands=list(commands),
        environment_variables=environment,
        checkpointing_config=CheckpointingConfig(enabled=True),
    )
    job = TrainingJob(name=name, image=Image(base_image="python"), compute=Compute(cpu_count=1), runtime=runtime)
    return TrainingProject(name="bench", job=job)
