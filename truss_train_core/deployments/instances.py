"""Which instance type a deployment gets: the smallest single node that has what is asked for. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from truss_train_core.api.models import ListedInstance
from truss_train_core.definitions import Compute
from truss_train_core.errors import DefinitionError

_MIB = 1024**2


def choose_instance(compute: Compute, instances: Sequence[ListedInstance]) -> ListedInstance:
    """The smallest instance type with enough GPUs of the type, cores and memory.

    Raises:
        DefinitionError: there is none; the message names what comes near.
    """
    kind, count = _gpus(compute)
    right_kind = [each for each in instances if each.node_count == 1 and _plain(each.gpu_type) == kind]
    fitting = [
        each
        for each in right_kind
        if each.gpu_count >= count
        and each.millicpu_limit >= compute.cpu_count * 1000
        and each.memory_limit * _MIB >= compute.memory_bytes
    ]
    if fitting:
        return min(fitting, key=_size)
    wanted = f"{compute.accelerator or 'no GPU'}, {compute.cpu_count} cores and {compute.memory} of memory"
    largest = max(right_kind, key=_size, default=None)
    if largest:
        hint = f"The largest of that kind is {largest.name}: {largest.millicpu_limit // 1000} cores, "
        hint += f"{largest.memory_limit // 1024} GiB."
    else:
        kinds = sorted({each.gpu_type for each in instances if each.gpu_type and each.node_count == 1})
        hint = f"There is {', '.join(kinds) or 'no instance type with a GPU'}."
    raise DefinitionError(f"No instance type has {wanted}.", hint=hint)


def _gpus(compute: Compute) -> tuple[str, int]:
    spec = compute.accelerator
    return (_plain(spec.accelerator), spec.count) if spec and spec.accelerator else ("", 0)


def _plain(gpu_type: str | None) -> str:
    """GPU types are written "A100-40GB" in one place and A100_40GB in the other."""
    return re.sub(r"[^A-Z0-9]", "", (gpu_type or "").upper())


def _size(instance: ListedInstance) -> tuple[int, int, int, str]:
    return instance.gpu_count, instance.memory_limit, instance.millicpu_limit, instance.id
