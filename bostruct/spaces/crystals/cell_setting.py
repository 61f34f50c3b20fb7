"""Setting of a cell: the choice among the lattice vectors of one lattice, here of a given cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, check_choice, error_message
from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.packing import reduced
from bostruct.spaces.crystals.symmetrization import lattice_operations
from bostruct.structures.structures import MIN_PERIODIC_SPAN

CELL_TOLERANCE = 1e-4
"""Largest relative difference of the lattice vectors of equal cells."""


def given_freedom(
    cell: Any,  # noqa: ANN401 - ASE
    variable: str,
    volume: float | None,
) -> CellFreedom:
    """Return the freedom of a cell that the user gave.

    Args:
        cell: lattice vectors in Å, lengths and angles, or `ase.Atoms`.
        variable: "none", or "volume".
        volume: volume in Å³ to bring the cell to; None to leave it.

    Raises:
        InputError: the cell spans no volume, or the choice is another one.
    """
    check_choice("variable", variable, ("none", "volume"))
    H = given_cell(cell)
    if volume is not None:
        H = H * (volume / float(torch.linalg.det(H).abs())) ** (1 / 3)
    return CellFreedom.of_cell("volume" if variable == "volume" else "none", H)


def given_cell(
    cell: Any,  # noqa: ANN401 - ASE
    in_plane: bool = False,
) -> Tensor:
    """Return a cell that the user gave, `[3, 3]` Å.

    Args:
        cell: three lattice vectors in Å, three lengths, or these and three angles in degrees, as
            ASE reads a cell; or `ase.Atoms` in it.
        in_plane: true for layers, of whose cells the first two lattice vectors count.

    Raises:
        InputError: it is no cell, or spans no volume, or of layers no area.
    """
    from ase.cell import Cell

    hint = "Give three lattice vectors in Å as rows, or lengths and angles."
    if isinstance(cell, Tensor):
        cell = cell.detach().cpu().numpy()
    try:
        vectors = np.array(Cell.new(getattr(cell, "cell", cell)), dtype=np.float64)
    except (TypeError, ValueError, AssertionError) as error:
        raise InputError(error_message("cell", "be a cell", repr(cell), hint)) from error
    H = torch.from_numpy(vectors)
    span, name = torch.linalg.det(H), "a volume"
    if in_plane:
        span, name = torch.linalg.vector_norm(torch.linalg.cross(H[0], H[1])), "an area"
    if not bool(H.isfinite().all()) or not abs(float(span)) > MIN_PERIODIC_SPAN:
        raise InputError(error_message("cell", f"span {name}", repr(cell), hint))
    return H


def describe_freedom(freedom: CellFreedom, n_atoms: int) -> dict[str, Any]:
    """Return the arguments of `Crystal` that identify how cells vary, as JSON values.

    Where all of a cell varies there are none. A value of None stands for an argument left out.

    Args:
        freedom: strains by which cells vary.
        n_atoms: number of atoms.
    """
    if freedom.kind == "all":
        return {}
    found: dict[str, Any] = {"volume": None}
    if freedom.is_layer:
        height = float(freedom.cell[2, 2])
        found |= {"periodic": [True, True, False], "area": freedom.edge**2 / n_atoms}
        found |= {"thickness": freedom.thickness, "vacuum": height - freedom.thickness}
    if freedom.given is None:
        return found
    left_out = ["lengths", "angles"]
    if freedom.kind == "none":
        left_out += ["volume_range", "area"] if freedom.is_layer else ["volume_range"]
    found |= {"cell": freedom.given.tolist(), "variable": freedom.kind}
    return found | dict.fromkeys(left_out)


def in_setting_of(
    F: Tensor, H: Tensor, cell: Tensor, any_volume: bool, in_plane: bool = False
) -> tuple[Tensor, Tensor] | None:
    """Return a crystal with the lattice vectors of a cell, None where the lattice is another one.

    Args:
        F: `[1, a, 3]` fractional coordinates.
        H: `[1, 3, 3]` Å, cell in any orientation.
        cell: `[3, 3]` Å.
        any_volume: true to tell lattices apart by their shapes only.
        in_plane: true for layers, whose third lattice vector stays what it is.

    Returns:
        fractional coordinates `[1, a, 3]`, and the cell `[1, 3, 3]` Å up to rotation.
    """
    target = cell.to(H).unsqueeze(0)
    if any_volume:
        target = target * (torch.linalg.det(H) / torch.linalg.det(target)).abs().pow(1 / 3)
    if _is_near(H, target):
        return F, target
    nothing = F.new_zeros(1, 1, 3)
    shortest, shortest_target = reduced(nothing, H)[1], reduced(nothing, target)[1]
    # whole matrices: reduced vectors in terms of those given
    given, wanted = (
        torch.linalg.solve(B, A, left=False).round()
        for A, B in ((shortest, H), (shortest_target, target))
    )
    eye = torch.eye(3, dtype=torch.float64)
    for W in torch.cat((eye.unsqueeze(0), lattice_operations())).to(H):
        T = torch.linalg.inv(wanted) @ W @ given
        is_mixed = in_plane and bool(T[0, 2, :2].any() | T[0, :2, 2].any())
        if not is_mixed and _is_near(T @ H, target):
            return F @ torch.linalg.inv(T), target
    return None


def _is_near(H: Tensor, target: Tensor) -> bool:
    """Return whether two cells `[1, 3, 3]` are equal up to rotation."""
    difference = (H @ H.mT - target @ target.mT).abs().amax()
    return bool(difference <= 2 * CELL_TOLERANCE * (target @ target.mT).amax())
