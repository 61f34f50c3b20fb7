import torch

from bostruct.acquisition import ExpectedImprovement, LowerConfidenceBound
from bostruct.campaign.planning.step_context import StepContext
from bostruct.candidates import BasinHopping
from bostruct.runtime.rng import generator_for
from tests.campaign.standin import Draw, campaign


def step_of(**arguments):
    components = campaign(**arguments).components
    return StepContext(components, 5, torch.device("cpu"), 7, 2, effort=3, kappa_factor=0.5)


def test_an_adaptive_kappa_is_scaled():
    bound = LowerConfidenceBound(kappa=2.0)
    assert step_of(acquisition=bound).acquisition == LowerConfidenceBound(kappa=1.0)
    fixed = LowerConfidenceBound(kappa=2.0, adaptive=False)
    assert step_of(acquisition=fixed).acquisition == fixed
    other = ExpectedImprovement()
    assert step_of(acquisition=other).acquisition is other


def test_a_search_gets_the_effort_that_it_supports():
    assert step_of(search=BasinHopping(n_rounds=4)).search.n_rounds == 4 * 2**3
    plain = Draw()
    assert step_of(search=plain).search is plain


def test_randomness_is_that_of_the_step_and_the_purpose():
    draws = [
        torch.rand(1, generator=generator)
        for generator in (step_of().generator_for("search"), generator_for(5, 7, "search"))
    ]
    assert draws[0] == draws[1]
    assert torch.rand(1, generator=step_of().generator_for("initial")) != draws[0]
