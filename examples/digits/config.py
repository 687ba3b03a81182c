"""Train a classifier of handwritten digits on spot capacity, and say how its checkpoint is served."""

from truss_train import definitions
from truss_train.definitions import LocalServer

training_project = definitions.TrainingProject(
    name="digits",
    job=definitions.TrainingJob(
        name="digits-mlp",
        image=definitions.Image(base_image="python:3.12-slim"),
        compute=definitions.Compute(cpu_count=1, memory="2Gi", availability_model="spot"),
        runtime=definitions.Runtime(
            start_commands=["python train.py"],
            environment_variables={
                "EPOCHS": "20",
                "HIDDEN": "4096",
                "LEARNING_RATE": "0.1",
                "OMP_NUM_THREADS": "1",  # as many as cpu_count
            },
            checkpointing_config=definitions.CheckpointingConfig(enabled=True),
        ),
    ),
)

# Which checkpoint is deployed is decided after the training, by its metric.
deploy_config = definitions.DeployCheckpointsConfig(
    model_name="digits",
    compute=definitions.Compute(cpu_count=1, memory="2Gi"),
    runtime=definitions.DeployCheckpointsRuntime(
        # Only the local platform reads this: Baseten chooses its own server for a checkpoint.
        local_server=LocalServer(start_command='python "$MODEL_DIR/serve.py"', predict_endpoint="/predict"),
    ),
)
