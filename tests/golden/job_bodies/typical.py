"""One node of two GPUs, a secret, checkpoints and a cache, as most recipes have it."""

from truss.base import truss_config
from truss_train import definitions

runtime = definitions.Runtime(
    start_commands=["/bin/sh -c 'chmod +x ./run.sh && ./run.sh'"],
    environment_variables={
        "HF_TOKEN": definitions.SecretReference(name="hf_access_token"),
        "HF_HUB_ENABLE_HF_TRANSFER": "true",
        "EMPTY": "",
    },
    checkpointing_config=definitions.CheckpointingConfig(enabled=True),
    cache_config=definitions.CacheConfig(enabled=True),
)

project = definitions.TrainingProject(
    name="Fine-tune – größer",
    job=definitions.TrainingJob(
        name="lora",
        image=definitions.Image(base_image="pytorch/pytorch:2.7.0-cuda12.8-cudnn9-runtime"),
        compute=definitions.Compute(
            accelerator=truss_config.AcceleratorSpec(accelerator=truss_config.Accelerator.H100, count=2),
        ),
        runtime=runtime,
    ),
)
