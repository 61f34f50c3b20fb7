import pytest
import torch
from ase import Atoms
from ase.build import bulk

from bostruct.spaces.crystals.bounds import distance_bounds
from bostruct.structures import from_ase


def test_close_pairs_lean_on_their_bound():
    atoms = Atoms(
        "CuAu", [[0, 0, 0], [3.9, 0, 0]], cell=[6, 6, 6], pbc=True
    )  # 2.1 Å over the border
    structure = from_ase([atoms])[0]
    least = torch.full((2, 2), 2.09, dtype=torch.float64)
    (bound,) = distance_bounds(structure, least)
    assert (bound.argument, bound.pair, bound.limit) == ("min_distance", "Au-Cu", 2.09)
    outward = dict(zip(bound.atoms.tolist(), bound.outward.tolist(), strict=True))
    assert outward[0] == pytest.approx([-1, 0, 0])
    assert outward[1] == pytest.approx([1, 0, 0])
    forces = torch.tensor([[-0.3, 0, 0], [0.3, 0, 0]]).double()
    assert bound.pressure(forces) == pytest.approx(0.3)
    assert not distance_bounds(structure, least - 0.1)


def test_images_of_an_atom_name_no_atoms():
    structure = from_ase([bulk("Cu")])[0]
    (bound,) = distance_bounds(structure, torch.full((1, 1), 2.55, dtype=torch.float64))
    assert len(bound.atoms) == 0
    assert bound.pair == "Cu-Cu"
