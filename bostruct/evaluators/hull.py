"""How far alloys are above the convex hull of all that is known.

The hull moves whenever something is found, so this is no property of one evaluation: it
is computed over a set of them, by pymatgen's `PhaseDiagram`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, must
from bostruct.evaluators.evaluator import Failure
from bostruct.evaluators.quarantine import Told, valid
from bostruct.structures import Structures

if TYPE_CHECKING:
    from pymatgen.analysis.phase_diagram import PhaseDiagram

ENTHALPY = "mixing_enthalpy_eV_per_atom"


def above_hull(
    structures: Structures, outcomes: Sequence[Told | Failure | None]
) -> Tensor:
    """Return the energy of each structure above the hull of all of them, `[b]` eV/atom.

    The elements themselves, at mixing enthalpy zero, are always on the diagram. What
    has failed, is unknown (None) or in quarantine is NaN and shapes no hull.

    Args:
        structures: Whose compositions count.
        outcomes: `[b]` what `AlloyProperties` said of each, or trials of a log.

    Raises:
        ShapeError: there are not as many outcomes as structures.
    """
    entries = _entries(structures, outcomes)
    above = torch.full((len(structures),), torch.nan, dtype=torch.float64)
    if entries:
        diagram = _diagram(list(entries.values()))
        for i, entry in entries.items():
            above[i] = diagram.get_e_above_hull(entry)
    return above


def phase_diagram(
    structures: Structures, outcomes: Sequence[Told | Failure | None]
) -> PhaseDiagram:
    """Return pymatgen's phase diagram of all that is known, to look at or to plot.

    Args:
        structures: Whose compositions count.
        outcomes: `[b]` what `AlloyProperties` said of each, or trials of a log.

    Raises:
        ShapeError: there are not as many outcomes as structures.
        InputError: no mixing enthalpy is known.
    """
    entries = _entries(structures, outcomes)
    if not entries:
        condition = f"hold a {ENTHALPY} that is not in quarantine"
        raise InputError(must("outcomes", condition, "none"))
    return _diagram(list(entries.values()))


def _entries(
    structures: Structures, outcomes: Sequence[Told | Failure | None]
) -> dict[int, object]:
    """Return an entry of the phase diagram for each structure that is known."""
    from pymatgen.analysis.phase_diagram import PDEntry
    from pymatgen.core import Composition

    if len(outcomes) != len(structures):
        condition = f"hold one outcome for each of {len(structures)} structures"
        raise ShapeError(must("outcomes", condition, len(outcomes)))
    entries: dict[int, object] = {}
    for i, (formula, outcome) in enumerate(
        zip(structures.formulas(), outcomes, strict=True)
    ):
        if outcome is None or isinstance(outcome, Failure):
            continue
        enthalpy = valid(outcome).get(ENTHALPY)
        if enthalpy is not None:
            whole = Composition(formula)
            entries[i] = PDEntry(whole, enthalpy * whole.num_atoms)
    return entries


def _diagram(entries: list[object]) -> PhaseDiagram:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    symbols = sorted({str(e) for entry in entries for e in entry.composition})  # type: ignore[attr-defined]
    elements = [PDEntry(Composition(symbol), 0.0) for symbol in symbols]
    return PhaseDiagram([*entries, *elements])
