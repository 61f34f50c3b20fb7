"""Reference entries: phases of known energy that a convex hull is drawn to as well."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import torch
from torch import Tensor

from bostruct.campaign.enthalpy import has_variable_cell, pressure_of
from bostruct.errors import InputError, error_message
from bostruct.objectives.convex_hull import ConvexHull
from bostruct.spaces import Space
from bostruct.spaces.formula import parse_formula
from bostruct.structures import SYMBOLS
from bostruct.structures.elements import formula as formula_of
from bostruct.structures.energy_labels import EnergyLabels
from bostruct.structures.entries_file import read_entries_file
from bostruct.structures.read import read_images

HINT = (
    "Give {'Cu': -3.72} in eV per atom, crystals with energies or files of them, or entries of "
    "pymatgen or a JSON file of them."
)


@final
@dataclass(frozen=True)
class ReferenceEntries:
    """Phases of known enthalpy.

    Attributes:
        entries: formula, and enthalpy in eV per atom, of each phase; the energy where there is no
            pressure.
    """

    entries: tuple[tuple[str, float], ...]

    def __add__(self, other: ReferenceEntries) -> ReferenceEntries:
        """Return the entries of both."""
        return ReferenceEntries(self.entries + other.entries)

    @classmethod
    def from_description(cls, description: Sequence[Sequence[Any]] | None) -> Self:
        """Return the entries of a description; none for None."""
        return cls(tuple((str(formula), float(e)) for formula, e in description or ()))

    def description(self) -> list[list[Any]]:
        """Return formula and enthalpy of each phase as JSON values."""
        return [list(entry) for entry in self.entries]

    def compositions(self, numbers: Tensor) -> Tensor:
        """Return the fraction of each element, `[r, s]`, in the order of `numbers` `[s]`."""
        rows = [
            (parse_formula(formula, min_atoms=1).unsqueeze(-1) == numbers).double().mean(0)
            for formula, _ in self.entries
        ]
        return torch.stack(rows) if rows else torch.zeros(0, len(numbers), dtype=torch.float64)

    def hull(self, numbers: Tensor) -> ConvexHull:
        """Return the convex hull of the phases over the elements `numbers` `[s]`."""
        energies = torch.tensor([e for _, e in self.entries], dtype=torch.float64)
        return ConvexHull.from_points(self.compositions(numbers), energies)


def space_references(references: object, space: Space | None) -> ReferenceEntries:
    """Return reference entries for the hull of a space.

    Args:
        references: energies by formula, crystals, files or entries of pymatgen.
        space: space of the campaign, whose pressure makes energies of structures enthalpies.

    Raises:
        InputError: the space is none of crystals, or an entry is none.
    """
    if space is None or not has_variable_cell(space):
        kind = "no space that bostruct knows" if space is None else f"a {type(space).__name__}"
        condition = "come with a ChemicalSystem or a Crystal"
        raise InputError(error_message("references", condition, kind))
    return read_reference_entries(references, space.numbers, pressure_of(space))


def read_reference_entries(
    references: object, numbers: Tensor, pressure: float = 0.0
) -> ReferenceEntries:
    """Return reference entries of what a user gave.

    Args:
        references: energies in eV per atom by formula, under a pressure enthalpies; crystals with
            energies: `ase.Atoms`, `Structures` or files that ASE reads; or entries of pymatgen, or
            a JSON file of them.
        numbers: `[s]` atomic numbers of the elements of the space.
        pressure: pressure, eV/Å³.

    Raises:
        InputError: an entry has no energy, under a pressure no volume, or elements that the space
            has not.
    """
    entries: list[tuple[str, float]] = []
    if isinstance(references, Mapping):
        entries = [(formula, _number(formula, value)) for formula, value in references.items()]
    else:
        alone = isinstance(references, Sequence) and not isinstance(references, str)
        items: Sequence[Any] = list(references) if alone else [references]  # type: ignore[call-overload]
        for item in items:
            found = read_entries_file(item) if isinstance(item, str | os.PathLike) else None
            if found is not None:
                entries += [_pymatgen_entry(entry, pressure) for entry in found]
            elif hasattr(item, "composition") and hasattr(item, "energy"):
                entries.append(_pymatgen_entry(item, pressure))
            else:
                entries += _entries_of_structures(item, pressure)
    present = set(numbers.tolist())
    for formula, _ in entries:
        if not set(parse_formula(formula, 1, "references").tolist()) <= present:
            symbols = ", ".join(SYMBOLS[z] for z in sorted(present))
            raise _refused(f"hold elements of the space ({symbols})", repr(formula))
    return ReferenceEntries(tuple(entries))


def _refused(condition: str, value: str) -> InputError:
    return InputError(error_message("references", condition, value, HINT))


def _number(formula: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused("be energies in eV per atom by formula", f"{value!r} for {formula}")
    if not torch.tensor(float(value)).isfinite():
        raise _refused("have finite energies", f"{value!r} for {formula}")
    return float(value)


def _pymatgen_entry(entry: Any, pressure: float) -> tuple[str, float]:  # noqa: ANN401
    """Return formula and enthalpy per atom of an entry of pymatgen."""
    formula = entry.composition.formula.replace(" ", "")
    energy, n_atoms = float(entry.energy), float(entry.composition.num_atoms)
    if pressure:
        structure = getattr(entry, "structure", None)
        if structure is None:
            raise _refused("have a volume where the space has a pressure", f"{formula} without")
        energy += pressure * float(structure.volume)
    return formula, _number(formula, energy / n_atoms)


def _entries_of_structures(structures: object, pressure: float) -> list[tuple[str, float]]:
    """Return formula and enthalpy per atom of structures with energies."""
    try:
        images = read_images(structures, "references")
    except InputError as error:
        if isinstance(structures, str | os.PathLike):  # says what is wrong with the file
            raise
        raise _refused("be energies, crystals or entries", type(structures).__name__) from error
    entries = []
    for label, image in images:
        formula = formula_of(image.numbers.tolist())
        energy, _ = EnergyLabels().read(image)
        if energy is None:
            raise _refused("have energies", f"none for {formula}, {label}")
        if pressure and not image.pbc.all():
            raise _refused("have a volume where the space has a pressure", f"{formula} without")
        volume = float(image.get_volume()) if pressure else 0.0
        entries.append((formula, _number(formula, (energy + pressure * volume) / len(image))))
    return entries
