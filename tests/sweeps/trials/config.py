"""Trials of a few seconds that need nothing installed. BEHAVIOUR says how one does: better, good, poor, nan, fails."""

from truss_train import definitions

training_project = definitions.TrainingProject(
    name="trials",
    job=definitions.TrainingJob(
        name="trials",
        image=definitions.Image(base_image="python:3.12-slim"),
        compute=definitions.Compute(cpu_count=1, memory="256Mi"),
        runtime=definitions.Runtime(
            start_commands=["python train.py"],
            checkpointing_config=definitions.CheckpointingConfig(enabled=True),
        ),
    ),
)

deploy_config = definitions.DeployCheckpointsConfig(
    model_name="trials",
    compute=definitions.Compute(cpu_count=1, memory="256Mi"),
    runtime=definitions.DeployCheckpointsRuntime(
        local_server=definitions.LocalServer(start_command='python "$MODEL_DIR/serve.py"', predict_endpoint="/predict"),
    ),
)
