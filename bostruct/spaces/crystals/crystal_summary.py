"""Summary of a crystal for people: space group, Wyckoff positions, conventional cell, density.

The symmetry is that which spglib finds within a tolerance, as positions are known to some error:
A. Togo, K. Shinohara, I. Tanaka, Sci. Technol. Adv. Mater. Meth. 4, 2384822 (2024).
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from bostruct.structures import SYMBOLS, Structures
from bostruct.structures.convert import covalent_radii, suppress_spglib_warnings

SYMMETRY_TOLERANCE = 0.05
"""Distance of an atom from a symmetric position that is tolerated, in bond lengths."""

GRAM_PER_CM3 = 1.66053906660
"""Density of one unit of atomic mass in 1 Å³, g/cm³."""

MILLIGRAM_PER_M2 = 0.166053906660
"""Mass by area of one unit of atomic mass on 1 Å², mg/m²."""


@final
@dataclass(frozen=True)
class CrystalSummary:
    """Symmetry and cell of one crystal.

    Attributes:
        space_group: Symbol of Hermann and Mauguin; "P1" where no symmetry is found. That of the
            layer group of a layer, "p1" without symmetry.
        space_group_number: Number in the International Tables, volume A or, of layers, E.
        lengths: Lengths of the vectors of the conventional cell, Å.
        angles: Angles of the conventional cell, degrees.
        volume_per_atom: Volume, Å³ per atom; of a layer its area, Å² per atom.
        density: Density, g/cm³; of a layer its mass by area, mg/m².
        wyckoff_positions: Elements with their Wyckoff positions, as in "O 4f, Ti 2a".
        tolerance: Distance from symmetric positions that was tolerated, Å.
        is_layer: True for a layer, whose third length is that of its cell.
    """

    space_group: str
    space_group_number: int
    lengths: tuple[float, float, float]
    angles: tuple[float, float, float]
    volume_per_atom: float
    density: float
    wyckoff_positions: str
    tolerance: float
    is_layer: bool = False


def summarize_crystal(structures: Structures) -> CrystalSummary:
    """Return the summary of a crystal, or of a layer whose third lattice vector is normal to it."""
    import spglib
    from ase.cell import Cell
    from ase.data import atomic_masses

    cell = structures.cell[0].detach().cpu().double().numpy()
    numbers = structures.numbers.cpu().numpy()
    P = structures.positions.detach().cpu().double().numpy()
    radii = covalent_radii(torch.unique(structures.numbers.cpu()))
    tolerance = SYMMETRY_TOLERANCE * 2 * float(radii.mean())
    is_layer = not bool(structures.pbc.all())
    size, factor = abs(float(np.linalg.det(cell))), GRAM_PER_CM3
    if is_layer:
        size, factor = size / float(np.linalg.norm(cell[2])), MILLIGRAM_PER_M2
    dataset = None
    with suppress_spglib_warnings(), suppress(spglib.SpglibError):
        fractional = P @ np.linalg.inv(cell)
        spglib_cell = (cell.tolist(), fractional.tolist(), numbers.tolist())
        if is_layer:
            dataset = spglib.get_layergroup(spglib_cell, aperiodic_dir=2, symprec=tolerance)
        else:
            dataset = spglib.get_symmetry_dataset(spglib_cell, symprec=tolerance)
    group, number, conventional, wyckoff = "p1" if is_layer else "P1", 1, cell, ""
    if dataset is not None:
        group, number = str(dataset.international), int(dataset.number)
        conventional = dataset.std_lattice
        wyckoff = _wyckoff_positions(
            [SYMBOLS[z] for z in dataset.std_types],
            [dataset.wyckoffs[i] for i in _first_atoms(dataset)],
        )
    a, b, c, alpha, beta, gamma = map(float, Cell(conventional).cellpar())
    return CrystalSummary(
        space_group=group,
        space_group_number=number,
        lengths=(a, b, c),
        angles=(alpha, beta, gamma),
        volume_per_atom=size / len(numbers),
        density=factor * float(atomic_masses[numbers].sum()) / size,
        wyckoff_positions=wyckoff,
        tolerance=tolerance,
        is_layer=is_layer,
    )


def _first_atoms(dataset: object) -> list[int]:
    """Return an equivalent atom of the structure for each atom of the conventional cell."""
    mapping = list(dataset.mapping_to_primitive)  # type: ignore[attr-defined]
    return [mapping.index(i) for i in dataset.std_mapping_to_primitive]  # type: ignore[attr-defined]


def _wyckoff_positions(symbols: list[str], letters: list[str]) -> str:
    """Return elements with multiplicities and letters of their positions, in order.

    Args:
        symbols: Element of each atom of the conventional cell.
        letters: Wyckoff letter of each of them.
    """
    counts = Counter(zip(symbols, letters, strict=True))
    return ", ".join(f"{symbol} {n}{letter}" for (symbol, letter), n in sorted(counts.items()))
