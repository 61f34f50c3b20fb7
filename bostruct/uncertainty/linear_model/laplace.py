"""Laplace approximation of any network in all of its weights (row U6).

Notation, with equation numbers of [G25]
    n, t, P      rows, outputs of a row, weights
    J    [n, t, P]     Jacobian of the predictions with respect to the weights, at the optimum
    l''  [n] or [n, t, t]   second derivatives of the loss with respect to the predictions
    z2   []            ridge: second derivative of the penalty of the weights
    H    [P, P]        sum J^T l'' J + z2 1, the generalised Gauss-Newton matrix   (10)
    G    [P, P]        H⁻¹

    weights ~ N(optimum, a2 G)     (9)         s2(f) = a2 f^T G f                  (12)

It is `BayesianLinearModel` with these rows and weights: exactly Bayesian ridge regression for a
linear model, and the Hessian itself where residuals vanish. P decides the memory required:
`RandomProjection` reduces P and keeps inner products on average, `LastLayerLaplace` uses the last
layer alone.

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
    check_choice,
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

MEMORY_HINT = "Use fewer rows at once, project them, or take the last layer alone."


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
        loss: "half", e²/2: 1; "square", e²: 2; "gaussian", the negative log likelihood with a
            predicted variance: 1 / variance; "huber", e²/2 up to delta and linear beyond: 1 and 0.
        error: `[n]` target unit, residuals of the fit.
        variance: `[n]` target unit squared, for "gaussian" alone.
        huber_delta: error beyond which the loss is linear, target unit, for "huber" alone.
        loss_weight: factor of the loss, the weight of this kind of target.

    Raises:
        InputError: the loss is unknown, or an argument of it missing, not needed or not positive.
        ShapeError: variances and errors have different shapes.
    """
    check_choice("loss", loss, get_args(Loss))
    check_positive("loss_weight", loss_weight, "It multiplies the loss.")
    if (loss == "gaussian") != (variance is not None):
        condition = "be given for the loss gaussian and for no other"
        raise InputError(error_message("variance", condition, loss))
    if (loss == "huber") != (huber_delta is not None):
        condition = "be given for the loss huber and for no other"
        raise InputError(error_message("huber_delta", condition, loss))
    curvature = torch.full_like(error, loss_weight)
    if variance is not None:
        check_shape("variance", variance, error.shape, "It is that of the errors.")
        return curvature / check_all_positive("variance", variance)
    if huber_delta is not None:
        check_positive(
            "huber_delta", huber_delta, "It is an error from which on the loss is linear."
        )
        return curvature * (error.abs() <= huber_delta)
    return 2 * curvature if loss == "square" else curvature


def parameter_jacobian(model: torch.nn.Module, inputs: Tensor) -> Tensor:
    """Return the Jacobian of a model's outputs with respect to all its weights, float64.

    Weights that are frozen (`requires_grad` false) are left out; the order is that of
    `model.parameters()`. One backward pass for each output of each row.

    Args:
        model: network in evaluation mode, from `[n, ...]` to `[n]` or `[n, t]`.
        inputs: `[n, ...]`, inputs of the model.

    Returns:
        `[n, P]` or `[n, t, P]`.

    Raises:
        InputError: all weights are frozen, or memory does not suffice.
        ShapeError: the outputs have another shape.
    """
    parameters = [value for value in model.parameters() if value.requires_grad]
    width = sum(value.numel() for value in parameters)
    if not width:
        hint = "Call `requires_grad_()` on those that are uncertain."
        raise InputError(error_message("model", "have weights that are not frozen", 0, hint))
    with torch.enable_grad():
        outputs = model(inputs)
        if outputs.dim() not in (1, 2) or len(outputs) != len(inputs):
            condition = f"answer `[{len(inputs)}]` or `[{len(inputs)}, t]`"
            raise ShapeError(error_message("model", condition, list(outputs.shape)))
        check_memory("model", 8 * outputs.numel() * width, free_bytes(outputs.device), MEMORY_HINT)
        size = (outputs.numel(), width)
        jacobian = torch.empty(size, dtype=torch.float64, device=outputs.device)
        for row, output in zip(jacobian, outputs.flatten(), strict=True):
            gradients = torch.autograd.grad(
                output, parameters, retain_graph=True, materialize_grads=True
            )
            row[:] = torch.cat([gradient.flatten() for gradient in gradients])
    return jacobian.view(*outputs.shape, width)


