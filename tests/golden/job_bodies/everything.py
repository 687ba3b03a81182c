"""No field at its default."""

from truss.base.truss_config import Accelerator, AcceleratorSpec, WeightsSource
from truss_train.definitions import (
    AvailabilityModel,
    BasetenCheckpoint,
    CacheConfig,
    CheckpointingConfig,
    Compute,
    Image,
    InteractiveSession,
    InteractiveSessionAuthProvider,
    InteractiveSessionProvider,
    InteractiveSessionTrigger,
    LoadCheckpointConfig,
    LoopsCheckpoint,
    Runtime,
    SecretReference,
    TrainingJob,
    TrainingProject,
    Workspace,
)

job = TrainingJob(
    name="everything",
    priority=-3,
    enable_baseten_workdir=False,
    image=Image(base_image="ghcr.io/example/trainer:1"),
    compute=Compute(
        node_count=4,
        cpu_count=96,
        memory="1.5Ti",
        accelerator=AcceleratorSpec(accelerator=Accelerator.GB300, count=4),
        availability_model=AvailabilityModel.SPOT,
    ),
    runtime=Runtime(
        start_commands=["pip install -r requirements.txt", "torchrun train.py"],
        environment_variables={"SEED": "7", "WANDB_API_KEY": SecretReference(name="wandb")},
        checkpointing_config=CheckpointingConfig(enabled=True, checkpoint_path="/mnt/out", volume_size_gib=500),
        load_checkpoint_config=LoadCheckpointConfig(
            enabled=True,
            download_folder="/mnt/in",
            checkpoints=[
                BasetenCheckpoint.from_latest_checkpoint(project_name="everything"),
                BasetenCheckpoint.from_latest_checkpoint(job_id="gvpql31"),
                BasetenCheckpoint.from_latest_checkpoint(project_name="everything", job_id="gvpql31"),
                BasetenCheckpoint.from_named_checkpoint(checkpoint_name="checkpoint-24", job_id="gvpql31"),
                LoopsCheckpoint.from_checkpoint(run_id="run1", checkpoint_name="step-100"),
                LoopsCheckpoint.from_checkpoint(run_id="run1", checkpoint_name="step-100", target="sampler"),
            ],
        ),
        cache_config=CacheConfig(
            enabled=True, enable_legacy_hf_mount=True, require_cache_affinity=False, mount_base_path="/cache"
        ),
    ),
    interactive_session=InteractiveSession(
        trigger=InteractiveSessionTrigger.ON_FAILURE,
        timeout_minutes=-1,
        session_provider=InteractiveSessionProvider.SSH,
        auth_provider=InteractiveSessionAuthProvider.GITHUB,
    ),
    workspace=Workspace(workspace_root="..", external_dirs=["../../shared"], exclude_dirs=["../data"]),
    weights=[WeightsSource(source="hf://meta-llama/Llama-3.1-8B@main", mount_location="/models/base")],
)

project = TrainingProject(name="everything", job=job, team_name="research")
