import torch
from gpytorch.kernels import ConstantKernel, LinearKernel, RBFKernel, ScaleKernel

from bostruct.surrogates.properties.kernel import (
    LINEAR_VARIANCE,
    AdditiveKernel,
    FeatureBlock,
)

BLOCKS = (
    FeatureBlock("averaged", 3, False, False),
    FeatureBlock("fractions", 2, True, True),
)
NONE = FeatureBlock("none", 0, True, False)


def drawn(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, 5, dtype=torch.float64, generator=generator)


def blend():
    found = AdditiveKernel(BLOCKS)
    signal, length = torch.tensor([0.7, 2.0]), torch.tensor([1.5, 0.5, 3.0])
    return found.initialize(log_signal=signal.log(), log_length=length.log())


def reference():
    first, second = (0, 1, 2), (3, 4)
    parts = (
        ScaleKernel(RBFKernel(active_dims=first)),
        ScaleKernel(RBFKernel(ard_num_dims=2, active_dims=second)),
        LinearKernel(active_dims=second),
        ConstantKernel(),
    )
    parts = tuple(part.double() for part in parts)
    parts[0].outputscale, parts[0].base_kernel.lengthscale = 0.7, 1.5
    parts[1].outputscale = 2.0
    parts[1].base_kernel.lengthscale = torch.tensor([[0.5, 3.0]])
    parts[2].variance = LINEAR_VARIANCE
    parts[3].constant = torch.tensor(LINEAR_VARIANCE)
    return parts


def test_it_is_the_sum_of_gpytorchs_kernels():
    A, B = drawn(4, 3), drawn(4, 6)
    for kernel in (blend(), AdditiveKernel((NONE, BLOCKS[0], NONE, BLOCKS[1]))):
        kernel.load_state_dict(blend().state_dict())
        wanted = sum(part(A, B).to_dense() for part in reference())
        assert torch.allclose(kernel(A, B).to_dense(), wanted, atol=1e-6)
        own = kernel(A, diag=True)
        assert torch.allclose(own, kernel(A).to_dense().diagonal(dim1=-2, dim2=-1))


def test_it_begins_where_the_prior_is_highest():
    kernel = AdditiveKernel(BLOCKS)
    assert torch.equal(kernel.log_signal, torch.zeros(2).double())
    assert [part.tolist() for part in kernel.lengthscales()] == [[2.0], [2.0, 2.0]]