def laplace_approximation(
    jacobian: Tensor,
    curvatures: Tensor,
    *,
    ridge: float,
    alpha2: float = 1.0,
    n_atoms: Tensor | None = None,
    fingerprint: str = "",
) -> BayesianLinearModel:
    """Return the linear model with H of (10); its variances are those of (12), latent.

    Rows of later predictions are Jacobians of the predictions themselves. Energies and forces, or
    subsets of the data: make a model of each with the same ridge, and add them.

    Args:
        jacobian: `[n, P]` or `[n, t, P]`, J.
        curvatures: `[n]`, l'' of each row, zero where the loss is linear; or `[n, t, t]`, symmetric
            and without negative eigenvalues.
        ridge: z2 > 0, the second derivative of the penalty. A factor of the loss multiplies it too.
        alpha2: a2; 1 if the loss is a negative log likelihood.
        n_atoms: `[n]` number of atoms of each structure, for a loss of energies per atom: the row
            is then divided by it.
        fingerprint: identifier of the model and the data.

    Raises:
        ShapeError: the shapes of rows, curvatures and numbers of atoms do not match.
        InputError: a curvature is negative, all are zero, a number is not finite, or H does not
            fit into memory.
    """
    multi_output = jacobian.dim() == 3
    if not multi_output:
        check_shape("jacobian", jacobian, [None, None])
    n = len(jacobian)
    expected = [n, jacobian.shape[1], jacobian.shape[1]] if multi_output else [n]
    check_shape("curvatures", check_finite_rows("curvatures", curvatures), expected)
    J = jacobian.double()
    if n_atoms is not None:
        check_all_positive("n_atoms", check_shape("n_atoms", n_atoms, [n]).double())
        J = J / n_atoms.to(J).view(n, *(1 for _ in J.shape[1:]))
    if multi_output:
        values, vectors = torch.linalg.eigh(curvatures.to(J))
        J = (vectors.mT @ J).flatten(0, 1)
        weights = values.flatten()
        # Rounding makes zeros of a singular matrix a little negative.
        largest = float(weights.abs().max())
        weights = weights.where(weights.abs() > 1e-12 * largest, 0)
    else:
        weights = curvatures.to(J)
    if bool((weights < 0).any()):
        hint = "The Gauss-Newton matrix is for losses that are convex."
        raise InputError(error_message("curvatures", "be not negative", float(weights.min()), hint))
    nonzero = weights > 0
    if not bool(nonzero.any()):
        hint = "No row is informative: is every error beyond `huber_delta`?"
        raise InputError(error_message("curvatures", "have one above zero", 0.0, hint))
    return BayesianLinearModel.fit(
        J[nonzero],
        ridge=ridge,
        alpha2=alpha2,
        weights=weights[nonzero],
        fingerprint=fingerprint,
    )


@final
@dataclass(frozen=True)
class RandomProjection:
    """Gaussian random projection of rows, f' = f R / sqrt(p).

    Inner products are kept on average, with a relative scatter of some sqrt(2 / p). The same seed
    gives the same R, so that training rows and predicted rows match.

    Attributes:
        n_components: number p of components.
        seed: random seed of R.

    Raises:
        InputError: the number of components is not positive, or the seed is negative.
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
        check_finite_rows("rows", rows)
        generator = torch.Generator().manual_seed(self.seed)
        flat = rows.reshape(-1, rows.shape[-1]).double()
        projected = flat.new_zeros(len(flat), self.n_components)
        step = rows_per_block(self.n_components)
        for start in range(0, flat.shape[1], step):
            block = flat[:, start : start + step]
            R = torch.randn(
                (block.shape[1], self.n_components), generator=generator, dtype=torch.float64
            )
            projected += block @ R.to(projected)
        scaled: Tensor = projected / self.n_components**0.5
        return scaled.view(*rows.shape[:-1], self.n_components)
