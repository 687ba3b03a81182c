"""The instance types that this platform pretends to have: a few CPU machines, and one to eight GPUs of every type.

They stand for what a definition asks for. What a job gets is this machine.
"""

from __future__ import annotations

from functools import cache

from truss_train_core.api.models import InstanceType
from truss_train_core.definitions import Accelerator, Compute

_CPU = ((1, 2), (1, 4), (2, 8), (4, 16), (8, 32), (16, 64), (32, 128), (64, 256))  # cores, memory in GiB
_GPU = {  # memory of the GPU, cores and memory beside each GPU, in GiB
    Accelerator.T4: (16, 4, 16),
    Accelerator.L4: (24, 4, 16),
    Accelerator.L40S: (48, 8, 32),
    Accelerator.A10G: (24, 4, 16),
    Accelerator.V100: (16, 8, 61),
    Accelerator.A100: (80, 12, 144),
    Accelerator.A100_40GB: (40, 12, 85),
    Accelerator.H100: (80, 26, 234),
    Accelerator.H100_40GB: (40, 13, 117),
    Accelerator.H200: (141, 24, 240),
    Accelerator.B200: (180, 28, 384),
    Accelerator.B300: (288, 28, 384),
    Accelerator.GB300: (288, 36, 240),
    Accelerator.RTX_PRO_6000: (96, 16, 128),
}
GPUS_PER_NODE = 8
"""The most GPUs that one node has."""


@cache
def catalogue() -> dict[str, InstanceType]:
    """All instance types by id, smallest first within their kind."""
    types = [
        InstanceType(
            id=f"{cores}x{memory}", name=f"{cores}x{memory} - {cores} vCPU, {memory} GiB", millicpu_limit=cores * 1000,
            memory_limit_mib=memory * 1024,
        )
        for cores, memory in _CPU
    ]  # fmt: skip
    types += [
        InstanceType(
            id=f"{gpu}:{count}", name=f"{gpu}:{count} - {count} {gpu}, {cores * count} vCPU, {memory * count} GiB",
            millicpu_limit=cores * count * 1000, memory_limit_mib=memory * count * 1024,
            gpu_count=count, gpu_type=gpu.value, gpu_memory_limit_mib=gpu_memory * 1024,
        )
        for gpu, (gpu_memory, cores, memory) in _GPU.items()
        for count in range(1, GPUS_PER_NODE + 1)
    ]  # fmt: skip
    return {kind.id: kind for kind in types}


def instance_for(compute: Compute) -> InstanceType:
    """The smallest instance type that fits one node of `compute`; without GPUs the largest, where none does.

    Raises:
        ValueError: more GPUs than a node has.
    """
    spec = compute.accelerator
    if spec and spec.accelerator:
        if spec.count > GPUS_PER_NODE:
            raise ValueError(f"{spec} asks for more GPUs than the {GPUS_PER_NODE} of one node; use more nodes")
        return catalogue()[f"{spec.accelerator}:{spec.count}"]
    machines = [kind for kind in catalogue().values() if not kind.gpu_count]
    fitting = (
        kind
        for kind in machines
        if kind.millicpu_limit >= compute.cpu_count * 1000 and kind.memory_limit_mib * 2**20 >= compute.memory_bytes
    )
    return next(fitting, machines[-1])
