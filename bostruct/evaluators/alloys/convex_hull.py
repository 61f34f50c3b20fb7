"""Energies of alloys above the convex hull of a set of evaluations.

The hull changes with every new low-energy structure, so the distance to it is not a property of
one evaluation: it is computed over a set of them, by pymatgen's `PhaseDiagram`.
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
"""Name of the energy above the hull in tables and files."""

HULL_TOLERANCE = 1e-12
"""Energy above the hull up to which a structure counts as on it, eV/atom."""


def above_hull(
    structures: Structures, outcomes: Sequence[HasProperties | Failure | None]
) -> Tensor:
    """Return the energy of each structure above the hull of all of them, `[b]` eV/atom.

    The pure elements, at mixing enthalpy zero, are always part of the diagram. Failures, missing
    outcomes (None) and quarantined enthalpies are NaN and do not affect the hull.

    Args:
        structures: Structures whose compositions span the diagram.
        outcomes: `[b]` results of `AlloyProperties`, or trials that are done.

    Raises:
        ShapeError: there are not as many outcomes as structures.
    """
    energies = energies_above_hull(structures.formulas(), _mixing_enthalpies(structures, outcomes))
    values = [math.nan if energy is None else energy for energy in energies]
    return torch.tensor(values, dtype=torch.float64)


def energies_above_hull(
    formulas: Sequence[str], enthalpies: Sequence[float | None]
) -> list[float | None]:
    """Return the energy of each formula above the hull of all of them, eV/atom.

    Args:
        formulas: `[b]` chemical formulas.
        enthalpies: `[b]` mixing enthalpies, eV/atom; where None, the result is None.
    """
    diagram, entries = _phase_diagram(formulas, enthalpies)
    energies: list[float | None] = [None] * len(formulas)
    for i, entry in entries.items():
        energy = float(diagram.get_e_above_hull(entry))
        energies[i] = energy if energy > HULL_TOLERANCE else 0.0
    return energies


def phase_diagram(
    structures: Structures, outcomes: Sequence[HasProperties | Failure | None]
) -> PhaseDiagram:
    """Return pymatgen's phase diagram of a set of evaluations, to inspect or to plot.

    Args:
        structures: Structures whose compositions span the diagram.
        outcomes: `[b]` results of `AlloyProperties`, or trials that are done.

    Raises:
        ShapeError: there are not as many outcomes as structures.
        InputError: no mixing enthalpy is known.
    """
    diagram: PhaseDiagram | None
    diagram, _ = _phase_diagram(structures.formulas(), _mixing_enthalpies(structures, outcomes))
    if diagram is None:
        condition = f"hold a {MIXING_ENTHALPY} that is not in quarantine"
        raise InputError(error_message("outcomes", condition, "none"))
    return diagram


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


def _phase_diagram(
    formulas: Sequence[str], enthalpies: Sequence[float | None]
) -> tuple[Any, dict[int, Any]]:
    """Return the phase diagram, None without any entry, and the entries of known enthalpies."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    entries: dict[int, Any] = {}
    for i, (formula, enthalpy) in enumerate(zip(formulas, enthalpies, strict=True)):
        if enthalpy is not None:
            composition = Composition(formula)
            entries[i] = PDEntry(composition, enthalpy * composition.num_atoms)
    symbols = sorted({str(e) for entry in entries.values() for e in entry.composition})
    elements = [PDEntry(Composition(symbol), 0.0) for symbol in symbols]
    return PhaseDiagram([*entries.values(), *elements]) if entries else None, entries
