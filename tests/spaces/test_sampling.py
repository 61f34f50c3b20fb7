import math

import pytest
import torch

from bostruct.spaces.packing import connected, distances
from bostruct.spaces.sampling import LINK, compact, insist
from bostruct.testing import stream


def bonds(a, length=2.5):
    return torch.full((a, a), length, dtype=torch.float64).fill_diagonal_(0)


@pytest.mark.parametrize("a", [2, 5, 15, 60])
def test_clusters_have_bonds_and_no_overlaps(a):
    bond = bonds(a)
    P, whole = compact(32, bond, 30.0, stream(0))
    assert P.shape == (32, a, 3)
    assert P.dtype == torch.float64
    assert P.mean(1).abs().max() < 1e-12
    D = distances(P)
    assert torch.equal(whole, connected(D, LINK * bond))
    assert whole.double().mean() > 0.9
    nearest = (D / bond).nan_to_num(math.inf)
    assert nearest.min() > 0.75


def test_most_clusters_stay_in_a_tight_sphere():
    P, _ = compact(64, bonds(13), 2.6, stream(0))
    inside = P.norm(dim=-1).amax(1) <= 2.6
    assert inside.double().mean() > 0.1
    assert P.norm(dim=-1).max() < 1.2 * 2.6


def test_clusters_come_round_and_long():
    P, _ = compact(64, bonds(15), 30.0, stream(0))
    moments = torch.linalg.eigvalsh(P.mT @ P)
    aspect = (moments[:, -1] / moments[:, 0]).sqrt()
    assert aspect.min() < 1.5
    assert aspect.max() > 2


def test_bonds_of_unlike_atoms_have_their_own_length():
    radii = torch.tensor([2.0] * 4 + [1.0] * 4).double()
    bond = (radii.unsqueeze(0) + radii.unsqueeze(1)).fill_diagonal_(0)
    P, _ = compact(64, bond, 30.0, stream(0))
    D = distances(P) + 99 * torch.eye(8)
    big, small = D[:, :4, :4].amin((1, 2)), D[:, 4:, 4:].amin((1, 2))
    assert big.median() == pytest.approx(4.0, rel=0.1)
    assert small.median() == pytest.approx(2.0, rel=0.1)


def test_none_are_none():
    P, whole = compact(0, bonds(4), 30.0, stream(0))
    assert P.shape == (0, 4, 3)
    assert whole.shape == (0,)


def test_insists_until_all_are_good():
    asked = []

    def draw(count):
        asked.append(count)
        X = torch.arange(count).double().unsqueeze(1) + 10 * len(asked)
        return X, torch.arange(count) % 2 == 0

    X = insist(5, 1, draw, 9)
    assert asked == [5, 2, 1]
    # rows 0, 2, 4 of the first; then row 0 of two; then row 0 of one
    assert X.flatten().tolist() == [10, 20, 12, 30, 14]
    assert insist(5, 1, draw, 2) is None
    assert insist(0, 1, draw, 1).shape == (0, 1)
