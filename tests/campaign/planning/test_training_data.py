from dataclasses import replace

import pytest
import torch

from bostruct.campaign.analysis.outcome_table import outcome_matrix
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.training_data import has_enough_values, training_data
from bostruct.campaign.records import training_structures
from bostruct.errors import InputError
from bostruct.surrogates import TrainingData
from tests.campaign import alloys
from tests.campaign.standin import campaign


def step_of(components):
    return StepContext(components, 0, torch.device("cpu"), 9, 1)


def test_of_one_energy_they_have_structures(log):
    known = log.trials()
    components = campaign().components
    data = training_data(step_of(components), known)
    assert torch.equal(data.X, torch.stack([trial.X for trial in known]))
    assert data.Y.tolist() == [[trial.energy] for trial in known]
    assert data.outcome_names == ("energy",)
    structures = training_structures(known, components.space)
    for name in ("positions", "energy", "forces"):
        assert torch.equal(getattr(data.structures, name), getattr(structures, name))


def test_of_objectives_they_have_the_modeled_outcomes(screened):
    """The price is known exactly, and the sixth modulus is absurd."""
    known = screened.trial_records("done")
    components = alloys.campaign().components
    data = training_data(step_of(components), known)
    Y = outcome_matrix(known, components.optimization_config)
    assert data.outcome_names == ("enthalpy", "modulus")
    assert data.structures is None
    torch.testing.assert_close(data.Y, Y[:, :2], rtol=0, atol=0, equal_nan=True)
    assert data.Y.isnan().sum() == 1


def test_outcomes_that_nobody_returns_are_refused(screened):
    known = [replace(trial, properties={}) for trial in screened.trial_records("done")]
    with pytest.raises(InputError, match="The evaluator returned no property"):
        training_data(step_of(alloys.campaign().components), known)


@pytest.mark.parametrize(
    ("rows", "enough"),
    [
        ([[1.0]], False),
        ([[1.0], [2.0]], True),
        ([[1.0, 2.0], [3.0, float("nan")]], False),
        ([[1.0, 2.0], [float("nan"), 3.0], [4.0, float("nan")]], True),
    ],
)
def test_two_values_of_each_outcome_are_enough(rows, enough):
    Y = torch.tensor(rows, dtype=torch.float64)
    assert has_enough_values(TrainingData(Y, Y, ("a", "b")[: Y.shape[1]])) is enough
