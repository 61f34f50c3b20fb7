import pytest
import torch

from bostruct.spaces import Cluster

SPACE = Cluster("Au2Cu", radius=4.0)
GOLD, GOLD_COPPER = (0.7 * length for length in (2 * 1.36, 1.36 + 1.32))


def names(space, positions):
    x = torch.tensor(positions, dtype=torch.float64).flatten()
    return {(b.argument, b.pair): b for b in space.active_bounds(x)}


def test_a_structure_amid_the_space_leans_on_nothing():
    assert not names(SPACE, [[0, 0, 0], [2.7, 0, 0], [1.3, 2.3, 0]])


@pytest.mark.parametrize(("factor", "active"), [(0.9, True), (1.01, True), (1.05, False)])
def test_the_closest_pair_at_a_minimum_distance(factor, active):
    found = names(SPACE, [[0, 0, 0], [factor * GOLD, 0, 0], [0, 2.7, 0]])
    assert set(found) == ({("min_distance", "Au-Au")} if active else set())
    if active:
        bound = found["min_distance", "Au-Au"]
        assert bound.limit == pytest.approx(GOLD)
        towards = torch.zeros(3, 3, dtype=torch.float64)
        towards[0, 0], towards[1, 0] = 1, -1
        assert bound.pressure(towards) == pytest.approx(1)
        assert bound.pressure(-towards) == pytest.approx(-1)


def test_every_pair_of_elements_is_one_bound():
    found = names(SPACE, [[0, 0, 0], [GOLD, 0, 0], [GOLD / 2, 1.6, 0]])
    assert set(found) == {("min_distance", "Au-Au"), ("min_distance", "Au-Cu")}
    assert found["min_distance", "Au-Cu"].limit == pytest.approx(GOLD_COPPER)


def test_atoms_at_the_sphere():
    found = names(SPACE, [[-3.98, 0, 0], [0.5, 0, 0], [3.0, 0, 0]])
    sphere = found["radius", ""]
    assert sphere.atoms.tolist() == [0]
    outward = torch.tensor([[-2.0, 5, 5], [9, 9, 9], [9, 9, 9]], dtype=torch.float64)
    assert sphere.pressure(outward) == pytest.approx(2)


def test_parts_that_are_as_far_apart_as_a_gap_may_be():
    gap = 1.5 * (1.36 + 1.32)
    near, far = ([[0, 0, 0], [2.7, 0, 0], [-f * gap, 0, 0]] for f in (0.9, 0.99))
    wide = Cluster("Au2Cu")
    assert not names(wide, near)
    bound = names(wide, far)["max_gap_factor", "Au-Cu"]
    assert bound.limit == pytest.approx(gap)
    apart = torch.tensor([[1.0, 0, 0], [0, 0, 0], [-1.0, 0, 0]], dtype=torch.float64)
    assert bound.pressure(apart) == pytest.approx(1)
    assert not names(Cluster("Au2Cu", max_gap_factor=2), far)


def test_a_space_without_a_largest_gap():
    assert not names(Cluster("ArNe2"), [[0, 0, 0], [2.7, 0, 0], [0, 2.9, 0]])


def test_radii_carry_the_distances_that_follow_from_them():
    space = Cluster("Au5Cu10").with_radii({"Cu": 0.66})
    assert space.atomic_radii.unique().tolist() == [0.66, 1.36]
    assert space.min_distances[0, 5] == pytest.approx(0.7 * (1.36 + 0.66))
    assert space.min_distances[5, 6] == pytest.approx(0.7 * 1.32)
    assert space.radius == Cluster("Au5Cu10").radius  # it never shrinks
    wider = Cluster("Au5Cu10").with_radii({"Cu": 2.64, "Au": 2.72})
    same = Cluster("Au5Cu10", atomic_radii={"Cu": 2.64, "Au": 2.72})
    assert wider.description() == same.description()


def test_distances_that_were_given_stay():
    space = Cluster("Au5Cu10", min_distance={"Au-Cu": 2.0}, radius=12.0, max_gap_factor=1.4)
    other = space.with_radii({"Cu": 1.0})
    assert other.min_distances[0, 5] == 2.0
    assert other.min_distances[5, 6] == pytest.approx(0.7 * 2.0)
    assert other.radius == 12.0
    assert other.max_gap_factor == 1.4
