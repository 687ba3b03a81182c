"""The curves of a run: what its attempts measured, read from their checkpoints, joined into one, and drawn.

    attempts = client.run(curves.measured(record, client.run(runs.jobs_of(record))))
    picture = curves.loss_curve(curves.joined(attempts), resumed=curves.resumed_at(attempts))

The picture is SVG; engines show it in their pages, or by `as_address` where they take the address of an image.
"""

from truss_train_core.curves.drawing import as_address, loss_curve
from truss_train_core.curves.joining import Curve, Measured, joined, resumed_at
from truss_train_core.curves.reading import measured, newest_state, records

__all__ = [
    "Curve",
    "Measured",
    "as_address",
    "joined",
    "loss_curve",
    "measured",
    "newest_state",
    "records",
    "resumed_at",
]
