"""Requirements of every surrogate."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, ClassVar, cast

import pytest
import torch
from botorch.models.model import Model
from safetensors.torch import load, save
from torch import Tensor

from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.surrogates.base import FittedEnergyModel, Surrogate
from bostruct.surrogates.training_data import TrainingData
from bostruct.testing.central_differences import assert_gradient
from bostruct.testing.random_generator import seeded_generator
from bostruct.uncertainty import Prediction

Data = Structures | TrainingData


class SurrogateContract:
    """Requirements of every surrogate; subclasses give fixtures `surrogate`, `space` and `data`.

    `data` are `TrainingData` if the surrogate supports multiple outcomes; else `Structures` with
    energies and, where known, forces. A model is fitted once per class and description.

    Attributes:
        differentiable: False if the posterior has no gradient in X, as over discrete spaces.
        symmetric: False if energies change where atoms are permuted or structures are moved.
        deterministic: False if two fits to the same data with the same global seed may differ.
        has_posterior: False if the model predicts structures only.
        restores: False if the model has no state to be restored from.
        tolerance: Difference between outcomes that should be equal, relative and in their units.
    """

    differentiable: ClassVar[bool] = True
    symmetric: ClassVar[bool] = True
    deterministic: ClassVar[bool] = True
    has_posterior: ClassVar[bool] = True
    restores: ClassVar[bool] = True
    tolerance: ClassVar[float] = 1e-6

    _models: ClassVar[dict[tuple[type, str], FittedEnergyModel]] = {}

    @pytest.fixture
    def model(self, surrogate: Surrogate, space: Space, data: Data) -> FittedEnergyModel:
        """The fitted model; `fit` runs once for all tests."""
        key = type(self), json.dumps(surrogate.description(), sort_keys=True)
        if key not in self._models:
            self._models[key] = self.fit(surrogate, space, data)
        return self._models[key]

    @pytest.fixture(name="X")
    def coordinates(self, space: Space) -> Tensor:
        """Coordinates `[3, 2, d]` at which models are compared."""
        X: Tensor = space.sample(6, seeded_generator(1))
        return X.reshape(3, 2, -1)

    def fit(self, surrogate: Surrogate, space: Space, data: Data) -> FittedEnergyModel:
        """Return the model fitted from one state of the global generator."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return cast("FittedEnergyModel", surrogate.fit(data, space))

    def test_posterior(
        self, surrogate: Surrogate, data: Data, model: FittedEnergyModel, X: Tensor
    ) -> None:
        """Means and variances are float64 `[..., q, k]`, positive and larger with noise."""
        if not self.has_posterior:
            return
        k = len(data.outcome_names) if isinstance(data, TrainingData) else 1
        assert surrogate.supports_multiple_outcomes == isinstance(data, TrainingData)
        assert isinstance(model, Model)
        assert model.num_outputs == k
        for x in (X, X[0], X.unsqueeze(0)):
            posterior = model.posterior(x)
            noisy = model.posterior(x, observation_noise=True)
            assert posterior.mean.shape == posterior.variance.shape == (*x.shape[:-1], k)
            assert posterior.mean.dtype == posterior.variance.dtype == torch.float64
            assert posterior.mean.isfinite().all()
            assert (posterior.variance > 0).all()
            assert (noisy.variance >= posterior.variance).all()
            torch.testing.assert_close(noisy.mean, posterior.mean)

    def test_joint_posterior(self, model: FittedEnergyModel, X: Tensor) -> None:
        """The covariance of a q-batch is symmetric, positive, and has the variances alone."""
        if not self.has_posterior:
            return
        joint = model.posterior(X)
        C = joint.distribution.covariance_matrix
        scale = float(C.abs().max())
        torch.testing.assert_close(C, C.mT, rtol=0, atol=1e-9 * scale)
        assert (torch.linalg.eigvalsh(C) >= -1e-6 * scale).all()
        alone = model.posterior(X.unsqueeze(-2))
        self.assert_close(alone.mean.squeeze(-2), joint.mean)
        self.assert_close(alone.variance.squeeze(-2), joint.variance)

    def test_predicts_structures(self, model: FittedEnergyModel, data: Data) -> None:
        """Energies, forces and variances have the shapes of the batch and are float64."""
        if isinstance(data, TrainingData):
            return
        prediction: Prediction = model.predict(data)
        for name in ("mean", "variance", "noise_variance", "predictive_variance"):
            value: Tensor = getattr(prediction, name)
            assert value.shape == (len(data),), name
            assert value.dtype == torch.float64, name
            assert value.isfinite().all(), name
        assert (prediction.variance > 0).all()
        assert (prediction.predictive_variance >= prediction.variance).all()
        if prediction.forces is not None:
            assert prediction.forces.shape == data.positions.shape
            assert prediction.forces.isfinite().all()

    def test_posterior_is_the_prediction(
        self, space: Space, data: Data, model: FittedEnergyModel, X: Tensor
    ) -> None:
        """The posterior at X has the energies and variances of the decoded structures."""
        if isinstance(data, TrainingData) or not self.has_posterior:
            return
        posterior, prediction = model.posterior(X), model.predict(space.decode(X))
        self.assert_close(posterior.mean.flatten(), prediction.mean)
        self.assert_close(posterior.variance.flatten(), prediction.variance)

    def test_restores_exactly(
        self, surrogate: Surrogate, space: Space, data: Data, model: FittedEnergyModel, X: Tensor
    ) -> None:
        """A model restored from its saved state predicts bit by bit the same.

        An instance of the class with default arguments restores it too, as a log is read without
        the campaign file.
        """
        if not self.restores:
            return
        state = load(save({key: value.contiguous() for key, value in model.state().items()}))
        assert all(isinstance(value, float) for value in model.hyperparameters().values())
        for other in (surrogate, type(surrogate)()):
            assert other.description()["type"] == surrogate.description()["type"]
            copy: Any = other.restore(state, space)
            if self.has_posterior:
                for noise in (False, True):
                    first, second = (m.posterior(X, observation_noise=noise) for m in (model, copy))
                    assert torch.equal(first.mean, second.mean)
                    assert torch.equal(first.variance, second.variance)
            if not isinstance(data, TrainingData):
                assert torch.equal(model.predict(data).mean, copy.predict(data).mean)
                assert torch.equal(model.predict(data).variance, copy.predict(data).variance)
            assert copy.state().keys() == state.keys()

    def test_equal_seeds_give_equal_fits(
        self, surrogate: Surrogate, space: Space, data: Data, model: FittedEnergyModel, X: Tensor
    ) -> None:
        """A second fit to the same data predicts the same."""
        if not self.deterministic or not self.has_posterior:
            return
        again = self.fit(surrogate, space, data)
        assert torch.equal(model.posterior(X).mean, again.posterior(X).mean)
        assert torch.equal(model.posterior(X).variance, again.posterior(X).variance)

    def test_gradient_of_the_posterior_mean(self, model: FittedEnergyModel, X: Tensor) -> None:
        """The gradients of mean and deviation agree with central differences."""
        if not self.differentiable or not self.has_posterior:
            return
        for x in X.flatten(0, 1)[:3]:
            assert_gradient(lambda x: model.posterior(x[None]).mean.sum(), x, rtol=1e-4, atol=1e-5)
            assert_gradient(
                lambda x: model.posterior(x[None]).variance.sqrt().sum(), x, rtol=1e-4, atol=1e-5
            )

    def test_forces_are_minus_the_gradient(self, data: Data, model: FittedEnergyModel) -> None:
        """Predicted forces agree with central differences of the predicted energy."""
        if isinstance(data, TrainingData):
            return
        structure: Structures = data[0].without_results()
        forces = model.predict(structure).forces
        if forces is not None:
            assert_gradient(
                lambda positions: model.predict(replace(structure, positions=positions)).mean.sum(),
                structure.positions,
                -forces,
                rtol=1e-4,
                atol=1e-5,
            )

    def test_symmetries(self, data: Data, model: FittedEnergyModel) -> None:
        """Permuted, rotated and shifted structures have the same energy and rotated forces."""
        if isinstance(data, TrainingData) or not self.symmetric:
            return
        structure: Structures = data[0].without_results()
        n = len(structure.positions)
        order = torch.randperm(n, generator=seeded_generator(0))
        matrix = torch.randn(3, 3, generator=seeded_generator(1), dtype=torch.float64)
        R: Tensor = torch.linalg.qr(matrix).Q
        R = R * torch.linalg.det(R).sign()
        shift = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64)
        moved = replace(
            structure,
            positions=(structure.positions @ R.T + shift)[order],
            cell=structure.cell @ R.T,
            **{name: getattr(structure, name)[order] for name in ("numbers", "fixed", "tags")},
        )
        before, after = model.predict(structure), model.predict(moved)
        self.assert_close(after.mean, before.mean)
        self.assert_close(after.variance, before.variance)
        if before.forces is not None and after.forces is not None:
            self.assert_close(after.forces, (before.forces @ R.T)[order])

    def test_description_is_json(self, surrogate: Surrogate) -> None:
        """The description survives being written down, and names the class."""
        description = surrogate.description()
        assert json.loads(json.dumps(description, allow_nan=False)) == description
        assert description["type"] == type(surrogate).__name__

    def assert_close(self, first: Tensor, second: Tensor) -> None:
        """Raise an AssertionError unless two tensors agree within `tolerance`."""
        torch.testing.assert_close(first, second, rtol=self.tolerance, atol=self.tolerance)
