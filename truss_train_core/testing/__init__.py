"""What tests of a pipeline are made of: clocks, faults, a proxy that injects them, a Hub, and a real local platform."""

from truss_train_core.testing.clock import FastClock, ManualClock
from truss_train_core.testing.doubles import doubles
from truss_train_core.testing.faults import USUAL, Decide, Fault, Faulty, never, scripted, seeded
from truss_train_core.testing.hub import DatasetHub
from truss_train_core.testing.killing import Killings
from truss_train_core.testing.platform import LocalPlatform
from truss_train_core.testing.proxy import FaultProxy

__all__ = [
    "USUAL",
    "DatasetHub",
    "Decide",
    "Fault",
    "FaultProxy",
    "Faulty",
    "FastClock",
    "Killings",
    "LocalPlatform",
    "ManualClock",
    "doubles",
    "never",
    "scripted",
    "seeded",
]
