import pytest
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.objective import GenericMCObjective

from bostruct.acquisition import qLogExpectedHypervolumeImprovement, qLogNParEGO
from bostruct.acquisition.monte_carlo import sobol_sampler
from bostruct.acquisition.multi_objective.normalization import NormalizedContext
from bostruct.acquisition.multi_objective.parego import random_simplex_weights

X = torch.tensor([[[1.5, 2.9]], [[4.0, 0.5]], [[2.6, 2.5]]], dtype=torch.float64)


def test_weights_are_uniform_on_the_simplex():
    """Each has mean 1/3 and variance 1/18; 5 standard errors of 1000 draws."""
    draws = torch.stack([random_simplex_weights(3, seed) for seed in range(1000)])
    torch.testing.assert_close(draws.sum(-1), torch.ones(1000).double())
    assert (draws > 0).all()
    error = 5 * (1 / 18 / 1000) ** 0.5
    assert (draws.mean(0) - 1 / 3).abs().max() < error
    assert (draws.var(0) - 1 / 18).abs().max() < 0.01
    assert torch.equal(random_simplex_weights(3, 7), draws[7])


def chebyshev(told, low, high):
    """[K06]: the worst weighted loss, and a twentieth of their sum."""
    w = random_simplex_weights(2, told.seed)

    def scalar(Y, X=None):
        loss = (high - NormalizedContext(told).normalized_utilities(Y)) / (high - low) * w
        return -(loss.amax(-1) + 0.05 * loss.sum(-1))

    return qLogNoisyExpectedImprovement(
        told.model,
        NormalizedContext(told).pruned_baseline(),
        objective=GenericMCObjective(scalar),
        sampler=sobol_sampler(128, told.seed),
        prune_baseline=False,
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_is_expected_improvement_on_the_scalarisation(seed, case):
    """Between the least and the largest of the baseline."""
    told = case(seed=seed)
    ends = NormalizedContext(told).normalized_utilities(told.Y)
    expected = chebyshev(told, ends.amin(0), ends.amax(0))(X)
    torch.testing.assert_close(qLogNParEGO().build(told)(X), expected)


def test_a_baseline_without_range_is_judged_from_reference_to_ideal(case):
    """BoTorch would divide by zero."""
    told = case([[2.0, 2.0], [2.0, -9.0]])
    low, high = torch.zeros(2).double(), torch.ones(2).double()
    value = qLogNParEGO().build(told)(X)
    assert value.isfinite().all()
    torch.testing.assert_close(value, chebyshev(told, low, high)(X))


def test_other_seeds_look_elsewhere(case):
    """One candidate gains at one end of the front only, the other at the other."""
    ends = torch.tensor([[[4.5, 0.2]], [[0.2, 4.5]]], dtype=torch.float64)
    first = {
        int(qLogNParEGO(16).build(case(seed=seed, sigma=0.1))(ends).argmax()) for seed in range(12)
    }
    assert first == {0, 1}


def test_without_a_baseline_it_is_the_gain_of_the_whole_box(case):
    told = case([[-1.0, 3.0]], sigma=0.1)
    expected = qLogExpectedHypervolumeImprovement().build(told)(X)
    assert torch.equal(qLogNParEGO().build(told)(X), expected)
