"""An evaluator that is spoilt on purpose: absurd values, errors, and no numbers.

Two kinds are told apart. A *lasting* failure is one of the structure, which does not
converge, and comes again. A *passing* one is of the call, which its queue has killed.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final, get_args

from bostruct.errors import InputError, check_count, error_message
from bostruct.evaluators import Evaluation, Evaluator, Failure
from bostruct.evaluators.alloys.convex_hull import MIXING_ENTHALPY
from bostruct.evaluators.alloys.property_checks import BULK_MODULUS
from bostruct.structures import Structures

FaultMode = Literal["passing", "lasting"]

MODULUS_FACTOR = 100.0
"""An absurd modulus is so many times too large, or negative."""

ABSURD_ENTHALPY = -50.0
"""eV per atom: an absurd enthalpy."""


@final
@dataclass(frozen=True, eq=False)
class FaultyEvaluator:
    """Spoils some results of an evaluator.

    Which, the structure and the seed decide, also after a restart; where failures pass,
    so does how often this object was asked for the structure.

    Args:
        evaluator: What is spoilt.
        seed: Of the choice.
        fault_mode: "lasting" where what is asked for again is spoilt again, or "passing".
        absurd_fraction: Share of results in which a modulus is a hundred times too large or
            negative, or an enthalpy is -50 eV per atom.
        error_fraction: Share of calls that raise.
        nan_fraction: Share of results whose energy is NaN.

    Raises:
        InputError: a share is not between 0 and 1, they are more than all, or there is
            no such kind.
    """

    evaluator: Evaluator
    seed: int = 0
    fault_mode: FaultMode = "lasting"
    absurd_fraction: float = 0.01
    error_fraction: float = 0.05
    nan_fraction: float = 0.05
    _call_counts: Counter[bytes] = field(default_factory=Counter, init=False, repr=False)

    def __post_init__(self) -> None:
        check_count("seed", self.seed, 0)
        if self.fault_mode not in get_args(FaultMode):
            raise InputError(
                error_message("fault_mode", "be passing or lasting", repr(self.fault_mode))
            )
        shares = (self.absurd_fraction, self.error_fraction, self.nan_fraction)
        if min(shares) < 0 or sum(shares) > 1:
            condition = "be shares of at most 1 in all"
            raise InputError(error_message("absurd, raising, missing", condition, shares))

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return what was found, or what is told in its place."""
        lot, which = self._draw_fault(structures)
        if lot < self.error_fraction:
            raise RuntimeError("poisoned: the calculation crashed")
        found = self.evaluator(structures)
        if isinstance(found, Failure):
            return found
        if lot < self.error_fraction + self.nan_fraction:
            return replace(found, energy=math.nan)
        if lot < self.error_fraction + self.nan_fraction + self.absurd_fraction:
            return replace(found, properties=corrupt(found.properties, which))
        return found

    def description(self) -> dict[str, Any]:
        """Return what identifies the evaluator, ready for JSON."""
        return {
            "type": "FaultyEvaluator",
            "of": self.evaluator.description(),
            "seed": self.seed,
            "failures": self.fault_mode,
            "shares": [self.absurd_fraction, self.error_fraction, self.nan_fraction],
        }

    def _draw_fault(self, structures: Structures) -> tuple[float, int]:
        """Return a number in [0, 1), and one in 0, 1, 2, of one call."""
        digest = hashlib.sha256(f"poison {self.seed}".encode())
        digest.update(structures.numbers.cpu().numpy().tobytes())
        for part in (structures.cell, structures.positions):
            # Rounded: the last bits may depend on how many are decoded together.
            digest.update((part.cpu().double() * 1e4).round().long().numpy().tobytes())
        drawn = digest.digest()
        before = self._call_counts[drawn]
        self._call_counts[drawn] += 1
        if before and self.fault_mode == "passing":
            drawn = hashlib.sha256(drawn + str(before).encode()).digest()
        return int.from_bytes(drawn[:6], "big") / 2**48, drawn[6] % 3


def corrupt(properties: Mapping[str, float], corruption: int) -> dict[str, float]:
    """Return properties with moduli and enthalpies that nothing has.

    Args:
        properties: As found.
        corruption: 0 for moduli that are too large, 1 for negative ones, 2 for enthalpies.
    """
    found = dict(properties)
    for name, value in properties.items():
        if name == BULK_MODULUS and corruption < 2:
            found[name] = MODULUS_FACTOR * value if corruption == 0 else -MODULUS_FACTOR * value
        if name == MIXING_ENTHALPY and corruption == 2:
            found[name] = ABSURD_ENTHALPY
    return found
