"""How far alloys are above the convex hull of all that is known.

The hull moves whenever something is found, so this is no property of one evaluation: it
is computed over a set of them, by pymatgen's `PhaseDiagram`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, error_message
from bostruct.evaluators.base import Failure
from bostruct.evaluators.quarantine import HasProperties, trusted_properties
from bostruct.structures import Structures

if TYPE_CHECKING:
    from pymatgen.analysis.phase_diagram import PhaseDiagram

MIXING_ENTHALPY = "mixing_enthalpy_eV_per_atom"

ENERGY_ABOVE_HULL = "above_hull_eV_per_atom"
"""What the energy above the hull is called where it is written."""

HULL_TOLERANCE = 1e-12
"""eV/atom. What is less above the hull is on it."""


def above_hull(
    structures: Structures, outcomes: Sequence[HasProperties | Failure | None]
) -> Tensor:
    """Return the energy of each structure above the hull of all of them, `[b]` eV/atom.

    The elements themselves, at mixing enthalpy zero, are always on the diagram. What
    has failed, is unknown (None) or in quarantine is NaN and shapes no hull.

    Args:
        structures: Whose compositions count.
        outcomes: `[b]` what `AlloyProperties` said of each, or trials that are done.

    Raises:
        ShapeError: there are not as many outcomes as structures.
    """
    found = energies_above_hull(structures.formulas(), _mixing_enthalpies(structures, outcomes))
    known = [math.nan if height is None else height for height in found]
    return torch.tensor(known, dtype=torch.float64)


def energies_above_hull(
    formulas: Sequence[str], enthalpies: Sequence[float | None]
) -> list[float | None]:
    """Return the same of formulas `[b]` with mixing enthalpies, eV/atom.

    None where no enthalpy is known.
    """
    entries = _phase_diagram_entries(formulas, enthalpies)
    found: list[float | None] = [None] * len(formulas)
    if entries:
        diagram = _phase_diagram(list(entries.values()))
        for i, entry in entries.items():
            height = float(diagram.get_e_above_hull(entry))
            found[i] = height if height > HULL_TOLERANCE else 0.0
    return found


def phase_diagram(
    structures: Structures, outcomes: Sequence[HasProperties | Failure | None]
) -> PhaseDiagram:
    """Return pymatgen's phase diagram of all that is known, to look at or to plot.

    Args:
        structures: Whose compositions count.
        outcomes: `[b]` what `AlloyProperties` said of each, or trials that are done.

    Raises:
        ShapeError: there are not as many outcomes as structures.
        InputError: no mixing enthalpy is known.
    """
    entries = _phase_diagram_entries(
        structures.formulas(), _mixing_enthalpies(structures, outcomes)
    )
    if not entries:
        condition = f"hold a {MIXING_ENTHALPY} that is not in quarantine"
        raise InputError(error_message("outcomes", condition, "none"))
    return _phase_diagram(list(entries.values()))


def _mixing_enthalpies(
    structures: Structures, outcomes: Sequence[HasProperties | Failure | None]
) -> list[float | None]:
    """Return the mixing enthalpy of each structure, None where it is not known."""
    if len(outcomes) != len(structures):
        condition = f"hold one outcome for each of {len(structures)} structures"
        raise ShapeError(error_message("outcomes", condition, len(outcomes)))
    return [
        None
        if outcome is None or isinstance(outcome, Failure)
        else trusted_properties(outcome).get(MIXING_ENTHALPY)
        for outcome in outcomes
    ]


def _phase_diagram_entries(
    formulas: Sequence[str], enthalpies: Sequence[float | None]
) -> dict[int, Any]:
    """Return an entry of the phase diagram for each structure that is known."""
    from pymatgen.analysis.phase_diagram import PDEntry
    from pymatgen.core import Composition

    entries: dict[int, Any] = {}
    for i, (formula, enthalpy) in enumerate(zip(formulas, enthalpies, strict=True)):
        if enthalpy is not None:
            whole = Composition(formula)
            entries[i] = PDEntry(whole, enthalpy * whole.num_atoms)
    return entries


def _phase_diagram(entries: list[Any]) -> PhaseDiagram:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    symbols = sorted({str(e) for entry in entries for e in entry.composition})
    elements = [PDEntry(Composition(symbol), 0.0) for symbol in symbols]
    return PhaseDiagram([*entries, *elements])
