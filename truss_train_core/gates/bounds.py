"""Within which bounds a number has to be. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from truss_train_core.deployments import Verdict


@dataclass(frozen=True)
class Bounds:
    """At least this, at most that, or both; NaN is within none.

    Raises:
        ValueError: neither is given.
    """

    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most, or both: without a bound, anything passes")

    def verdict(self, what: str, value: float) -> Verdict:
        """Whether a number is within, in words."""
        low = self.at_least is None or value >= self.at_least
        high = self.at_most is None or value <= self.at_most
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        wanted = " and ".join(f"{word} {bound:.6g}" for word, bound in bounds if bound is not None)
        return Verdict(passes=low and high, reason=f"{what} is {value:.6g}; {wanted} is wanted")
