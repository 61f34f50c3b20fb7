import torch
from gpytorch.kernels import ConstantKernel, LinearKernel, RBFKernel, ScaleKernel

from bostruct.surrogates.blend import VAGUE, Blend, Block, around

BLOCKS = (Block("averaged", 3, False, False), Block("fractions", 2, True, True))
NONE = Block("none", 0, True, False)


def drawn(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, 5, dtype=torch.float64, generator=generator)


def blend():
    found = Blend(BLOCKS)
    signal, length = torch.tensor([0.7, 2.0]), torch.tensor([1.5, 0.5, 3.0])
    found.initialize(raw_signal=(signal - 1e-6).log().double())
    return found.initialize(raw_length=(length - 1e-2).log().double())


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
    parts[2].variance = VAGUE
    parts[3].constant = torch.tensor(VAGUE)
    return parts


def test_it_is_the_sum_of_gpytorchs_kernels():
    A, B = drawn(4, 3), drawn(4, 6)
    for kernel in (blend(), Blend((NONE, BLOCKS[0], NONE, BLOCKS[1]))):
        kernel.load_state_dict(blend().state_dict())
        wanted = sum(part(A, B).to_dense() for part in reference())
        assert torch.allclose(kernel(A, B).to_dense(), wanted, atol=1e-6)
        own = kernel(A, diag=True)
        assert torch.allclose(own, kernel(A).to_dense().diagonal(dim1=-2, dim2=-1))


def test_the_prior_is_normal_in_the_logarithm():
    x = torch.tensor([0.1, 2.0, 40.0])
    density = around(2.0, 1.5).log_prob(x)
    wanted = torch.distributions.Normal(torch.tensor(2.0).log(), 1.5).log_prob(x.log())
    assert torch.allclose(density - density[0], wanted - wanted[0], atol=1e-4)


def test_it_begins_where_the_prior_is_highest():
    kernel = Blend(BLOCKS)
    assert torch.allclose(kernel.signal, torch.ones(2).double(), atol=1e-4)
    assert torch.allclose(kernel.length, torch.full((3,), 2.0).double(), atol=0.02)
    assert [len(part) for part in kernel.lengths()] == [1, 2]
