"""Train a small language model with the Hugging Face Trainer, and say how its checkpoint is served."""

from truss_train import definitions

training_project = definitions.TrainingProject(
    name="transformer",
    job=definitions.TrainingJob(
        name="transformer",
        # With a GPU: accelerator="H100:1". The image holds what train.py imports.
        image=definitions.Image(base_image="huggingface/transformers-pytorch-gpu:latest"),
        compute=definitions.Compute(cpu_count=1, memory="4Gi", availability_model="spot"),
        runtime=definitions.Runtime(
            start_commands=["python train.py"],
            environment_variables={
                "STEPS": "240",
                "SAVE_STEPS": "40",
                "SHARD_SIZE": "200KB",  # for a model of gigabytes: 5GB
                "OMP_NUM_THREADS": "1",  # as many as cpu_count
            },
            checkpointing_config=definitions.CheckpointingConfig(enabled=True),
        ),
    ),
)

# Baseten serves a checkpoint of this kind with vLLM. The local platform takes vLLM or `transformers serve`, whichever
# the interpreter of its jobs has beside it.
deploy_config = definitions.DeployCheckpointsConfig(
    model_name="transformer",
    compute=definitions.Compute(cpu_count=1, memory="4Gi"),
)
