"""Whether a structure hangs together.

A model knows nothing of atoms that have flown off, so that its uncertainty is largest
there, and a search for what is uncertain would tear structures apart.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from bostruct.errors import check_positive
from bostruct.structures import SYMBOLS

DEFAULT_MAX_GAP_FACTOR = 1.5
"""In bonds: atoms further apart than that are not bonded."""

MOLECULAR_ELEMENTS = frozenset((1, 2, 6, 7, 8, 9, 10, 15, 16, 17, 18, 34, 35, 36, 53, 54, 85, 86))
"""Elements whose molecules stick together over more than a gap."""


def resolve_max_gap_factor(
    max_gap_factor: float | None,
    numbers: Tensor,
    custom_radii: Mapping[str, float] | None,
) -> float:
    """Return the gap, or the usual one where none is given.

    Where an element makes molecules and has no radius of its own, any gap is allowed.

    Raises:
        InputError: it is not positive.
    """
    if max_gap_factor is not None:
        return check_positive(
            "max_gap_factor", max_gap_factor, "It is a multiple of a bond, say 1.5."
        )
    own = set() if custom_radii is None else set(custom_radii)
    kinds = set(numbers.tolist())
    molecular = any(n in MOLECULAR_ELEMENTS and SYMBOLS[n] not in own for n in kinds)
    return float("inf") if molecular else DEFAULT_MAX_GAP_FACTOR


def is_connected(D: Tensor, max_bond_lengths: Tensor) -> Tensor:
    """Return whether all atoms hang together, `[...]`.

    Args:
        D: `[..., a, a]` distances, of any unit.
        max_bond_lengths: `[a, a]`, atoms at most so far apart are bonded.
    """
    reached = (max_bond_lengths >= D).to(D.dtype)
    steps = 1
    while steps < D.shape[-1] - 1:
        reached = (reached @ reached).clamp(max=1)
        steps *= 2
    return (reached > 0).flatten(-2).all(-1)
