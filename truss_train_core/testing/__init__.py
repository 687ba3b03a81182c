"""What tests of a pipeline are made of: a clock that does not wait, faults on demand, and a real local platform."""

from truss_train_core.testing.clock import ManualClock
from truss_train_core.testing.faults import Fault, Faulty
from truss_train_core.testing.platform import LocalPlatform

__all__ = ["Fault", "Faulty", "LocalPlatform", "ManualClock"]
