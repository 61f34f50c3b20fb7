import pytest
import torch

from bostruct.spaces import Cluster, Pool, Surface
from bostruct.spaces.active_bounds import ActiveBound, SupportsActiveBounds


def test_pressure_is_the_force_along_the_directions_that_are_barred():
    atoms = torch.tensor([2, 0])
    outward = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]])
    bound = ActiveBound("min_distance", 2.0, "Cu-Cu", atoms, outward)
    forces = torch.tensor([[-3.0, 9, 0], [7.0, 7, 7], [1.0, 0, 9]], dtype=torch.float64)
    assert bound.pressure(forces) == pytest.approx((1 + 3) / 2)
    assert bound.pressure(-forces) == pytest.approx(-2)


def test_spaces_of_positions_tell_their_bounds():
    assert issubclass(Cluster, SupportsActiveBounds)
    assert issubclass(Surface, SupportsActiveBounds)
    assert not issubclass(Pool, SupportsActiveBounds)
