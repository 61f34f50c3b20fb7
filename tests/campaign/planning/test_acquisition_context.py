from dataclasses import replace

import pytest
import torch

from bostruct.campaign.analysis.outcome_table import outcome_matrix
from bostruct.campaign.analysis.recalibration import Recalibration
from bostruct.campaign.planning.acquisition_context import (
    PRIOR_MEAN_FACTOR,
    acquisition_context,
    recalibrations,
    search_ranking,
)
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.training_data import training_data
from bostruct.campaign.planning.trial_columns import TrialColumns
from bostruct.objectives import dominance_rank
from bostruct.runtime.rng import derive_seed
from bostruct.surrogates import fit_surrogate
from tests.campaign import alloys
from tests.campaign.standin import campaign


def context_of(components, known, **arguments):
    step = StepContext(components, 4, torch.device("cpu"), 9, 1, **arguments)
    data = training_data(step, known)
    model = fit_surrogate(components.surrogate, data, components.space)
    context = acquisition_context(step, model, data, known)
    return context, data, model, search_ranking(step, context, known)


def test_of_one_energy(log):
    context, data, model, ranking = context_of(campaign().components, log.trials())
    energies = [trial.energy for trial in log.trials()]
    assert context.model.model is model
    assert context.X_baseline is data.X
    assert context.Y.tolist() == energies
    assert context.best_f == min(energies)
    assert context.seed == derive_seed(4, 9, "acquisition", bits=31)
    assert context.X_pending is context.optimization_config is context.reference_point is None
    assert ranking.tolist() == energies


def test_of_several_objectives(screened):
    components, known = alloys.campaign().components, screened.trial_records("done")
    context, data, model, ranking = context_of(components, known)
    config, objectives = components.optimization_config, components.learned_objectives
    Y = outcome_matrix(known, config)
    torch.testing.assert_close(context.Y, Y, rtol=0, atol=0, equal_nan=True)
    assert context.X_baseline is data.X
    assert context.model is model
    assert context.modeled_outcomes == ("enthalpy", "modulus")
    assert context.seed == derive_seed(4, 9, "acquisition", bits=31)
    assert torch.equal(ranking, dominance_rank(Y, config))
    # The price is exact; a tenth of the range behind the dearest member.
    X = objectives.representative_members()
    price = objectives.deterministic_outcomes(X)[:, 0]
    everything = torch.cat([price, Y[:, 2]])
    margin = 0.1 * (everything.max() - everything.min())
    torch.testing.assert_close(-context.reference_point[2], everything.max() + margin)
    # What the model predicts of all members counts, beside the evaluated outcomes.
    mean = objectives.joint_model(model).posterior(X.unsqueeze(-2)).mean.squeeze(-2)
    expected = objectives.reference_point(Y, mean)
    torch.testing.assert_close(context.reference_point, expected)


def test_the_acquisition_sees_the_correction_of_the_step(log):
    components = campaign().components
    wide = {"energy": Recalibration(0.5, 2.0)}
    context, data, model, _ = context_of(components, log.trials(), recalibrations=wide)
    X = data.X[:3].unsqueeze(-2) + 0.3
    own, found = model.posterior(X), context.model.model.posterior(X)
    torch.testing.assert_close(found.variance, 4 * own.variance)
    torch.testing.assert_close(found.mean, own.mean + 0.5 * own.variance.sqrt())
    narrow = {"energy": Recalibration(0.0, 0.5)}  # a search widens only
    context, _, model, _ = context_of(components, log.trials(), recalibrations=narrow)
    assert context.model.model is model


def test_the_acquisition_shrinks_to_the_spread_of_energies_above_the_lowest(log):
    """Shifted energies shift it, and larger ones scale it."""
    components = campaign().components

    def spread(scale=1.0, shift=0.0):
        known = [
            replace(trial, energy=scale * trial.energy + shift, forces=scale * trial.forces)
            for trial in log.trials()
        ]
        model = context_of(components, known)[0].model
        return model.prior_mean - min(trial.energy for trial in known), model.prior_std

    height, std = spread()
    assert height == pytest.approx(PRIOR_MEAN_FACTOR * std)
    assert spread(shift=7.0) == pytest.approx((height, std))
    assert spread(scale=3.0) == pytest.approx((3 * height, 3 * std))


def test_each_outcome_is_corrected_by_its_own_errors(screened):
    components, known = alloys.campaign().components, screened.trial_records("done")
    found = recalibrations(components, screened.trial_records(), TrialColumns())
    assert list(found) == ["enthalpy", "modulus"]
    for name, correction in found.items():
        assert correction == screened.calibration(outcome=name).recalibration
    context, data, model, _ = context_of(components, known, recalibrations=found)
    own, wide = (m.posterior(data.X[:1]) for m in (model, context.model))
    factors = torch.tensor([each.widened_scale for each in found.values()]).double()
    torch.testing.assert_close(wide.variance.flatten(), own.variance.flatten() * factors**2)


def test_the_correction_is_that_of_all_errors_so_far(log):
    components = campaign().components
    found = recalibrations(components, log.trial_records(), TrialColumns())
    assert found == {"energy": log.calibration().recalibration}
    assert found["energy"] != Recalibration()
