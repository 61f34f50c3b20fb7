"""What several divisions of the data say of one method together.

z² after calibration is the mean zeta² of the test set over that of the calibration set.
The mean of such a ratio over divisions is the geometric one: then σ half and σ twice as
large as it should be weigh the same, as in `HONEST`, whose ends are inverse to each
other, and exchanging the two sets inverts it. The ordinary mean of a ratio is above 1
even for a perfect σ (Jensen), by some 4 % where 100 structures tell mean zeta² to 20 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, final

from bostruct.bench.uncertainty.score_rows import HONESTY, Row, verdict
from bostruct.bench.uncertainty.scores import Scores

RATIOS = ("alpha", "alpha_robust", "z2_before", "z2", "z2_low", "z2_high", "cost")
"""Numbers whose mean is the geometric one."""

NUMBERS = ("fit_seconds", "predict_ms", "cost", *(one.name for one in fields(Scores)))
"""All numbers of a row."""


@final
@dataclass(frozen=True)
class Reach:
    """One number over all splits.

    Attributes:
        mean: Geometric for `RATIOS`.
        smallest: Of all splits.
        largest: Of all splits.
    """

    mean: float
    smallest: float
    largest: float


@final
@dataclass(frozen=True)
class Spread:
    """One method on one set, in all splits.

    Attributes:
        rows: Of every split in which the method has one.
    """

    rows: tuple[Row, ...]

    @property
    def method(self) -> str:
        """Its name."""
        return self.rows[0].method

    @property
    def place(self) -> str:
        """The set."""
        return self.rows[0].place

    @property
    def quantity(self) -> str:
        """Energy or forces."""
        return self.rows[0].quantity

    @property
    def unit(self) -> str:
        """Of the errors and deviations."""
        return self.rows[0].unit

    @property
    def shifted(self) -> bool:
        """Whether the set is not one of the data that were dealt out."""
        return self.rows[0].shifted

    @property
    def scored(self) -> bool:
        """Whether there are variances to be judged."""
        return any(row.scored for row in self.rows)

    @cached_property
    def numbers(self) -> dict[str, Reach | None]:
        """Every number of a row by name, None where no split has it."""
        found = [row.flat() for row in self.rows]
        return {
            name: reach([one[name] for one in found], name in RATIOS)
            for name in NUMBERS
        }

    def __getitem__(self, name: str) -> Reach:
        """Return a number that some split has."""
        value = self.numbers[name]
        assert value is not None
        return value

    @property
    def verdict(self) -> str:
        """In a word, what the mean of z² after calibration says."""
        z2 = self.numbers["z2"]
        return "" if z2 is None else verdict(z2.mean, self.place)

    @property
    def judged(self) -> int:
        """In how many splits there is a verdict."""
        return sum(row.scored for row in self.rows)

    @property
    def honest(self) -> int:
        """In how many of them it is honest."""
        return sum(row.verdict == HONESTY for row in self.rows)

    @property
    def banded(self) -> int:
        """In how many of them the conformal coverage is where chance allows."""
        given = [row.scores for row in self.rows if row.scores is not None]
        return sum(s.conformal_low <= s.conformal <= s.conformal_high for s in given)

    def flat(self) -> dict[str, Any]:
        """Return everything by name, numbers as (mean, smallest, largest)."""
        return {
            "method": self.method,
            "place": self.place,
            "quantity": self.quantity,
            "unit": self.unit,
            "splits": len(self.rows),
            "judged": self.judged,
            "honest": self.honest,
            "in_band": self.banded,
            "verdict": self.verdict,
        } | {
            name: None if value is None else (value.mean, value.smallest, value.largest)
            for name, value in self.numbers.items()
        }


def spreads(rows: Sequence[Row]) -> list[Spread]:
    """Return one spread for each quantity, set and method, in their first order.

    Args:
        rows: Of all splits.
    """
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.quantity, row.place, row.method), []).append(row)
    return [Spread(tuple(group)) for group in found.values()]


def reach(values: Sequence[float | None], ratio: bool) -> Reach | None:
    """Return the mean and the ends of what there is, None where nothing is.

    Args:
        values: Of every split, None where it has none.
        ratio: Whether the mean is to be the geometric one.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Reach(geometric(known) if ratio else _mean(known), min(known), max(known))


def geometric(values: Sequence[float]) -> float:
    """Return the geometric mean of numbers that are not negative.

    >>> round(geometric([0.5, 2.0, 1.0]), 9), geometric([0.0, 3.0])
    (1.0, 0.0)
    """
    if min(values) <= 0:
        return 0.0
    return math.exp(_mean([math.log(value) for value in values]))


def _mean(values: Sequence[float]) -> float:
    # A single split is to keep its digits, and an infinite width is infinite.
    return values[0] if len(values) == 1 else math.fsum(values) / len(values)
