import pytest
import torch
from ase.build import bulk

from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.log_strain import cell_of_log_strain, log_strain_matrix
from bostruct.spaces.crystals.moves import cut_and_splice, rattle, shift_layers, strain_cell
from bostruct.spaces.crystals.packing import neighbor_distances
from bostruct.spaces.random_tensors import normal, uniform
from bostruct.testing import seeded_generator

N = 40
FREE = CellFreedom.cube(64.0)


@pytest.fixture
def crystals():
    F = uniform((N, 4, 3), seeded_generator(0))
    return F, cell_of_log_strain(0.2 * normal((N, 6), seeded_generator(1)), 4.0)


def test_strain_changes_the_shape_more_than_the_volume(crystals):
    F, H = crystals
    G, K = strain_cell(F, H, FREE, seeded_generator(2))
    assert torch.equal(F, G)
    change = (torch.linalg.det(K) / torch.linalg.det(H)).log().abs()
    assert 0 < change.mean() < 0.1
    strain = torch.linalg.inv(H) @ K - torch.eye(3).double()
    assert strain.abs().amax((1, 2)).median() > 0.1


def test_rattle_displaces_atoms_in_a_cell_that_stays(crystals):
    F, H = crystals
    G, K = rattle(F, H, 2.5, seeded_generator(2))
    assert torch.equal(H, K)
    size = ((G - F) @ H).square().mean((1, 2)).sqrt() / 2.5
    assert size.min() > 0.02
    assert size.max() < 0.7


def test_splicing_takes_atoms_of_both_and_a_cell_between():
    F = torch.zeros(2, 4, 3, dtype=torch.float64)
    F[0], F[1] = uniform((4, 3), seeded_generator(0)), uniform((4, 3), seeded_generator(1))
    s = torch.zeros(2, 6, dtype=torch.float64)
    s[1, :3] = 1.0
    numbers = torch.tensor([1, 1, 8, 8])
    spliced, S = cut_and_splice(F, log_strain_matrix(s), numbers, FREE, seeded_generator(0))
    trace = S.diagonal(dim1=-2, dim2=-1).sum(-1)
    assert (trace >= 0.75 - 1e-9).all()
    assert (trace <= 2.25 + 1e-9).all()
    assert ((spliced >= 0) & (spliced < 1)).all()


def test_splicing_a_crystal_with_itself_keeps_its_species_and_cell_volume(crystals):
    F, _ = crystals
    S = log_strain_matrix(0.2 * normal((1, 6), seeded_generator(1)))
    spliced, T = cut_and_splice(F[:1], S, torch.tensor([1, 1, 8, 8]), FREE, seeded_generator(0))
    assert spliced.shape == (1, 4, 3)
    trace = [matrix.diagonal(dim1=-2, dim2=-1).sum() for matrix in (S, T)]
    torch.testing.assert_close(*trace)


def test_shifted_layers_keep_the_distances_within_layers():
    """Close-packed layers shifted along a lattice vector stay close-packed layers."""
    atoms = bulk("Cu", "hcp", a=2.55, c=30.0).repeat((1, 1, 1))
    atoms.positions[1, 2] = 15.0  # far apart, so that only layers count
    F = torch.tensor(atoms.get_scaled_positions()).expand(N, -1, -1)
    H = torch.tensor(atoms.cell[:]).expand(N, 3, 3)
    G, K = shift_layers(F, H, FREE, seeded_generator(0))
    torch.testing.assert_close(torch.linalg.det(K), torch.linalg.det(H))
    before, after = (
        neighbor_distances(*pair, torch.tensor([0, 0]), 4.0, 6) for pair in ((F, H), (G, K))
    )
    kept = torch.isclose(before, after).all(-1).all(-1).all(-1)
    assert kept.float().mean() > 0.3
    assert not torch.isclose(G, F).all()


def test_a_tilted_cell_leaves_atoms_in_place():
    """Where the cell tilts all atoms move together: there is a fault at its border only."""
    F, H = uniform((N, 3, 3), seeded_generator(0)), 4 * torch.eye(3).double().repeat(N, 1, 1)
    G, K = shift_layers(F, H, FREE, seeded_generator(1))
    tilted = (K != H).any(-1).any(-1)
    assert 5 < tilted.sum() < N - 5
    P, Q = F[tilted] @ H[tilted], G[tilted] @ K[tilted]
    change = Q - P
    change = (change - change[:, :1]) / 4  # in cells of before
    torch.testing.assert_close(change, change.round(), atol=1e-9, rtol=0)
