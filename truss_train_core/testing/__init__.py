"""What tests of a pipeline are made of: a clock that does not wait, faults on demand, and a real local platform."""

from __future__ import annotations

from truss_train_core.testing.clock import ManualClock
from truss_train_core.testing.faults import Fault, Faulty

__all__ = ["Fault", "Faulty", "ManualClock"]
