"""A training of two seconds that needs nothing installed, with checkpoints of which the third is the best."""

from truss_train import definitions

training_project = definitions.TrainingProject(
    name="quick",
    job=definitions.TrainingJob(
        name="quick",
        image=definitions.Image(base_image="python:3.12-slim"),
        compute=definitions.Compute(availability_model="spot"),
        runtime=definitions.Runtime(
            start_commands=["python train.py"],
            checkpointing_config=definitions.CheckpointingConfig(enabled=True),
        ),
    ),
)

deploy_config = definitions.DeployCheckpointsConfig(
    model_name="quick",
    compute=definitions.Compute(),
    runtime=definitions.DeployCheckpointsRuntime(
        local_server=definitions.LocalServer(start_command='python "$MODEL_DIR/serve.py"', predict_endpoint="/predict"),
    ),
)
