"""A job of seconds that leaves behind all that a job can: lines, checkpoints of two kinds, files in the cache."""

from truss_train import definitions

runtime = definitions.Runtime(
    start_commands=["python train.py"],
    checkpointing_config=definitions.CheckpointingConfig(enabled=True),
    cache_config=definitions.CacheConfig(enabled=True),
)

project = definitions.TrainingProject(
    name="interop",
    job=definitions.TrainingJob(name="tiny", image=definitions.Image(base_image="python:3.11-slim"), runtime=runtime),
)
