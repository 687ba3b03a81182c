"""The one retry policy, for both senders.

Repeated are calls that were not carried out (no connection, 429) and, where repeating is safe, calls that got no
answer or a 5xx. A create that may have reached the server is never blindly repeated: whoever called looks it up first.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import tenacity

from truss_train_core.api.clock import Clock
from truss_train_core.api.request import Request
from truss_train_core.errors import RateLimited, ServerError, Unreachable


@dataclass(frozen=True)
class Retry:
    """How long and how often to repeat.

    Attributes:
        deadline: seconds from the first attempt after which no further one is begun; 0 for a single attempt.
        first, longest: seconds of the first and of the longest pause; they double in between, and each is shortened by
            a random part so that many clients do not come back at the same moment.
    """

    deadline: float = 60.0
    first: float = 0.5
    longest: float = 15.0

    def arguments(self, request: Request[Any], clock: Clock) -> dict[str, Any]:
        """What `tenacity.Retrying` and `AsyncRetrying` take, apart from how to sleep."""
        end = clock.now() + self.deadline
        return {
            "retry": lambda state: _may_repeat(request, _raised(state)),
            "wait": lambda state: self.pause(state.attempt_number, _raised(state)),
            "stop": lambda state: clock.now() + state.upcoming_sleep > end,
        }

    def pause(self, attempt: int, error: BaseException | None) -> float:
        """Seconds to wait after the attempt of this number, at least what a 429 asked for."""
        asked = error.retry_after if isinstance(error, RateLimited) and error.retry_after else 0.0
        span = min(self.longest, self.first * 2.0 ** min(attempt - 1, 30))
        return asked + span * random.uniform(0.5, 1.0)  # noqa: S311 (spread, not secrecy)


def _raised(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _may_repeat(request: Request[Any], error: BaseException | None) -> bool:
    if isinstance(error, (Unreachable, RateLimited)):
        return True
    return request.repeatable and isinstance(error, ServerError)
