"""Requirements of every acquisition."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from botorch.models import SingleTaskGP
from torch import Tensor

from bostruct.acquisition import Acquisition, AcquisitionContext
from bostruct.errors import InputError
from bostruct.objectives import Constraint, Objective, OptimizationConfig
from bostruct.testing.central_differences import assert_gradient
from bostruct.testing.random_generator import seeded_generator


def energy_context() -> AcquisitionContext:
    """Return the context of a Gaussian process of one energy in two coordinates."""
    X, Y = _training_data(1)
    model = SingleTaskGP(X, Y, torch.full_like(Y, 1e-4), outcome_transform=None)
    return AcquisitionContext(model, X_baseline=X, Y=Y, best_f=float(Y.min()))


def multi_objective_context() -> AcquisitionContext:
    """Return the context of two objectives to be minimized and one constraint."""
    X, Y = _training_data(3)
    return AcquisitionContext(
        SingleTaskGP(X, Y, torch.full_like(Y, 1e-4), outcome_transform=None),
        X_baseline=X,
        Y=Y,
        optimization_config=OptimizationConfig(
            (Objective("f", "minimize"), Objective("g", "minimize")), (Constraint("h", upper=0.5),)
        ),
        reference_point=-Y[:, :2].amax(0),
        modeled_outcomes=("f", "g", "h"),
    )


def _training_data(k: int) -> tuple[Tensor, Tensor]:
    """Return X `[8, 2]` in the unit square and standardized outcomes Y `[8, k]`."""
    X = torch.rand(8, 2, generator=seeded_generator(0), dtype=torch.float64)
    phases = torch.arange(k, dtype=torch.float64)
    Y = torch.sin(4 * X[:, :1] + phases) + torch.cos(3 * X[:, 1:] - phases)
    return X, (Y - Y.mean(0)) / Y.std(0)


class AcquisitionContract:
    """Requirements of every acquisition; subclasses give a fixture `acquisition`.

    Attributes:
        differentiable: False if the acquisition function has no gradient.
        rebuilds: False if the class cannot be called with the arguments of its description.
        gradient_rtol: Relative tolerance of gradients against central differences.
    """

    differentiable: ClassVar[bool] = True
    rebuilds: ClassVar[bool] = True
    gradient_rtol: ClassVar[float] = 1e-4

    @pytest.fixture
    def context(self, acquisition: Acquisition) -> AcquisitionContext:
        """The context that the acquisition is built on."""
        multiple = acquisition.supports_multi_objective
        return multi_objective_context() if multiple else energy_context()

    @pytest.fixture(name="X")
    def candidates(self, acquisition: Acquisition, context: AcquisitionContext) -> Tensor:
        """Candidates `[5, q, d]`, of one where q-batches are not supported, else of two."""
        assert context.X_baseline is not None
        q, d = 1 + acquisition.supports_q_batch, context.X_baseline.shape[-1]
        return torch.rand(5, q, d, generator=seeded_generator(1), dtype=torch.float64)

    def test_is_an_acquisition(self, acquisition: Acquisition) -> None:
        """It has all methods and flags of the protocol."""
        assert isinstance(acquisition, Acquisition)

    def test_values_are_finite(
        self, acquisition: Acquisition, context: AcquisitionContext, X: Tensor
    ) -> None:
        """There is one float64 value per batch, whatever the other batches are."""
        function = acquisition.build(context)
        values = function(X)
        assert values.shape == (len(X),)
        assert values.dtype == torch.float64
        assert values.isfinite().all()
        torch.testing.assert_close(function(X[:1]), values[:1], rtol=1e-6, atol=1e-9)
        assert function(X[:, :1]).shape == (len(X),)

    def test_equal_seeds_give_equal_values(
        self, acquisition: Acquisition, context: AcquisitionContext, X: Tensor
    ) -> None:
        """Two functions of one context are one function."""
        first, second = (acquisition.build(context)(X) for _ in range(2))
        assert torch.equal(first, second)

    def test_gradient_agrees_with_central_differences(
        self, acquisition: Acquisition, context: AcquisitionContext, X: Tensor
    ) -> None:
        """The gradient in X is right."""
        if not self.differentiable:
            return
        function = acquisition.build(context)
        for x in X.split(1):
            assert_gradient(lambda x: function(x).sum(), x, rtol=self.gradient_rtol)

    def test_pending_candidates(
        self, acquisition: Acquisition, context: AcquisitionContext, X: Tensor
    ) -> None:
        """Pending candidates join each q-batch, and are refused where there are no q-batches."""
        pending = replace(context, X_pending=X[0, :1] + 0.01)
        if not acquisition.supports_q_batch:
            with pytest.raises(InputError, match="`X_pending` must be None"):
                acquisition.build(pending)
            return
        values = acquisition.build(pending)(X[:, :1])
        assert values.shape == (len(X),)
        assert values.isfinite().all()

    def test_refuses_the_other_kind_of_context(self, acquisition: Acquisition) -> None:
        """Objectives are refused by an acquisition of one energy, and required by the others."""
        multiple = acquisition.supports_multi_objective
        other = energy_context() if multiple else multi_objective_context()
        with pytest.raises(InputError, match="`optimization_config` must be"):
            acquisition.build(replace(other, best_f=0.0))

    def test_description_is_json(self, acquisition: Acquisition) -> None:
        """The description survives being written down, and rebuilds the acquisition."""
        description: dict[str, Any] = acquisition.description()
        assert json.loads(json.dumps(description, allow_nan=False)) == description
        assert description["type"] == type(acquisition).__name__
        if self.rebuilds:
            arguments = {name: value for name, value in description.items() if name != "type"}
            assert type(acquisition)(**arguments).description() == description
