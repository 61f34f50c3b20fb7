import numpy as np
import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty import Prediction
from bostruct.uncertainty.calibration.residuals import (
    Residuals,
    as_finite_tensor,
    as_positive_tensor,
)


def test_lists_arrays_and_tensors_are_one():
    from_lists = Residuals.from_arrays([1.5, 3, 2], [1, 2, 3], [0.01, 0.25, 1])
    truth = np.array([1.5, 3, 2], dtype=np.float32)
    from_arrays = Residuals.from_arrays(truth, np.array([1, 2, 3]), np.array([0.01, 0.25, 1.0]))
    assert from_lists.error.dtype == torch.float64
    assert torch.equal(from_lists.error, from_arrays.error)
    assert torch.equal(from_lists.error, torch.tensor([0.5, 1.0, -1.0]).double())
    assert torch.equal(from_lists.z, torch.tensor([5.0, 2.0, -1.0]).double())
    assert from_lists.hash == from_arrays.hash
    assert from_lists.n_points == 3


def test_a_prediction_is_judged_with_its_noise():
    half = torch.full((2,), 0.5, dtype=torch.float64)
    prediction = Prediction(torch.zeros(2).double(), half, half)
    observed = Residuals.from_prediction([1.0, 2.0], prediction)
    latent = Residuals.from_prediction([1.0, 2.0], prediction, variance_kind="latent")
    assert torch.equal(observed.variance, 2 * latent.variance)


def test_forces_are_judged_with_their_noise_where_they_are_known():
    one = torch.ones(2, 3, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    prediction = Prediction(zero, zero, zero, one, force_variance=one, force_noise_variance=3 * one)
    truth = 5 * one
    truth[0, 1] = torch.nan
    observed = Residuals.from_force_prediction(truth, prediction)
    latent = Residuals.from_force_prediction(truth, prediction, variance_kind="latent")
    assert observed.z.tolist() == [2.0] * 5
    assert latent.z.tolist() == [4.0] * 5
    with pytest.raises(InputError, match="`prediction` must have variances of forces"):
        Residuals.from_force_prediction(truth, Prediction(zero, zero, zero, one))
    with pytest.raises(ShapeError, match="`truth` must have shape"):
        Residuals.from_force_prediction(truth[:1], prediction)


def test_a_vanishing_variance_is_floored_and_counted():
    s2 = torch.ones(9, dtype=torch.float64)
    s2[4] = 1e-16
    held = Residuals.from_arrays(torch.ones(9), torch.zeros(9), s2)
    assert held.n_floored == 1
    assert float(held.z.square().max()) == pytest.approx(1e12)
    raw = Residuals.from_arrays(torch.ones(9), torch.zeros(9), s2, floor=0)
    assert raw.n_floored == 0
    assert float(raw.z.square().max()) == pytest.approx(1e16)


def test_batches_and_resamples():
    held = Residuals.from_arrays(torch.ones(5), torch.zeros(5), torch.ones(5))
    index = torch.zeros(3, 4, dtype=torch.long)
    assert held.subset(index).error.shape == (3, 4)
    scaled = held.subset(index).scaled([1.0, 2.0, 3.0])
    assert scaled.variance[:, 0].tolist() == [1.0, 2.0, 3.0]


def test_what_differs_has_another_hash():
    one = Residuals.from_arrays([1.0, 2.0], [0.0, 0.0], [1.0, 1.0])
    other = Residuals.from_arrays([1.0, 2.0], [0.0, 0.0], [1.0, 1.1])
    assert one.hash != other.hash


def test_refusals():
    ones = torch.ones(3)
    with pytest.raises(ShapeError, match=r"`mean` must have shape .* that of the truth"):
        Residuals.from_arrays(ones, torch.ones(2), ones)
    with pytest.raises(ShapeError, match=r"`variance` must have shape"):
        Residuals.from_arrays(ones, ones, torch.ones(3, 1))
    with pytest.raises(ShapeError, match="at least one point"):
        Residuals(torch.ones(0), torch.ones(0))
    with pytest.raises(InputError, match="`truth` must be finite, got 1 other"):
        Residuals.from_arrays([1.0, float("nan"), 1.0], ones, ones)
    with pytest.raises(InputError, match=r"`variance` must be positive, got 0\.0"):
        Residuals.from_arrays(ones, ones, [1.0, 0.0, 1.0])
    with pytest.raises(InputError, match=r"`variance` must be positive, got -1\.0"):
        Residuals(ones, -ones)
    with pytest.raises(InputError, match="`x` must be finite"):
        as_finite_tensor("x", [float("inf")])
    with pytest.raises(InputError, match="`x` must be positive"):
        as_positive_tensor("x", [0.0])
    with pytest.raises(InputError, match="`alpha2` must be positive"):
        Residuals(ones, ones).scaled(0.0)
