import pytest
import torch

from bostruct.spaces.clusters.point_groups import (
    OPERATION_TOLERANCE,
    POINT_GROUPS,
    generate_group,
    group_operations,
    wyckoff_positions,
)

ORDERS = {
    **{"Cs": 2, "Ci": 2, "C2": 2, "C3": 3, "C5": 5, "C2v": 4, "C5v": 10, "C3h": 6},
    **{"D3": 6, "D2h": 8, "D5h": 20, "D2d": 8, "D5d": 20, "D6d": 24},
    **{"T": 12, "Td": 24, "Th": 24, "O": 24, "Oh": 48, "I": 60, "Ih": 120},
}

# The letters of the International Tables, from the centre to the general place.
ORBITS = {
    "C3v": [1, 3, 6],
    "D3h": [1, 2, 3, 6, 6, 12],
    "D5h": [1, 2, 5, 10, 10, 20],
    "Td": [1, 4, 6, 12, 24],
    "Oh": [1, 6, 8, 12, 24, 24, 48],
    "Ih": [1, 12, 20, 30, 60, 120],
}


def unlike(P):
    """Return how many different places there are, of `[m, 3]`."""
    same = (P.unsqueeze(1) - P).norm(dim=-1) < 1e-4
    return len(P) - int(same.tril(-1).any(-1).sum())


@pytest.mark.parametrize("group", POINT_GROUPS)
def test_operations_are_a_group(group):
    G = group_operations(group)
    assert len(G) == ORDERS.get(group, len(G))
    one = torch.eye(3, dtype=torch.float64)
    assert torch.equal(G[0], one)
    torch.testing.assert_close(G @ G.mT, one.expand_as(G), rtol=0, atol=1e-12)
    products = (G.unsqueeze(1) @ G).reshape(-1, 1, 9)
    apart = (products - G.reshape(-1, 9)).abs().amax(-1)  # [g², g]
    assert ((apart < OPERATION_TOLERANCE).sum(-1) == 1).all()


@pytest.mark.parametrize("group", POINT_GROUPS)
def test_orbits_are_closed_and_as_long_as_they_say(group):
    G = group_operations(group)
    x = torch.tensor([1.1, -0.7, 0.4], dtype=torch.float64)
    for site in wyckoff_positions(group):
        torch.testing.assert_close(site.projection @ site.projection, site.projection)
        orbit = site.operations @ site.projection @ x
        assert len(orbit) == site.multiplicity
        assert unlike(orbit) == site.multiplicity
        everything = (G.unsqueeze(1) @ orbit.unsqueeze(-1)).reshape(-1, 3)
        assert torch.cdist(everything, orbit).amin(-1).max() < OPERATION_TOLERANCE
        assert len(G) % site.multiplicity == 0
    assert wyckoff_positions(group)[-1].multiplicity == len(G)


@pytest.mark.parametrize("group", ORBITS)
def test_kinds_of_places_are_those_of_the_tables(group):
    assert sorted(site.multiplicity for site in wyckoff_positions(group)) == ORBITS[group]


def test_groups_without_a_direction_have_a_centre():
    single = {group for group in POINT_GROUPS if wyckoff_positions(group)[0].is_center}
    polar = {"Cs", "C2", "C3", "C4", "C5", "C6", "C2v", "C3v", "C4v", "C5v", "C6v"}
    assert single == set(POINT_GROUPS) - polar
    assert not any(
        site.is_center for group in POINT_GROUPS for site in wyckoff_positions(group)[1:]
    )


def test_products_of_nothing_are_the_identity():
    assert torch.equal(generate_group([]), torch.eye(3, dtype=torch.float64).unsqueeze(0))
