import pytest
import torch

from bostruct.spaces import Cluster
from bostruct.spaces.clusters.molecular_packing import (
    contact_counts,
    contact_weights,
    place_unit,
    push_units_apart,
    relocate,
    sample_packed,
)
from bostruct.spaces.clusters.packing import distance_matrix
from bostruct.testing import seeded_generator

N = 24


@pytest.fixture
def space():
    return Cluster.of({"H2O": 4, "Na": 1})


def between(space, P):
    """Return distances in contact lengths, infinite within a unit."""
    ratio = distance_matrix(P) / space.bond_lengths.clamp(min=1e-9)
    return ratio.masked_fill(space.fragments.is_same_unit, torch.inf)


def bond_lengths(space, P):
    ends = P[:, space.fragments.bonds]
    return (ends[:, :, 0] - ends[:, :, 1]).norm(dim=-1)


def test_packed_units_touch_and_do_not_overlap(space):
    P = sample_packed(N, space.fragments, space.bond_lengths, seeded_generator(0))
    nearest = between(space, P).amin((-1, -2))
    assert (nearest > 0.919).all()
    assert (nearest < 1.041).all()
    torch.testing.assert_close(P.mean(1), torch.zeros_like(P[:, 0]), rtol=0, atol=1e-9)
    reference = space.fragments.bond_lengths.expand(N, -1)
    torch.testing.assert_close(bond_lengths(space, P), reference)


def test_a_placed_unit_touches_the_others_alone(space):
    fragments = space.fragments
    P = sample_packed(N, fragments, space.bond_lengths, seeded_generator(0))
    unit = torch.arange(N) % 5
    placed = torch.ones(N, 5, dtype=torch.bool)
    placed[torch.arange(N), unit] = False
    ones = torch.ones(N, dtype=torch.float64)
    moved = place_unit(
        P, fragments, unit, placed, space.bond_lengths, ones, ones, seeded_generator(1)
    )
    of_unit = fragments.unit_index == unit.unsqueeze(-1)  # [n, a]
    assert torch.equal(moved[~of_unit], P[~of_unit])
    nearest = torch.stack(
        [ratio[mask].min() for ratio, mask in zip(between(space, moved), of_unit, strict=True)]
    )
    torch.testing.assert_close(nearest, ones)


def test_hydrogen_bonds_count_more(space):
    weights = contact_weights(space.fragments)
    assert float(weights[1, 5]) == 4.0  # an oxygen atom and hydrogen of the next molecule
    assert float(weights[1, 4]) == 1.0
    assert float(weights[1, 2]) == 0.0
    P = sample_packed(N, space.fragments, space.bond_lengths, seeded_generator(0))
    counts = contact_counts(P, space.bond_lengths, space.fragments)
    assert counts.shape == (N, 5)
    assert (counts.amax(-1) > 1).all()
    far = space.fragments.translate(P, 1000 * torch.eye(5, 3, dtype=P.dtype).cumsum(0))
    assert contact_counts(far[:, :4], space.bond_lengths[:4, :4], _first_water(space)).max() < 1e-3


def _first_water(space):
    return Cluster.of({"H2O": 1, "Na": 1}).fragments


def test_overlapping_units_are_pushed_apart_as_rigid_bodies(space):
    fragments = space.fragments
    P = 0.8 * sample_packed(N, fragments, space.bond_lengths, seeded_generator(0))
    centers = fragments.centers(P)
    P = fragments.rotate(
        fragments.reference.expand(N, -1, -1), torch.eye(3).double().expand(N, 5, 3, 3), centers
    )
    limits = 0.85 * space.bond_lengths
    ends = push_units_apart(P, fragments, limits, 40)
    before, after = (between(space, Q).amin((-1, -2)) for Q in (P, ends))
    assert before.min() < 0.7
    assert after.min() > 0.8
    reference = fragments.bond_lengths.expand(N, -1)
    torch.testing.assert_close(bond_lengths(space, ends), reference)
    torch.testing.assert_close(push_units_apart(ends, fragments, 0 * limits, 3), ends)


def test_relocated_units_are_single_and_touch(space):
    fragments = space.fragments
    P = sample_packed(N, fragments, space.bond_lengths, seeded_generator(0))
    moved = relocate(P, fragments, space.bond_lengths, 2.0, seeded_generator(1))
    changed = ((moved - P).abs().amax(-1) > 1e-9).to(torch.float64)
    n_changed = (changed @ (fragments.unit_index[:, None] == torch.arange(5)).double() > 0).sum(-1)
    assert (n_changed == 1).all()
    assert (between(space, moved).amin((-1, -2)) > 0.9).all()
