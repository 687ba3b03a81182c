from truss_train import definitions
from truss_train.definitions import LocalServer

training_project = definitions.TrainingProject(
    name="quick",
    job=definitions.TrainingJob(
        name="quick",
        image=definitions.Image(base_image="python:3.12-slim"),
        compute=definitions.Compute(cpu_count=1, memory="256Mi"),
        runtime=definitions.Runtime(
            start_commands=["python train.py"],
            environment_variables={"STEPS": "4"},
            checkpointing_config=definitions.CheckpointingConfig(enabled=True),
        ),
    ),
)

deploy_config = definitions.DeployCheckpointsConfig(
    model_name="quick",
    compute=definitions.Compute(cpu_count=1, memory="256Mi"),
    runtime=definitions.DeployCheckpointsRuntime(
        local_server=LocalServer(start_command='python "$MODEL_DIR/serve.py"', predict_endpoint="/predict"),
    ),
)
