"""The Laplace approximation of any network, in all of its weights (row U6).

Notation, with equation numbers of [G25]
    n, t, P      rows, outputs of a row, weights
    J    [n, t, P]     slopes of the predictions with the weights, at the optimum
    l''  [n] or [n, t, t]   second derivatives of the loss with the predictions
    z2   []            ridge: second derivative of the penalty of the weights
    H    [P, P]        sum J^T l'' J + z2 1, the generalised Gauss-Newton matrix   (10)
    G    [P, P]        H⁻¹

    weights ~ N(optimum, a2 G)     (9)         s2(f) = a2 f^T G f                  (12)

It is `Metric` with these rows and weights: exactly Bayesian ridge regression for a linear model,
and the Hessian itself where residuals vanish. P is what fills the memory; `Sketch` makes P small
and keeps inner products on average, and `Readout` takes the last layer alone.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from torch import Tensor

from bostruct.errors import (
    InputError,
    ShapeError,
    check_count,
    check_positive,
    check_shape,
    error_message,
)
from bostruct.runtime.memory import check_memory, free_bytes, rows_per_block
from bostruct.uncertainty.linear_model.bayesian_linear_model import BayesianLinearModel
from bostruct.uncertainty.linear_model.sufficient_statistics import (
    check_all_positive,
    check_finite_rows,
)

Loss = Literal["half", "square", "gaussian", "huber"]

MEMORY_HINT = "Ask for fewer rows at once, sketch them, or take the last layer alone."


def loss_curvature(
    loss: Loss,
    error: Tensor,
    *,
    variance: Tensor | None = None,
    huber_delta: float | None = None,
    loss_weight: float = 1.0,
) -> Tensor:
    """Return l'' of a loss at errors `[n]`, `[n]`.

    Args:
        loss: "half", e²/2: 1; "square", e²: 2; "gaussian", the negative log likelihood
            with a predicted variance: 1 / variance; "huber", e²/2 up to the knee and
            a straight line beyond: 1 and 0.
        error: `[n]` target unit.
        variance: `[n]` target unit squared, for "gaussian".
        huber_delta: target unit, for "huber".
        loss_weight: what the loss is multiplied by, a weight of this kind of target.

    Raises:
        InputError: the loss is unknown, what it needs is missing or not positive, or
            something is given that it does not need.
        ShapeError: variances do not belong to the errors.
    """
    if loss not in get_args(Loss):
        condition = "be one of " + ", ".join(get_args(Loss))
        raise InputError(error_message("loss", condition, repr(loss)))
    check_positive("loss_weight", loss_weight, "It multiplies the loss.")
    if (loss == "gaussian") != (variance is not None):
        condition = "be given for the loss gaussian and for no other"
        raise InputError(error_message("variance", condition, loss))
    if (loss == "huber") != (huber_delta is not None):
        condition = "be given for the loss huber and for no other"
        raise InputError(error_message("huber_delta", condition, loss))
    one = torch.full_like(error, loss_weight)
    if variance is not None:
        if variance.shape != error.shape:
            condition = f"have the shape {list(error.shape)} of the errors"
            raise ShapeError(error_message("variance", condition, list(variance.shape)))
        return one / check_all_positive("variance", variance)
    if huber_delta is not None:
        check_positive(
            "huber_delta", huber_delta, "It is an error from which on the loss is linear."
        )
        return one * (error.abs() <= huber_delta)
    return 2 * one if loss == "square" else one


def parameter_jacobian(
    model: torch.nn.Module, inputs: Tensor, *, memory: int | None = None
) -> Tensor:
    """Return the slopes of what a model says with all its weights, float64.

    Weights that are frozen (`requires_grad` false) are left out; the order is that of
    `model.parameters()`. One backward pass for each output of each row.

    Args:
        model: in evaluation mode; from `[n, ...]` to `[n]` or `[n, t]`.
        inputs: `[n, ...]`.
        memory: bytes that may be used; what is free, if not given.

    Returns:
        `[n, P]` or `[n, t, P]`.

    Raises:
        InputError: all weights are frozen, or memory does not suffice.
        ShapeError: the model answers in another shape.
    """
    parameters = [value for value in model.parameters() if value.requires_grad]
    width = sum(value.numel() for value in parameters)
    if not width:
        way_out = "Call `requires_grad_()` on those that are uncertain."
        raise InputError(error_message("model", "have weights that are not frozen", 0, way_out))
    with torch.enable_grad():
        said = model(inputs)
        if said.dim() not in (1, 2) or len(said) != len(inputs):
            condition = f"answer `[{len(inputs)}]` or `[{len(inputs)}, t]`"
            raise ShapeError(error_message("model", condition, list(said.shape)))
        have = free_bytes(said.device) if memory is None else memory
        check_memory("model", 8 * said.numel() * width, have, MEMORY_HINT)
        found = torch.empty(said.numel(), width, dtype=torch.float64)
        found = found.to(said.device)
        for row, value in zip(found, said.flatten(), strict=True):
            slopes = torch.autograd.grad(
                value, parameters, retain_graph=True, materialize_grads=True
            )
            row[:] = torch.cat([slope.flatten() for slope in slopes])
    return found.view(*said.shape, width)


def laplace_approximation(
    jacobian: Tensor,
    curvatures: Tensor,
    *,
    ridge: float,
    alpha2: float = 1.0,
    n_atoms: Tensor | None = None,
    fingerprint: str = "",
    memory: int | None = None,
) -> BayesianLinearModel:
    """Return the metric H of (10); its variances are those of (12), latent.

    Rows asked about later are slopes of the predictions themselves. Energies and forces, or parts
    of the data: make a metric of each with the same ridge, and add them up.

    Args:
        jacobian: `[n, P]` or `[n, t, P]`, J.
        curvatures: `[n]`, l'' of each, zero where the loss is straight; or
            `[n, t, t]`, symmetric and without negative eigenvalues.
        ridge: z2 > 0, the second derivative of the penalty. What multiplies the loss
            multiplies it as well.
        alpha2: a2; 1 if the loss is a negative log likelihood.
        n_atoms: `[n]` of each structure, where the loss is of energies per atom: the
            prediction it sees is the sum divided by them, and so is its row.
        fingerprint: fingerprint of the model and data.
        memory: bytes that may be used; what is free, if not given.

    Raises:
        ShapeError: rows, curvatures and atoms do not belong together.
        InputError: a curvature is negative, all are zero, a number is not finite, or
            H does not fit into memory.
    """
    several = jacobian.dim() == 3
    if not several:
        check_shape("jacobian", jacobian, [None, None])
    n = len(jacobian)
    expected = [n, jacobian.shape[1], jacobian.shape[1]] if several else [n]
    check_shape("curvatures", check_finite_rows("curvatures", curvatures), expected)
    J = jacobian.double()
    if n_atoms is not None:
        check_all_positive("n_atoms", check_shape("n_atoms", n_atoms, [n]).double())
        J = J / n_atoms.to(J).view(n, *(1 for _ in J.shape[1:]))
    if several:
        values, vectors = torch.linalg.eigh(curvatures.to(J))
        J = (vectors.mT @ J).flatten(0, 1)
        weights = values.flatten()
        # Rounding makes zeros of a singular matrix a little negative.
        size = float(weights.abs().max())
        weights = weights.where(weights.abs() > 1e-12 * size, 0)
    else:
        weights = curvatures.to(J)
    if bool((weights < 0).any()):
        way_out = "The Gauss-Newton matrix is for losses that are convex."
        least = float(weights.min())
        raise InputError(error_message("curvatures", "be not negative", least, way_out))
    bent = weights > 0
    if not bool(bent.any()):
        way_out = "No row says anything: is every error beyond the knee?"
        raise InputError(error_message("curvatures", "have one above zero", 0.0, way_out))
    return BayesianLinearModel.fit(
        J[bent],
        ridge=ridge,
        alpha2=alpha2,
        weights=weights[bent],
        fingerprint=fingerprint,
        memory=memory,
    )


@final
@dataclass(frozen=True)
class RandomProjection:
    """A random projection of rows, f' = f R / sqrt(p), R Gaussian.

    Inner products are kept on average, with a relative scatter of some sqrt(2 / p).
    The same seed gives the same R, so that training rows and rows asked about match.

    Attributes:
        n_components: p.
        seed: of R.

    Raises:
        InputError: the size is not a count, or the seed is negative.
    """

    n_components: int
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("n_components", self.n_components)
        check_count("seed", self.seed, minimum=0)

    def __call__(self, rows: Tensor) -> Tensor:
        """Return rows `[..., P]` as `[..., p]`, float64; R is made block by block.

        Raises:
            ShapeError: there are no rows.
            InputError: a number is not finite.
        """
        check_finite_rows("jacobian", rows)
        generator = torch.Generator().manual_seed(self.seed)
        flat = rows.reshape(-1, rows.shape[-1]).double()
        found = flat.new_zeros(len(flat), self.n_components)
        step = rows_per_block(self.n_components)
        for start in range(0, flat.shape[1], step):
            part = flat[:, start : start + step]
            R = torch.randn(
                (part.shape[1], self.n_components), generator=generator, dtype=torch.float64
            )
            found += part @ R.to(found)
        scaled: Tensor = found / self.n_components**0.5
        return scaled.view(*rows.shape[:-1], self.n_components)
