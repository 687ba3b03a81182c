"""A gate job: score checkpoints that were trained by config.py, which whoever submits it says, on held-out digits."""

from truss_train import definitions

training_project = definitions.TrainingProject(
    name="digits",
    job=definitions.TrainingJob(
        name="digits-score",
        image=definitions.Image(base_image="python:3.12-slim"),
        compute=definitions.Compute(cpu_count=1, memory="2Gi"),
        runtime=definitions.Runtime(
            start_commands=["python score.py"],
            environment_variables={"OMP_NUM_THREADS": "1"},  # as many as cpu_count
            checkpointing_config=definitions.CheckpointingConfig(enabled=True),
        ),
    ),
)
