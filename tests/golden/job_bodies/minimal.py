"""Nothing but what is required: every default."""

from truss_train import definitions

project = definitions.TrainingProject(
    name="minimal",
    job=definitions.TrainingJob(image=definitions.Image(base_image="python:3.11-slim")),
)
