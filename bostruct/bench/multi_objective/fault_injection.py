"""Fault injection: absurd values, errors and NaN in place of the results of an evaluator.

A *lasting* failure belongs to the structure, for instance one that does not converge, and occurs
again. A *passing* one belongs to the call, for instance a job killed by its queue.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final, get_args

from bostruct.errors import InputError, check_choice, check_count, error_message
from bostruct.evaluators import Evaluation, Evaluator, Failure
from bostruct.evaluators.alloys.convex_hull import MIXING_ENTHALPY
from bostruct.evaluators.alloys.property_checks import BULK_MODULUS
from bostruct.structures import Structures

FaultMode = Literal["passing", "lasting"]

MODULUS_FACTOR = 100.0
"""Factor of an absurd modulus, which is too large or negative."""

ABSURD_ENTHALPY = -50.0
"""Absurd mixing enthalpy, eV per atom."""


@final
@dataclass(frozen=True, eq=False)
class FaultyEvaluator:
    """Evaluator that corrupts some results of another one.

    The structure and the seed determine the fault, also after a restart; with passing faults the
    number of earlier calls with the structure does as well.

    Args:
        evaluator: Evaluator whose results are corrupted.
        seed: Random seed of the faults.
        fault_mode: "lasting" where the same structure has the same fault again, or "passing".
        absurd_fraction: Fraction of results with a modulus a hundred times too large or negative,
            or an enthalpy of -50 eV per atom.
        error_fraction: Fraction of calls that raise an error.
        nan_fraction: Fraction of results whose energy is NaN.

    Raises:
        InputError: a fraction is negative, their sum exceeds 1, or the fault mode is unknown.
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
        check_choice("fault_mode", self.fault_mode, get_args(FaultMode))
        fractions = (self.absurd_fraction, self.error_fraction, self.nan_fraction)
        if min(fractions) < 0 or sum(fractions) > 1:
            names = "absurd_fraction, error_fraction, nan_fraction"
            raise InputError(error_message(names, "be at least 0 and at most 1 in sum", fractions))

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return the result of the evaluator, or a corrupted one."""
        draw, corruption = self._draw_fault(structures)
        if draw < self.error_fraction:
            raise RuntimeError("injected fault: the calculation crashed")
        outcome = self.evaluator(structures)
        if isinstance(outcome, Failure):
            return outcome
        if draw < self.error_fraction + self.nan_fraction:
            return replace(outcome, energy=math.nan)
        if draw < self.error_fraction + self.nan_fraction + self.absurd_fraction:
            return replace(outcome, properties=corrupt(outcome.properties, corruption))
        return outcome

    def description(self) -> dict[str, Any]:
        """Return the name and the arguments that identify the evaluator, as JSON values."""
        return {
            "type": "FaultyEvaluator",
            "evaluator": self.evaluator.description(),
            "seed": self.seed,
            "fault_mode": self.fault_mode,
            "absurd_fraction": self.absurd_fraction,
            "error_fraction": self.error_fraction,
            "nan_fraction": self.nan_fraction,
        }

    def _draw_fault(self, structures: Structures) -> tuple[float, int]:
        """Return a pseudorandom number in [0, 1), and one of 0, 1 and 2, for one call."""
        digest = hashlib.sha256(f"poison {self.seed}".encode())
        digest.update(structures.numbers.cpu().numpy().tobytes())
        for array in (structures.cell, structures.positions):
            # Rounded: the last bits may depend on how many are decoded together.
            digest.update((array.cpu().double() * 1e4).round().long().numpy().tobytes())
        key = digest.digest()
        n_calls = self._call_counts[key]
        self._call_counts[key] += 1
        if n_calls and self.fault_mode == "passing":
            key = hashlib.sha256(key + str(n_calls).encode()).digest()
        return int.from_bytes(key[:6], "big") / 2**48, key[6] % 3


def corrupt(properties: Mapping[str, float], corruption: int) -> dict[str, float]:
    """Return properties with an absurd modulus or enthalpy.

    Args:
        properties: True properties by name.
        corruption: 0 for a modulus that is too large, 1 for a negative one, 2 for an enthalpy.
    """
    corrupted = dict(properties)
    if BULK_MODULUS in properties and corruption < 2:
        factor = MODULUS_FACTOR if corruption == 0 else -MODULUS_FACTOR
        corrupted[BULK_MODULUS] = factor * properties[BULK_MODULUS]
    if MIXING_ENTHALPY in properties and corruption == 2:
        corrupted[MIXING_ENTHALPY] = ABSURD_ENTHALPY
    return corrupted
