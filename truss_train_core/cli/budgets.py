"""What a run may use, as options: time, GPU-hours, money, and by when."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from truss_train_core.cli.failures import BadOptions

if TYPE_CHECKING:
    from truss_train_core.runs import Budget

MaxRuntime = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Running time of all attempts; then the job is stopped."),
]
MaxGpuHours = Annotated[float | None, typer.Option(metavar="HOURS", help="The same for GPUs × nodes × hours.")]
MaxCost = Annotated[float | None, typer.Option(metavar="AMOUNT", help="The same for money; needs --price.")]
Price = Annotated[
    float | None, typer.Option(metavar="AMOUNT", help="What an hour of a node costs, which the API does not tell.")
]
SpotPrice = Annotated[
    float | None, typer.Option(metavar="AMOUNT", help="The same on spot capacity, where that is less.")
]
DeadlineAt = Annotated[
    str | None,
    typer.Option(
        "--deadline",
        metavar="TIME",
        help="When the training has to be through, else the job is stopped: 2026-11-25T08:00, with +00:00 for UTC.",
    ),
]
DeadlineMargin = Annotated[
    float,
    typer.Option(metavar="SECONDS", help="From so long before the deadline on, attempts begin on dedicated capacity."),
]


def budget(
    runtime: float | None,
    gpu_hours: float | None,
    cost: float | None,
    price: float | None,
    spot_price: float | None,
    deadline: str | None,
    margin: float,
) -> Budget:
    """The budget that the options tell.

    Raises:
        BadOptions: they do not go together.
        ValidationError: a figure cannot be one.
    """
    from truss_train_core.runs import Budget, Deadline, NodePrice

    if price is None and (cost is not None or spot_price is not None):
        raise BadOptions(f"{'--max-cost' if cost is not None else '--spot-price'} needs --price.")
    if margin and deadline is None:
        raise BadOptions("--deadline-margin needs --deadline.")
    return Budget(
        runtime=runtime,
        gpu_hours=gpu_hours,
        cost=cost,
        price=None if price is None else NodePrice(dedicated=price, spot=spot_price),
        deadline=None if deadline is None else Deadline(at=_moment(deadline), margin=margin),
    )


def _moment(text: str) -> datetime:
    """A moment in ISO 8601; without a time zone, in that of this machine."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone()
    except ValueError as error:
        raise BadOptions(f"--deadline is no time: {text!r}.", hint="For example: 2026-11-25T08:00") from error
