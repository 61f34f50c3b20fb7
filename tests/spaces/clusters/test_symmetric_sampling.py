from collections import Counter

import pytest
import torch

from bostruct.spaces.clusters.point_groups import (
    POINT_GROUPS,
    POLYHEDRAL_GROUPS,
    group_operations,
)
from bostruct.spaces.clusters.symmetric_sampling import compatible_groups, sample_orbits
from bostruct.testing import seeded_generator


def positions(found, q):
    place = found.orbit_index.unsqueeze(-1).expand(*found.orbit_index.shape, 3)
    return (found.operations @ q.gather(1, place).unsqueeze(-1)).squeeze(-1)


def symmetric(P, numbers, group):
    """Return whether the group maps atoms onto equal ones."""
    moved = (group_operations(group).unsqueeze(1) @ P.unsqueeze(-1)).squeeze(-1)  # [g, a, 3]
    D = (moved.unsqueeze(2) - P).norm(dim=-1)
    fits = (D < 1e-9) & (numbers.unsqueeze(1) == numbers)
    return bool((fits.sum(-1) == 1).all())


@pytest.mark.parametrize(
    "numbers", [[29] * 13, [29] * 38, [79] * 5 + [29] * 10, [6, 1, 1, 1, 8, 1], [3]]
)
def test_structures_have_their_group(numbers):
    numbers = torch.tensor(numbers)
    n, a = 64, len(numbers)
    found = sample_orbits(n, numbers, seeded_generator(0))
    assert found.orbit_index.shape == (n, a)
    q = torch.randn(n, a, 3, generator=seeded_generator(1), dtype=torch.float64)
    P = positions(found, q)
    several = len(set(numbers.tolist())) > 1
    for row, group in enumerate(found.groups):
        free = several and row % 2 == 0
        alike = torch.zeros_like(numbers) if free else numbers
        assert symmetric(P[row], alike, group), group


def test_every_group_that_fits_is_drawn():
    found = sample_orbits(600, torch.tensor([29] * 13), seeded_generator(0))
    seen = Counter(found.groups)
    assert set(seen) == set(compatible_groups((13,)))
    assert {"Ih", "Oh", "D5h", "Cs"} <= set(seen)
    assert max(seen.values()) < 4 * min(seen.values())
    assert "T" in seen
    assert found.has_main_axis.tolist() == [
        group not in POLYHEDRAL_GROUPS for group in found.groups
    ]


@pytest.mark.parametrize(
    ("counts", "group", "fits"),
    [
        ((13,), "Ih", True),
        ((12,), "Ih", True),
        ((14,), "Ih", False),
        ((1, 12), "Ih", True),
        ((1, 1, 12), "Ih", False),
        ((13, 13), "Ih", False),
        ((2,), "D5h", True),
        ((3,), "Ci", True),
        ((1, 1), "Ci", False),
        ((1, 1), "C5v", True),
    ],
)
def test_orbits_make_up_the_composition(counts, group, fits):
    assert (group in compatible_groups(counts)) == fits


def test_small_groups_fit_everything():
    assert {"Cs", "C6v"} <= set(compatible_groups((3, 1, 7)))
    assert set(compatible_groups((240,))) == set(POINT_GROUPS)


def test_depends_on_the_stream_alone():
    numbers = torch.tensor([79] * 3 + [29] * 6)
    one, two = (sample_orbits(7, numbers, seeded_generator(4)) for _ in range(2))
    assert torch.equal(one.operations, two.operations)
    assert torch.equal(one.orbit_index, two.orbit_index)
    assert one.groups == two.groups
    assert one.groups != sample_orbits(7, numbers, seeded_generator(5)).groups


def test_none_are_none():
    found = sample_orbits(0, torch.tensor([29, 29]), seeded_generator(0))
    assert found.operations.shape == (0, 2, 3, 3)
    assert found.groups == ()
