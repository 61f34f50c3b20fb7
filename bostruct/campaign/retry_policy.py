"""Retry policy: how often an evaluation is repeated, by the kind of its failure.

A calculation that did not converge fails again, and is not repeated. One whose process or node was
lost, or that a file system kept from its files, may well succeed, after a while.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, final

from bostruct.errors import InputError, check_count, error_message
from bostruct.evaluators import Failure


@final
@dataclass(frozen=True)
class RetryPolicy:
    """Retries of failed evaluations, each after a longer delay than the one before.

    A failure of the calculation itself is never repeated, unless the evaluator says that it is
    retryable. The numbers are of one trial, and count all its failed attempts since the user last
    asked for it.

    Args:
        retryable: Number of retries after failures that the evaluator calls retryable.
        lost: Number of retries after the process or node that computed was lost, or the executor
            cancelled the call.
        time_limit: Number of retries after the time limit of the executor.
        delay: Time before the first retry, s; it doubles with each further one. The worker takes
            other structures meanwhile.
        max_delay: Longest time before a retry, s.

    Raises:
        InputError: a number is negative, or no number.

    >>> policy = RetryPolicy(delay=10.0, max_delay=25.0)
    >>> [policy.delay_before(n) for n in (1, 2, 3)]
    [10.0, 20.0, 25.0]
    """

    retryable: int = 1
    lost: int = 2
    time_limit: int = 1
    delay: float = 10.0
    max_delay: float = 600.0

    def __post_init__(self) -> None:
        for name in ("retryable", "lost", "time_limit"):
            check_count(name, getattr(self, name), 0)
        for name in ("delay", "max_delay"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise InputError(error_message(name, "be at least 0", repr(value), "In seconds."))

    def n_retries(self, failure: Failure) -> int:
        """Return the number of retries after failures of this kind."""
        of_cause = {"evaluation": 0, "lost": self.lost, "time limit": self.time_limit}
        return max(of_cause[failure.cause], self.retryable if failure.retryable else 0)

    def delay_before(self, retry: int) -> float:
        """Return the time before a retry, s.

        Args:
            retry: Number of the retry, from 1.
        """
        return min(self.delay * math.ldexp(1.0, min(retry - 1, 60)), self.max_delay)


AT_ONCE: Final = RetryPolicy(lost=0, time_limit=0, delay=0.0)
"""One more attempt at retryable failures, at once: what a campaign in steps does."""
