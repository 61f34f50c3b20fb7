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

from bostruct.errors import InputError, check_count, must
from bostruct.evaluators import Evaluation, Evaluator, Failure
from bostruct.evaluators.alloys.convex_hull import ENTHALPY
from bostruct.evaluators.alloys.property_checks import BULK
from bostruct.structures import Structures

Poison = Literal["passing", "lasting"]

HUGE = 100.0
"""An absurd modulus is so many times too large, or negative."""

DEEP = -50.0
"""eV per atom: an absurd enthalpy."""


@final
@dataclass(frozen=True, eq=False)
class Poisoned:
    """Spoils some results of an evaluator.

    Which, the structure and the seed decide, also after a restart; where failures pass,
    so does how often this object was asked for the structure.

    Args:
        evaluator: What is spoilt.
        seed: Of the choice.
        kind: "lasting" where what is asked for again is spoilt again, or "passing".
        absurd: Share of results in which a modulus is a hundred times too large or
            negative, or an enthalpy is -50 eV per atom.
        raising: Share of calls that raise.
        missing: Share of results whose energy is NaN.

    Raises:
        InputError: a share is not between 0 and 1, they are more than all, or there is
            no such kind.
    """

    evaluator: Evaluator
    seed: int = 0
    kind: Poison = "lasting"
    absurd: float = 0.01
    raising: float = 0.05
    missing: float = 0.05
    _calls: Counter[bytes] = field(default_factory=Counter, init=False, repr=False)

    def __post_init__(self) -> None:
        check_count("seed", self.seed, 0)
        if self.kind not in get_args(Poison):
            raise InputError(must("kind", "be passing or lasting", repr(self.kind)))
        shares = (self.absurd, self.raising, self.missing)
        if min(shares) < 0 or sum(shares) > 1:
            condition = "be shares of at most 1 in all"
            raise InputError(must("absurd, raising, missing", condition, shares))

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return what was found, or what is told in its place."""
        lot, which = self._lot(structures)
        if lot < self.raising:
            raise RuntimeError("poisoned: the calculation crashed")
        found = self.evaluator(structures)
        if isinstance(found, Failure):
            return found
        if lot < self.raising + self.missing:
            return replace(found, energy=math.nan)
        if lot < self.raising + self.missing + self.absurd:
            return replace(found, properties=spoilt(found.properties, which))
        return found

    def description(self) -> dict[str, Any]:
        """Return what identifies the evaluator, ready for JSON."""
        return {
            "kind": "poisoned",
            "of": self.evaluator.description(),
            "seed": self.seed,
            "failures": self.kind,
            "shares": [self.absurd, self.raising, self.missing],
        }

    def _lot(self, structures: Structures) -> tuple[float, int]:
        """Return a number in [0, 1), and one in 0, 1, 2, of one call."""
        digest = hashlib.sha256(f"poison {self.seed}".encode())
        digest.update(structures.numbers.cpu().numpy().tobytes())
        for part in (structures.cell, structures.positions):
            # Rounded: the last bits may depend on how many are decoded together.
            digest.update((part.cpu().double() * 1e4).round().long().numpy().tobytes())
        drawn = digest.digest()
        before = self._calls[drawn]
        self._calls[drawn] += 1
        if before and self.kind == "passing":
            drawn = hashlib.sha256(drawn + str(before).encode()).digest()
        return int.from_bytes(drawn[:6], "big") / 2**48, drawn[6] % 3


def spoilt(properties: Mapping[str, float], kind: int) -> dict[str, float]:
    """Return properties with moduli and enthalpies that nothing has.

    Args:
        properties: As found.
        kind: 0 for moduli that are too large, 1 for negative ones, 2 for enthalpies.
    """
    found = dict(properties)
    for name, value in properties.items():
        if name == BULK and kind < 2:
            found[name] = HUGE * value if kind == 0 else -HUGE * value
        if name == ENTHALPY and kind == 2:
            found[name] = DEEP
    return found
