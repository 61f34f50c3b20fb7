import math

import pytest
import torch
from ase import Atoms

from bostruct.spaces.molecules.dihedral_angles import (
    dihedral_angles,
    rotate_about,
    turn_torsions,
)
from bostruct.testing.central_differences import assert_gradient

TORSIONS = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
SIDES = torch.tensor([[False, False, False, True, True], [False, False, False, False, True]])


@pytest.fixture
def chain():
    generator = torch.Generator().manual_seed(0)
    P = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64)
    return P.cumsum(1)


def test_angles_are_those_of_ase(chain):
    for P, angles in zip(chain, dihedral_angles(chain, TORSIONS), strict=True):
        atoms = Atoms("C5", positions=P.numpy())
        for row, angle in zip(TORSIONS.tolist(), angles.tolist(), strict=True):
            assert math.degrees(angle) % 360 == pytest.approx(atoms.get_dihedral(*row))


def test_mirrored_angles_change_sign(chain):
    mirrored = chain * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(
        dihedral_angles(mirrored, TORSIONS), -dihedral_angles(chain, TORSIONS)
    )


def test_gradient_of_angles(chain):
    assert_gradient(lambda P: dihedral_angles(P, TORSIONS).sin().sum(), chain)


def test_turned_torsions_change_by_the_angles(chain):
    changes = torch.tensor([0.3, -1.2], dtype=torch.float64)
    turned = turn_torsions(chain, TORSIONS, SIDES, changes.expand(4, 2))
    change = dihedral_angles(turned, TORSIONS) - dihedral_angles(chain, TORSIONS)
    torch.testing.assert_close(
        torch.polar(torch.ones_like(change), change),
        torch.polar(torch.ones(4, 2, dtype=torch.float64), changes.expand(4, 2)),
    )
    D, turned_D = (torch.cdist(P, P) for P in (chain, turned))
    for i, j in ((0, 1), (0, 2), (1, 3), (2, 4), (3, 4)):
        torch.testing.assert_close(D[:, i, j], turned_D[:, i, j])


def test_gradient_of_turned_positions(chain):
    def function(packed):
        P, changes = packed[:, :15].reshape(-1, 5, 3), packed[:, 15:]
        return turn_torsions(P, TORSIONS, SIDES, changes).sin().sum()

    assert_gradient(function, torch.cat((chain.flatten(1), torch.ones_like(chain[:, 0, :2])), -1))


def test_rotation_is_counterclockwise_about_its_axis():
    P = torch.tensor([[1.0, 0.0, 5.0]], dtype=torch.float64)
    origin, axis = torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, 0.0, 2.0]).double()
    turned = rotate_about(P, origin, axis, torch.tensor(math.pi / 2).double())
    torch.testing.assert_close(turned, torch.tensor([[0.0, 1.0, 5.0]], dtype=torch.float64))
