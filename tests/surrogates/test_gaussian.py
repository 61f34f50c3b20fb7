import torch
from botorch.acquisition.objective import ScalarizedPosteriorTransform
from gpytorch.distributions import MultitaskMultivariateNormal

from bostruct.surrogates.gaussian import gaussian


def covariance(size, scale=1.0):
    draw = torch.randn(
        2, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return scale * (draw @ draw.mT + torch.eye(size, dtype=torch.float64))


def test_several_properties_are_gpytorchs():
    mean, C = torch.rand(2, 3, 2, dtype=torch.float64), covariance(6)
    found = gaussian(mean, C, None)
    wanted = MultitaskMultivariateNormal(mean, C)
    assert torch.equal(found.mean, wanted.mean)
    torch.testing.assert_close(found.variance, wanted.variance)
    torch.testing.assert_close(found.distribution.covariance_matrix, C)
    assert found.rsample(torch.Size([4])).shape == (4, 2, 3, 2)


def test_small_variances_stay():
    """Warnings are errors in these tests: GPyTorch's own would raise one."""
    for k in (1, 2):
        C = covariance(3 * k, 1e-16)
        mean = torch.rand(2, 3, k, dtype=torch.float64)
        variance = gaussian(mean, C, None).variance
        wanted = C.diagonal(dim1=-2, dim2=-1).reshape(2, 3, k)
        torch.testing.assert_close(variance, wanted, rtol=1e-12, atol=0)


def test_rounding_below_zero_is_zero():
    C = -1e-20 * torch.eye(2, dtype=torch.float64)
    variance = gaussian(torch.zeros(2, 1, dtype=torch.float64), C, None).variance
    assert (variance > 0).all()
    assert (variance < 1e-300).all()


def test_a_transform_comes_last():
    mean, C = torch.rand(2, 3, 2, dtype=torch.float64), covariance(6)
    weights = torch.tensor([1.0, -1.0], dtype=torch.float64)
    found = gaussian(mean, C, ScalarizedPosteriorTransform(weights))
    torch.testing.assert_close(found.mean.squeeze(-1), mean[..., 0] - mean[..., 1])
