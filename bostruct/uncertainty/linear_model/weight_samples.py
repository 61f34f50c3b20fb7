"""Members drawn from the posterior of a linear readout (row U8).

    w⁽ᵐ⁾ = w + a L⁻ᵀ ξ,   ξ ~ N(0, 1)                        (9), (12) of [G25]

with the notation of `metric`. [G25]: Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.errors import check_count
from bostruct.uncertainty.linear_model.bayesian_linear_model import BayesianLinearModel
from bostruct.uncertainty.linear_model.row_kinds import RowKind


@final
@dataclass(frozen=True, eq=False)
class WeightPosteriorSamples:
    """Weights drawn from the posterior of a linear readout.

    Attributes:
        linear_model: the metric they were drawn from.
        weights: `[M, f, t]`, of which t = 1 for targets `[n]`.
        intercepts: `[M, t]`, the constant of each member.
        recentered: whether the mean of the members is the model's own prediction.
    """

    linear_model: BayesianLinearModel
    weights: Tensor
    intercepts: Tensor
    recentered: bool = True

    @classmethod
    def sample(
        cls,
        linear_model: BayesianLinearModel,
        n_members: int,
        generator: torch.Generator,
        *,
        recentered: bool = True,
    ) -> WeightPosteriorSamples:
        """Return M members; their spread is that of the latent value.

        The variance of M members scatters by sqrt(2 / (M - 1)) of itself: ±53 % for 8,
        ±25 % for 32, ±13 % for 128.

        Args:
            linear_model: of the training rows, with targets.
            n_members: M, at least 2.
            generator: on the device of the metric.
            recentered: whether the mean of the members is the model's own prediction.

        Raises:
            NotFittedError: the metric was fitted without targets.
            InputError: fewer than 2 members.
        """
        check_count("n_members", n_members, 2, "One member has no spread.")
        found = linear_model.coefficients
        w = found if linear_model.is_multi_target else found.unsqueeze(1)
        f, t = w.shape
        root = linear_model.alpha2.sqrt()
        xi = torch.randn(
            (f + 1, n_members * t), generator=generator, dtype=w.dtype, device=w.device
        )
        step = torch.linalg.solve_triangular(linear_model.hessian_cholesky.mT, xi[:f], upper=True)
        step = step.reshape(f, n_members, t).movedim(0, 1) * root
        shift = (
            xi[f].reshape(n_members, t) * root * linear_model.intercept_leverage("energy") ** 0.5
        )
        level = (
            linear_model.moments.mean[linear_model.n_features :]
            if linear_model.is_centered
            else 0.0
        )
        return cls(linear_model, step + w, shift + level, recentered)

    def __call__(
        self,
        features: Tensor,
        *,
        row_kind: RowKind = "energy",
        head: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Return what each member predicts, `[M, ...]` or `[M, ..., t]`.

        Args:
            features: `[..., f]`, the rows.
            row_kind: what they are, as in `Metric`.
            head: a function that follows the linear layer, value by value; the mean of
                the members is then moved onto the head of the model's prediction.

        Raises:
            ShapeError: rows are of another width.
            InputError: a number is not finite, or `row_kind` is unknown.
        """
        metric = self.linear_model
        centre = metric.mean(features, row_kind=row_kind)
        flat = metric.centered_rows(features.reshape(-1, features.shape[-1]), row_kind)
        found = torch.einsum("nf,mft->mnt", flat, self.weights)
        if row_kind == "energy":
            found = found + self.intercepts.unsqueeze(1)
        found = found.reshape(len(found), *centre.shape)
        if head is not None:
            found, centre = head(found), head(centre)
        return found - found.mean(0) + centre if self.recentered else found
