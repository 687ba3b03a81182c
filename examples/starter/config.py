"""A training job to begin with. It needs nothing but Python, on Baseten and on the local platform alike."""

from truss_train import definitions

training_project = definitions.TrainingProject(
    name="starter",
    job=definitions.TrainingJob(
        name="starter",
        image=definitions.Image(base_image="python:3.12-slim"),
        # For a GPU: accelerator="H100:1". On machines that cost less, and may be taken away: availability_model="spot".
        compute=definitions.Compute(cpu_count=1, memory="2Gi"),
        runtime=definitions.Runtime(
            start_commands=["python train.py"],
            environment_variables={"STEPS": "50"},
            checkpointing_config=definitions.CheckpointingConfig(enabled=True),
        ),
    ),
)
