import torch

from bostruct.uncertainty import Prediction


def test_a_measured_energy_scatters_by_both():
    variance = torch.tensor([0.25, 0.0], dtype=torch.float64)
    noise = torch.tensor([0.5, 0.125], dtype=torch.float64)
    found = Prediction(torch.zeros(2, dtype=torch.float64), variance, noise)
    assert torch.equal(found.observed, torch.tensor([0.75, 0.125]).double())
    assert torch.equal(found.variance, variance)


def test_what_was_not_asked_for_is_missing():
    found = Prediction(torch.zeros(1), torch.zeros(1), torch.zeros(1))
    assert found.covariance is None
    assert found.force_variance is None
    assert found.forces is None
    assert found.local is None
