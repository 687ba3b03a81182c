"""`enable_cache` from before there was a `cache_config`, switched off: the cache is configured, as disabled."""

from truss_train import Image, Runtime, TrainingJob, TrainingProject

project = TrainingProject(
    name="deprecated-cache",
    job=TrainingJob(image=Image(base_image="python:3.11-slim"), runtime=Runtime(enable_cache=False)),
)
