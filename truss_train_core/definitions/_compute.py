"""What a job or a deployment runs on: nodes, processors, memory, accelerators."""

from __future__ import annotations

import math
import re
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from ._base import Choice, Definition


class Accelerator(Choice):
    """GPU types. Which of them an account may use is for the server to say."""

    T4 = "T4"
    L4 = "L4"
    L40S = "L40S"
    A10G = "A10G"
    V100 = "V100"
    A100 = "A100"
    A100_40GB = "A100_40GB"
    H100 = "H100"
    H100_40GB = "H100_40GB"
    H200 = "H200"
    B200 = "B200"
    B300 = "B300"
    GB300 = "GB300"
    RTX_PRO_6000 = "RTX_PRO_6000"


class AcceleratorSpec(Definition):
    """GPUs of one node: a type and how many, also written as text, `"H100"` or `"H100:8"`.

    Without a type it means no GPU. It is sent as an object, or null; `str()` gives the text form, which is what a
    Truss config.yaml takes.
    """

    accelerator: Accelerator | None = None
    count: int = Field(default=1, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        if data is None:
            return {}
        if not isinstance(data, str):
            return data
        match = re.fullmatch(r"\s*([^:\s]+)(?::([1-9]\d*))?\s*", data)
        if match is None:
            raise ValueError(f"{str(data)!r} is not TYPE or TYPE:COUNT, such as 'H100' or 'H100:8'")
        return {"accelerator": match[1], "count": int(match[2] or 1)}

    @model_serializer(mode="wrap")
    def _null_without_type(self, handler: SerializerFunctionWrapHandler) -> Any:
        return handler(self) if self.accelerator else None

    def __str__(self) -> str:
        if self.accelerator is None:
            return ""
        return f"{self.accelerator}:{self.count}" if self.count > 1 else str(self.accelerator)


class AvailabilityModel(Choice):
    """Whether the job can lose its nodes: never (dedicated), or at any moment (spot).

    Baseten does not restart a preempted job; the run of this package does, from its last good checkpoint.
    """

    DEDICATED = "dedicated"
    SPOT = "spot"


class Compute(Definition):
    """Resources of each of `node_count` equal nodes.

    `memory` is a number of bytes, or a number and a unit: k, M, G, T, P, E (powers of 1000) or Ki … Ei (of 1024).
    """

    node_count: int = Field(default=1, ge=1)
    cpu_count: int = Field(default=1, ge=1)
    memory: str = "2Gi"
    accelerator: AcceleratorSpec | None = None
    availability_model: AvailabilityModel = AvailabilityModel.DEDICATED

    @field_validator("memory")
    @classmethod
    def _check_memory(cls, memory: str) -> str:
        _bytes(memory)
        return memory

    @property
    def gpus(self) -> int:
        """The GPUs of all nodes."""
        return self.accelerator.count * self.node_count if self.accelerator and self.accelerator.accelerator else 0

    @property
    def memory_bytes(self) -> int:
        """`memory` in bytes, rounded up."""
        return _bytes(self.memory)


_UNITS: dict[str, int] = {unit: 1000**power for power, unit in enumerate("kMGTPE", start=1)}
_UNITS |= {unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}


def _bytes(memory: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", memory)
    if match is None or match[2] not in {"", *_UNITS}:
        raise ValueError(f"{memory!r} is not a number with one of {', '.join(_UNITS)} or no unit, such as '64Gi'")
    return math.ceil(float(match[1]) * _UNITS.get(match[2], 1))
