"""Arguments of crystals that set the cell: checked, and brought together."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from bostruct.errors import InputError, check_positive, error_message
from bostruct.spaces.crystals.atomic_volume import NOBLE_GASES, default_volume
from bostruct.spaces.crystals.cell_bounds import CellBounds
from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.cell_setting import given_cell, given_freedom
from bostruct.spaces.crystals.layer import layer_freedom

MAX_PRESSURE = 5.0
"""Largest pressure, eV/Å³, 800 GPa: larger numbers are meant in GPa."""

VOLUME_RANGE = (2 / 3, 3 / 2)
"""Default range of volumes, relative to an expected one that was given."""

WIDE_VOLUME_RANGE = (0.5, 2.0)
"""Default range of volumes, relative to the one expected from the formula."""

FLAT_LAYER_FACTOR = math.sqrt(0.5) * (4 / 3) ** 0.75
"""Volume of a close-packed sphere, over the area of one in a hexagonal layer to the power 3/2."""


def check_cell_arguments(given: Collection[str], in_plane: bool, variable: str | None) -> None:
    """Refuse arguments that contradict each other.

    Args:
        given: names of the arguments that are given.
        in_plane: true for layers.
        variable: part of a given cell that varies, or None.

    Raises:
        InputError: two do.
    """
    if in_plane:
        hint = "They have an `area`, in Å² per atom." if "volume" in given else ""
        _refuse(("volume", "pressure"), given, "of layers", hint)
    else:
        _refuse(("area", "thickness", "vacuum"), given, "without periodic=(True, True, False)")
    if "cell" not in given:
        _refuse(("variable",), given, "without a cell", "Give the `cell`, or leave it out.")
        return
    _refuse(("symmetry", "lengths", "angles"), given, "of a given cell")
    if in_plane:
        hint = "The cell of a layer is fixed; without `cell` the area varies."
        _refuse(("area", "volume_range"), given, "of a given cell", hint)
        if variable not in (None, "none"):
            condition = 'be "none" for layers in a given cell'
            raise InputError(error_message("variable", condition, repr(variable), hint))
    elif variable in (None, "none"):
        names, hint = ("volume", "volume_range", "pressure"), 'Try variable="volume".'
        _refuse(names, given, "of a cell that does not vary", hint)


def _refuse(refused: Sequence[str], given: Collection[str], of: str, hint: str = "") -> None:
    for name in refused:
        if name in given:
            raise InputError(error_message(name, f"be left out {of}", "one", hint))


def check_pressure(pressure: float) -> float:
    """Return a pressure in eV/Å³.

    Raises:
        InputError: it is no number, or so large that GPa were meant.
    """
    is_number = isinstance(pressure, int | float) and not isinstance(pressure, bool)
    if not (is_number and math.isfinite(pressure)):
        raise InputError(error_message("pressure", "be a finite number", repr(pressure)))
    if abs(pressure) > MAX_PRESSURE:
        condition = f"be at most {MAX_PRESSURE:g} eV/Å³, which are 800 GPa"
        hint = f"If GPa are meant, pass {pressure:g} * ase.units.GPa."
        raise InputError(error_message("pressure", condition, f"{pressure:g}", hint))
    return float(pressure)


def expected_volume(
    volume: float | None, area: float | None, numbers: Tensor, atomic_radii: Tensor
) -> float:
    """Return the expected volume, by default that of the formula, Å³ per atom.

    Args:
        volume: the volume that was given, or None.
        area: the area per atom of layers that was given, Å², or None.
        numbers: `[a]` atomic numbers.
        atomic_radii: `[a]` Å.

    Raises:
        InputError: it is not positive, or nothing is known of the crystals of an element.
    """
    if volume is None and area is not None and set(numbers.tolist()) <= set(NOBLE_GASES):
        volume = FLAT_LAYER_FACTOR * check_positive("area", area, "It is in Å² per atom.") ** 1.5
    if volume is None:
        volume = default_volume(numbers, atomic_radii)
        if not math.isfinite(volume):
            hint = "In Å³ per atom, as volume=15.0."
            condition = "be given where nothing is known of the crystals of an element"
            raise InputError(error_message("volume", condition, "none", hint))
    return float(check_positive("volume", volume, "It is in Å³ per atom."))


def resolve_freedom(
    numbers: Tensor,
    atomic_radii: Tensor,
    *,
    volume: float | None,
    cell: Any,  # noqa: ANN401 - ASE
    variable: str | None,
    in_plane: bool,
    area: float | None,
    thickness: float | None,
    vacuum: float | None,
) -> tuple[CellFreedom, float]:
    """Return how cells vary, and the expected volume of an atom, Å³.

    The arguments are those of `Crystal`.

    Raises:
        InputError: one is invalid.
    """
    a = len(numbers)
    if cell is not None and in_plane:
        H = given_cell(cell, in_plane)
        area = float(torch.linalg.vector_norm(torch.linalg.cross(H[0], H[1]))) / a
        expected = expected_volume(None, area, numbers, atomic_radii)
        return layer_freedom(a, expected, area, thickness, vacuum, H), expected
    if cell is not None:
        if volume is not None:
            volume = a * check_positive("volume", volume, "It is in Å³ per atom.")
        freedom = given_freedom(cell, variable or "none", volume)
        return freedom, freedom.volume / a
    expected = expected_volume(volume, area, numbers, atomic_radii)
    if in_plane:
        return layer_freedom(a, expected, area, thickness, vacuum), expected
    return CellFreedom.cube(a * expected), expected


def resolve_bounds(
    freedom: CellFreedom,
    min_distances: Tensor,
    *,
    is_expected: bool,
    volume_range: Sequence[float] | None,
    lengths: Sequence[float] | None,
    angles: Sequence[float] | None,
) -> CellBounds:
    """Return the bounds on cells.

    Args:
        freedom: cells that are allowed.
        min_distances: `[a, a]` Å, minimum distances.
        is_expected: true where volume, area or cell were given.
        volume_range: argument of `Crystal`, like the others.
        lengths: argument of `Crystal`.
        angles: argument of `Crystal`.

    Raises:
        InputError: a range does not rise, or ends where no cell is.
        SpaceError: the largest volume cannot hold the atoms.
    """
    if volume_range is None and freedom.kind != "none":
        volume_range = VOLUME_RANGE if is_expected else WIDE_VOLUME_RANGE
    if not freedom.varies_shape:
        return CellBounds.of_cell(freedom, volume_range)
    assert volume_range is not None
    a = len(min_distances)
    if freedom.is_layer:
        return CellBounds.of_layer(freedom, a, min_distances, volume_range, lengths, angles)
    volume = freedom.volume
    return CellBounds.from_arguments(volume, min_distances, volume_range, lengths, angles)
