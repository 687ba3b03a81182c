"""Train on two nodes on spot capacity: each rank holds half of the optimizer's state and saves its own shard."""

from truss_train import definitions

training_project = definitions.TrainingProject(
    name="two-nodes",
    job=definitions.TrainingJob(
        name="two-nodes",
        image=definitions.Image(base_image="python:3.12-slim"),
        compute=definitions.Compute(node_count=2, cpu_count=1, memory="2Gi", availability_model="spot"),
        runtime=definitions.Runtime(
            # The same on every node. With PyTorch and GPUs, torchrun sets these variables for each process of a node:
            # torchrun --nnodes=$BT_GROUP_SIZE --node-rank=$BT_NODE_RANK --nproc-per-node=$BT_NUM_GPUS
            #          --master-addr=$BT_LEADER_ADDR --master-port=29500 train.py
            start_commands=[
                "RANK=$BT_NODE_RANK WORLD_SIZE=$BT_GROUP_SIZE MASTER_ADDR=$BT_LEADER_ADDR python train.py",
            ],
            environment_variables={"EPOCHS": "40", "OMP_NUM_THREADS": "1"},
            checkpointing_config=definitions.CheckpointingConfig(enabled=True),
        ),
    ),
)
