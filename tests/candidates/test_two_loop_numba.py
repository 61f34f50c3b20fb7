"""The compiled recursion beside the one of tensors, and beside its definition."""

import pytest
import torch

from bostruct.candidates import batched_lbfgs
from bostruct.candidates.batched_lbfgs import HISTORY_SIZE
from bostruct.candidates.two_loop_numba import two_loop_recursion


def history(b, d, void, seed=0):
    """Return gradients and pairs of a convex function; some of the pairs are void."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    root = draw(d, d)
    hessian = root @ root.T + torch.eye(d)
    S = draw(HISTORY_SIZE, b, d)
    Y = S @ hessian
    rho = 1 / (S * Y).sum(-1)
    rho[torch.rand(rho.shape, generator=generator) < void] = 0
    return draw(b, d), S, Y, rho, hessian


def run(g, S, Y, rho, steepest, newest):
    arrays = (x.numpy() for x in (g, S, Y, rho, steepest))
    return torch.from_numpy(two_loop_recursion(*arrays, newest))


@pytest.mark.parametrize("void", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("slot", [0, 3])
def test_equals_the_recursion_of_tensors(void, slot):
    g, S, Y, rho, _ = history(6, 9, void)
    steepest = torch.linspace(0.1, 1, 6).double()
    state = batched_lbfgs._LBFGSState(torch.arange(6), g, g[:, 0], g, steepest, S, Y, rho)
    expected = batched_lbfgs._search_direction_by_tensors(state, slot, steepest)
    found = run(g, S, Y, rho, steepest, (slot - 1) % HISTORY_SIZE)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    if void == 1.0:
        torch.testing.assert_close(found, -steepest.unsqueeze(-1) * g)


def test_the_newest_pair_obeys_the_secant_equation():
    """H y = s for the newest pair, whatever the older ones say."""
    _, S, Y, rho, _ = history(1, 5, 0.0)
    found = run(Y[2].clone(), S, Y, rho, torch.ones(1).double(), 2)
    torch.testing.assert_close(found, -S[2], rtol=1e-9, atol=1e-10)
