import torch

from bostruct.surrogates.properties.map_estimate import (
    find_map_estimate,
    negative_log_density,
)

FAR = torch.full((1,), 9.0, dtype=torch.float64)


def well(p):
    """Two wells, the deeper one on the left."""
    return (p**4 / 4 - 2 * p**2 + 0.5 * p).sum()


def test_the_deepest_find_counts():
    starts = [torch.tensor([2.5]).double(), torch.tensor([-0.5]).double()]
    assert find_map_estimate(well, starts[:1], -FAR, FAR) > 1.5
    found = find_map_estimate(well, starts, -FAR, FAR)
    assert abs(float(found**3 - 4 * found + 0.5)) < 1e-4
    assert found < -1.5


def test_ends_are_kept():
    start = [torch.tensor([0.5]).double()]
    assert find_map_estimate(well, start, -FAR, torch.ones(1).double()) <= 1


def test_the_density_is_that_of_torch():
    B = torch.randn(5, 5, generator=torch.Generator().manual_seed(0)).double()
    A, y = B @ B.T + torch.eye(5), B[0]
    normal = torch.distributions.MultivariateNormal(torch.zeros(5).double(), A)
    constant = normal.log_prob(torch.zeros(5).double()) + negative_log_density(A, 0 * y)
    assert torch.allclose(negative_log_density(A, y), constant - normal.log_prob(y))
