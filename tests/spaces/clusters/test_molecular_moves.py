import pytest
import torch

from bostruct.spaces import Cluster
from bostruct.spaces.clusters.molecular_moves import cut_and_splice, twist
from bostruct.spaces.clusters.packing import distance_matrix
from bostruct.testing import seeded_generator

N = 16


@pytest.fixture
def space():
    return Cluster.of({"H2O": 4, "NH3": 2})


@pytest.fixture
def positions(space):
    return space.sample(N, seeded_generator(0)).reshape(N, -1, 3)


def inside(space, P):
    """Return distances within the units, `[n, pairs]`."""
    return distance_matrix(P)[:, space.fragments.is_same_unit]


@pytest.mark.parametrize("move", [twist, cut_and_splice])
def test_units_are_kept_whole(space, positions, move):
    before = positions.clone()
    moved = move(positions, space.fragments, seeded_generator(1))
    assert torch.equal(positions, before)
    torch.testing.assert_close(inside(space, moved), inside(space, before))
    assert (moved - before).abs().amax((-1, -2)).min() > 0.01


def test_a_twist_turns_one_part_against_the_other(space, positions):
    moved = twist(positions, space.fragments, seeded_generator(1))
    centered = positions - positions.mean(1, keepdim=True)
    still = ((moved - centered).abs().amax(-1) < 1e-9).to(torch.float64)
    n_still = (still @ (space.fragments.unit_index[:, None] == torch.arange(6)).double() > 0).sum(
        -1
    )
    assert n_still.min() >= 1
    assert n_still.max() <= 5


def test_spliced_clusters_hold_units_of_two(space, positions):
    moved = cut_and_splice(positions, space.fragments, seeded_generator(1))
    centers = space.fragments.centers(moved)
    own = torch.cdist(centers, centers)
    parents = space.fragments.centers(positions)
    theirs = torch.cdist(parents, parents).flatten()
    # distances between units that stay together are those of a parent
    nearest = (own.flatten(1).unsqueeze(-1) - theirs).abs().amin(-1)
    share = (nearest < 1e-9).double().mean(-1)
    assert (share < 1).any()
    assert (share > 0.3).all()


def test_molecules_with_stereocenters_are_not_mirrored():
    from ase import Atoms

    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
    lengths = torch.tensor([[1.09], [1.36], [1.76], [1.94]])
    P = torch.cat((torch.zeros(1, 3), lengths * corners)).numpy()
    space = Cluster.of([(Atoms("CHFClBr", positions=P), 3)])
    assert "mirror" not in space.moves()
    X = space.sample(N, seeded_generator(0))
    assert space.contains(X).all()
    for name, move in space.moves().items():
        moved = move(X, seeded_generator(1)).reshape(N, 3, 5, 3)
        a, b, c = (moved[:, :, k] - moved[:, :, 0] for k in (1, 2, 3))
        handedness = (torch.linalg.cross(a, b) * c).sum(-1)
        assert (handedness.sign() == handedness[0, 0].sign()).all(), name
