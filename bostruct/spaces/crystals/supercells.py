"""Crystals in a cell of another size: primitive cells, and compact supercells of them."""

from __future__ import annotations

import itertools
from collections import Counter

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.spaces.crystals.packing import reduced
from bostruct.spaces.random_tensors import uniform
from bostruct.structures import Structures
from bostruct.structures.convert import suppress_spglib_warnings
from bostruct.structures.elements import formula as formula_of

PRIMITIVE_TOLERANCE = 1e-2
"""Largest distance of equivalent atoms, in cube roots of the volume per atom."""


def with_atoms_of(
    structure: Structures, numbers: Tensor, formula: str, any_units: bool = True
) -> tuple[Tensor, Tensor]:
    """Return one crystal in a right-handed cell that holds given atoms, in their order.

    Args:
        structure: one crystal, of any number of formula units.
        numbers: `[a]` atomic numbers of the cell to return.
        formula: formula of these, for messages.
        any_units: true to bring crystals of another number of formula units to this one.

    Returns:
        fractional coordinates `[1, a, 3]`, and the cell `[1, 3, 3]` Å.

    Raises:
        InputError: the crystal has other elements, or no cell of it holds these atoms.
    """
    H, given = structure.cell[0], structure.numbers
    F = torch.linalg.solve(H, structure.positions, left=False)
    if Counter(given.tolist()) != Counter(numbers.tolist()):
        if not any_units:
            condition = f"all be {formula} in the cell of the space"
            raise InputError(error_message("structures", condition, formula_of(given.tolist())))
        F, H, given = _resized(F, H, given, numbers, formula)
    if torch.linalg.det(H) < 0:
        F, H = -F, -H
    order = torch.empty_like(given)
    order[numbers.to(given).argsort(stable=True)] = given.argsort(stable=True)
    return F[order].unsqueeze(0), H.unsqueeze(0)


def random_supercells(
    F: Tensor, H: Tensor, n_cells: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return supercells of random shapes of crystals, all their atoms cell after cell.

    Args:
        F: `[n, a, 3]` fractional coordinates.
        H: `[n, 3, 3]` Å, cells.
        n_cells: number of cells in a supercell.
        generator: random number generator.

    Returns:
        fractional coordinates `[n, n_cells a, 3]`, and cells `[n, 3, 3]` Å.
    """
    forms = F.new_tensor(_hermite_normal_forms(n_cells))
    choice = (uniform((len(F),), generator) * len(forms)).long().to(F.device)
    supercells = [_repeated(f, h, form) for f, h, form in zip(F, H, forms[choice], strict=True)]
    cells = forms[choice] @ H
    none = F.new_zeros(0, n_cells * F.shape[1], 3)
    return torch.stack(supercells) if supercells else none, cells


def _resized(
    F: Tensor, H: Tensor, given: Tensor, numbers: Tensor, formula: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a crystal in the most compact cell of another number of formula units."""
    import spglib

    parts, whole = Counter(given.tolist()), Counter(numbers.tolist())
    condition = f"all be {formula}"
    if set(parts) != set(whole) or any(
        parts[z] * len(numbers) != whole[z] * len(given) for z in whole
    ):
        raise InputError(error_message("structures", condition, formula_of(given.tolist())))
    symprec = PRIMITIVE_TOLERANCE * float((torch.linalg.det(H).abs() / len(F)) ** (1 / 3))
    cell = (H.double().tolist(), F.double().tolist(), given.tolist())
    with suppress_spglib_warnings():
        primitive = spglib.find_primitive(cell, symprec=symprec)
    if primitive is not None and len(numbers) % len(primitive[2]) == 0:
        P, f, kinds = (torch.as_tensor(value) for value in primitive)
        n_cells = len(numbers) // len(kinds)
        return (*_supercell(f.to(F), P.to(H), kinds.to(given), n_cells),)
    least = "unknown" if primitive is None else formula_of(list(map(int, primitive[2])))
    value = f"{formula_of(given.tolist())}, a crystal whose primitive cell is {least}"
    hint = f"Search a multiple of {least}." if primitive is not None else ""
    raise InputError(error_message("structures", condition, value, hint))


def _supercell(
    F: Tensor, H: Tensor, numbers: Tensor, n_cells: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the supercell of `n_cells` cells whose longest vector is shortest."""
    choices = torch.tensor(_hermite_normal_forms(n_cells), dtype=F.dtype, device=F.device)
    none = F.new_zeros(len(choices), 1, 3)
    cells = reduced(none, choices @ H)[1]
    longest = torch.linalg.vector_norm(cells, dim=-1).amax(-1)
    best = int((longest > longest.min() * (1 + 1e-6)).int().argmin())
    cell = choices[best] @ H
    return _repeated(F, H, choices[best]), cell, numbers.repeat(n_cells)


def _repeated(F: Tensor, H: Tensor, form: Tensor) -> Tensor:
    """Return the fractional coordinates in the supercell of a matrix in Hermite normal form."""
    a, b, c = (int(form[k, k]) for k in range(3))
    shifts = F.new_tensor(list(itertools.product(range(a), range(b), range(c))))
    positions = (F.unsqueeze(0) + shifts.unsqueeze(1)).flatten(0, 1) @ H
    fractional: Tensor = torch.linalg.solve(form @ H, positions, left=False)
    return fractional


def _hermite_normal_forms(n: int) -> list[list[list[int]]]:
    """Return all integer upper triangular matrices in Hermite normal form of determinant n."""
    forms = []
    for a in (k for k in range(1, n + 1) if n % k == 0):
        for b in (k for k in range(1, n // a + 1) if (n // a) % k == 0):
            c = n // (a * b)
            for x, y, z in itertools.product(range(b), range(c), range(c)):
                forms.append([[a, x, y], [0, b, z], [0, 0, c]])
    return forms
