import math

import pytest
import torch

from bostruct.spaces.clusters import sampling
from bostruct.spaces.clusters.packing import distance_matrix
from bostruct.spaces.clusters.point_groups import group_operations
from bostruct.spaces.clusters.sampling import (
    CONNECTION_FACTOR,
    rejection_sample,
    sample_compact,
    sample_symmetric,
)
from bostruct.spaces.clusters.symmetric_sampling import sample_orbits
from bostruct.spaces.connectivity import is_connected
from bostruct.testing import seeded_generator


def bonds(a, length=2.5):
    return torch.full((a, a), length, dtype=torch.float64).fill_diagonal_(0)


@pytest.mark.parametrize("a", [2, 5, 15, 60])
def test_clusters_have_bonds_and_no_overlaps(a):
    bond = bonds(a)
    P, whole = sample_compact(32, bond, 30.0, seeded_generator(0))
    assert P.shape == (32, a, 3)
    assert P.dtype == torch.float64
    assert P.mean(1).abs().max() < 1e-12
    D = distance_matrix(P)
    assert torch.equal(whole, is_connected(D, CONNECTION_FACTOR * bond))
    assert whole.double().mean() > 0.9
    nearest = (D / bond).nan_to_num(math.inf)
    assert nearest.min() > 0.75


def test_most_clusters_stay_in_a_tight_sphere():
    P, _ = sample_compact(64, bonds(13), 2.6, seeded_generator(0))
    inside = P.norm(dim=-1).amax(1) <= 2.6
    assert inside.double().mean() > 0.1
    assert P.norm(dim=-1).max() < 1.2 * 2.6


def test_clusters_come_round_and_long():
    P, _ = sample_compact(64, bonds(15), 30.0, seeded_generator(0))
    moments = torch.linalg.eigvalsh(P.mT @ P)
    aspect = (moments[:, -1] / moments[:, 0]).sqrt()
    assert aspect.min() < 1.5
    assert aspect.max() > 2


def test_bonds_of_unlike_atoms_have_their_own_length():
    radii = torch.tensor([2.0] * 4 + [1.0] * 4).double()
    bond = (radii.unsqueeze(0) + radii.unsqueeze(1)).fill_diagonal_(0)
    P, _ = sample_compact(64, bond, 30.0, seeded_generator(0))
    D = distance_matrix(P) + 99 * torch.eye(8)
    big, small = D[:, :4, :4].amin((1, 2)), D[:, 4:, 4:].amin((1, 2))
    assert big.median() == pytest.approx(4.0, rel=0.1)
    assert small.median() == pytest.approx(2.0, rel=0.1)


def test_none_are_none():
    P, whole = sample_compact(0, bonds(4), 30.0, seeded_generator(0))
    assert P.shape == (0, 4, 3)
    assert whole.shape == (0,)


def test_insists_until_all_are_good():
    asked = []

    def draw(count):
        asked.append(count)
        X = torch.arange(count).double().unsqueeze(1) + 10 * len(asked)
        return X, torch.arange(count) % 2 == 0

    X = rejection_sample(5, 1, draw, 9)
    assert asked == [5, 2, 1]
    # rows 0, 2, 4 of the first; then row 0 of two; then row 0 of one
    assert X.flatten().tolist() == [10, 20, 12, 30, 14]
    assert rejection_sample(5, 1, draw, 2) is None
    assert rejection_sample(0, 1, draw, 1).shape == (0, 1)


def test_symmetric_clusters_keep_their_symmetry_but_for_the_shaking(monkeypatch):
    numbers = torch.tensor([29] * 13)
    shaken, whole = sample_symmetric(64, numbers, bonds(13), 30.0, seeded_generator(0))
    monkeypatch.setattr(sampling, "SYMMETRY_BREAKING_STD", 0.0)
    P, _ = sample_symmetric(64, numbers, bonds(13), 30.0, seeded_generator(0))
    groups = sample_orbits(64, numbers, seeded_generator(0)).groups
    assert whole.double().mean() > 0.8
    step = (shaken - P).square().mean().sqrt()
    assert step == pytest.approx(0.03 * 2.5, rel=0.05)
    broken = 0
    for structure, group in zip(P, groups, strict=True):
        moved = (group_operations(group).unsqueeze(1) @ structure.unsqueeze(-1)).squeeze(-1)
        broken += int(torch.cdist(moved, structure).amin(-1).max() > 1e-3)
    assert broken < 6  # rounding grows where atoms were thrown on top of each other


def test_symmetric_clusters_have_bonds_and_no_overlaps():
    numbers = torch.tensor([79] * 5 + [29] * 10)
    P, whole = sample_symmetric(64, numbers, bonds(15), 30.0, seeded_generator(0))
    D = distance_matrix(P)
    assert torch.equal(whole, is_connected(D, CONNECTION_FACTOR * bonds(15)))
    nearest = (D / bonds(15)).nan_to_num(math.inf)
    assert nearest[whole].min() > 0.7


def test_the_icosahedron_is_more_often_among_the_symmetric_ones():
    def icosahedra(P):
        return int(((distance_matrix(P) < 1.25).sum((1, 2)) == 13 + 2 * 42).sum())

    numbers, bond = torch.tensor([18] * 13), bonds(13, 1.0)
    symmetrical = icosahedra(sample_symmetric(200, numbers, bond, 9.0, seeded_generator(0))[0])
    random = icosahedra(sample_compact(200, bond, 9.0, seeded_generator(0))[0])
    assert symmetrical > 2 * random > 0


def test_no_symmetric_ones_are_none():
    P, whole = sample_symmetric(0, torch.tensor([29] * 4), bonds(4), 30.0, seeded_generator(0))
    assert P.shape == (0, 4, 3)
    assert whole.shape == (0,)
