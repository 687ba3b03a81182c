"""A gate: a metric of the checkpoint that a deployment was made of."""

from __future__ import annotations

from collections.abc import Iterable

from truss_train_core import checkpoints, jobs
from truss_train_core.api.flows import Flow
from truss_train_core.api.models import Deployment
from truss_train_core.checkpoints import DEFAULT, Source
from truss_train_core.checkpoints.choose import measured_name
from truss_train_core.deployments import Gate, Verdict, checkpoint_of, describe
from truss_train_core.errors import JobNotFound, NoUsableCheckpoint
from truss_train_core.gates.bounds import Bounds


def metric(
    name: str, *, at_least: float | None = None, at_most: float | None = None, sources: Iterable[Source] = DEFAULT
) -> Gate:
    """A gate: the metric of the deployed checkpoint is within bounds, themselves included.

    What cannot be read does not pass: several checkpoints in one deployment, a checkpoint that was deleted, a metric
    that was not measured.

    Args:
        name: of the metric; as in `checkpoints.choose_best`, "loss" means "eval_loss" where that was measured.
        at_least: the lower bound, or None.
        at_most: the upper bound, or None.
        sources: where metrics are read.

    Raises:
        ValueError: there is no bound.
    """
    bounds, sources = Bounds(at_least, at_most), tuple(sources)

    def gate(deployment: Deployment, current: Deployment | None) -> Flow[Verdict]:
        try:
            job_id, checkpoint = yield from checkpoint_of(deployment)
            job = yield from jobs.find(job_id)
        except (JobNotFound, NoUsableCheckpoint) as error:
            return Verdict(passes=False, reason=f"{name} cannot be read: {error.message}")
        found = yield from checkpoints.candidates([job], sources=sources)
        known = next((each.metrics for each in found if each.checkpoint.checkpoint_id == checkpoint), {})
        wanted = measured_name(found, name)
        value = known.get(wanted)
        if value is None:
            measured = ", ".join(sorted(known)) or "nothing"
            return Verdict(
                passes=False, reason=f"{checkpoint} of {describe(deployment)} has no {wanted}; it has {measured}"
            )
        return bounds.verdict(f"{name} of {checkpoint}", value)

    return gate
