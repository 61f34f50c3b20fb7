"""Arguments that contradict each other are refused, each in a sentence."""

import math

import pytest

from bostruct.errors import InputError
from bostruct.spaces import Crystal
from bostruct.spaces.crystals.cell_arguments import check_cell_arguments

LAYER = {"periodic": (True, True, False)}
CELL = {"cell": [5.0, 5.0, 5.0]}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (LAYER | {"volume": 12}, "`volume` must be left out of layers, got one. They have an `ar"),
        (LAYER | {"pressure": 0.1}, "`pressure` must be left out of layers"),
        (LAYER | CELL | {"area": 5.0}, "`area` must be left out of a given cell.* fixed"),
        (LAYER | CELL | {"symmetry": 2}, "`symmetry` must be left out of a given cell"),
        (LAYER | CELL | {"variable": "volume"}, '`variable` must be "none" for layers in a given'),
        (LAYER | {"cell": [[1, 2, 0], [2, 4, 0], [0, 0, 9]]}, "`cell` must span an area"),
        (
            LAYER | {"cell": [1.5, 1.5, 9]},
            "Give a larger `cell` or `thickness`",
        ),
        ({"area": 5.0}, r"`area` must be left out without periodic=\(True, True, False\)"),
        ({"thickness": 2.0}, "`thickness` must be left out without"),
        ({"variable": "volume"}, "`variable` must be left out without a cell"),
        (CELL | {"symmetry": 2}, "`symmetry` must be left out of a given cell"),
        (CELL | {"lengths": (2, 9)}, "`lengths` must be left out of a given cell"),
        (CELL | {"volume": 20}, 'of a cell that does not vary, got one. Try variable="volume"'),
        (CELL | {"pressure": 0.1}, "`pressure` must be left out of a cell that does not vary"),
        ({"periodic": (True, False, False)}, r"`periodic` must be \(True, True, True\), or"),
        ({"periodic": 2}, "`periodic` must be"),
        (LAYER | {"vacuum": 2.0}, r"`vacuum` must be at least \d.* search a crystal"),
        (LAYER | {"thickness": -1.0}, "`thickness` must be positive"),
        (LAYER | {"area": "big"}, "`area` must be positive"),
        (LAYER | {"symmetry": 81}, "`symmetry` must be numbers of layer groups from 1 to 80"),
        (LAYER | {"volume_range": (1.5, 2)}, "`volume_range` must hold 1"),
        (LAYER | {"area": 0.2}, "`area` must be large enough"),
        (CELL | {"variable": "volume", "volume": 1.0}, "`volume` must be large enough"),
        ({"cell": [1.5, 1.5, 9]}, "`cell` must be large enough"),
    ],
)
def test_contradictions_are_refused(arguments, match):
    with pytest.raises(InputError, match=match):
        Crystal("Si4", **arguments)


def test_what_goes_together_passes():
    check_cell_arguments({"area", "vacuum", "volume_range"}, in_plane=True, variable=None)
    check_cell_arguments({"cell", "pressure", "volume"}, in_plane=False, variable="volume")


def test_flat_layers_of_noble_gases_are_close_packed():
    """In a hexagonal layer of circles that touch the area is √3/2 d²."""
    d = 3.1
    space = Crystal("Ar4", periodic=(True, True, False), area=math.sqrt(0.75) * d**2)
    assert float(2 * space.atomic_radii[0]) == pytest.approx(d)
