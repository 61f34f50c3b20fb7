"""Gates of a mixture of experts: a mixture of Gaussians over the means of structures.

Notation, with equation numbers of Grasselli et al., Digital Discovery 2025, 4, 2654
    b, n, d, c, K   structures, atoms, inputs of an atom, axes, experts
    x    [n, d]     1   inputs of the atoms, standardized descriptors
    u    [b, c]     1   means of x over the atoms of each structure, in c principal axes
    d    [b, K]     1   distances to the experts, √((u - μ)ᵀ Σ⁻¹ (u - μ))
    p    [b, K]     1   gates: softmax of sharpness / d, (22), or π N(u; μ, Σ) over the
                        sum of all, (23)

Far from all data (22) weights all experts, so that their disagreement shows; (23) the one whose
Gaussian falls off most slowly.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.errors import check_count
from bostruct.surrogates.networks.network import PrefixedTensors

MIN_STRUCTURES_PER_EXPERT = 8  # structures for each expert, or there are fewer experts
MIN_DISTANCE = 1e-6  # distances below count as this
MIN_COMPONENT_STD = 0.05  # of the standard deviation along an axis: no Gaussian is narrower
MIN_AXIS_STD = 1e-9  # standard deviation along an axis below which nothing varies


@final
@dataclass(frozen=True, eq=False)
class GatingNetwork(PrefixedTensors):
    """A fitted mixture of Gaussians, differentiable in the means of structures.

    Attributes:
        center: Mean over the training structures, `[d]`.
        principal_axes: Principal axes over the standard deviations along them, `[d, c]`.
        log_weights: Logarithms of the weights π, `[K]`.
        means: Means μ, `[K, c]`.
        precision_cholesky: Upper factors U of the precisions, Σ⁻¹ = U Uᵀ, `[K, c, c]`.
    """

    center: Tensor
    principal_axes: Tensor
    log_weights: Tensor
    means: Tensor
    precision_cholesky: Tensor
    prefix = "gating_"

    @classmethod
    def fit(cls, structure_means: Tensor, n_experts: int, n_axes: int, seed: int) -> GatingNetwork:
        """Return gates fitted to structures, one for every 8 of them at most.

        Args:
            structure_means: Means over the atoms of each structure, `[b, d]`.
            n_experts: Largest number of experts K.
            n_axes: Largest number of principal axes c.
            seed: Seed of the first guess.

        Raises:
            InputError: a count is less than 1.
        """
        check_count("n_experts", n_experts)
        check_count("n_axes", n_axes)
        center = structure_means.mean(0)
        _, s, vh = torch.linalg.svd(structure_means - center, full_matrices=False)
        std = s / math.sqrt(len(structure_means))
        c = max(1, min(n_axes, int((std > MIN_AXIS_STD).sum())))
        axes = (vh[:c] / std[:c].clamp(min=MIN_AXIS_STD).unsqueeze(1)).T.contiguous()
        u = ((structure_means - center) @ axes).detach().cpu()
        count = max(1, min(n_experts, len(u) // MIN_STRUCTURES_PER_EXPERT))
        if count == 1:  # along its axes the data have a standard deviation of 1
            eye = torch.eye(c).to(structure_means).unsqueeze(0)
            return cls(center, axes, center.new_zeros(1), center.new_zeros(1, c), eye)
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        with warnings.catch_warnings():
            # A mixture that is not quite the most probable one separates as well.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = GaussianMixture(count, reg_covar=MIN_COMPONENT_STD**2, random_state=seed)
            fitted.fit(u.numpy())
        arrays = fitted.weights_, fitted.means_, fitted.precisions_cholesky_
        weights, means, roots = (torch.as_tensor(array).to(structure_means) for array in arrays)
        return cls(center, axes, weights.log(), means, roots)

    def __len__(self) -> int:
        return len(self.log_weights)

    def log_density(self, structure_means: Tensor) -> Tensor:
        """Return log π N(u; μ, Σ) `[b, K]` of structures `[b, d]`, for `density_gates`."""
        volume = self.precision_cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        normal = len(self.principal_axes.T) * math.log(2 * math.pi)
        return self.log_weights + volume - (self._squared_mahalanobis(structure_means) + normal) / 2

    def distances(self, structure_means: Tensor) -> Tensor:
        """Return the distances d `[b, K]` of structures `[b, d]`, for `distance_gates`."""
        return self._squared_mahalanobis(structure_means).clamp(min=MIN_DISTANCE**2).sqrt()

    def log_gates(self, structure_means: Tensor, sharpness: float | None) -> Tensor:
        """Return log p `[b, K]`: (22) of that sharpness, or (23) if it is None."""
        if sharpness is None:
            return torch.log_softmax(self.log_density(structure_means), -1)
        return torch.log_softmax(sharpness / self.distances(structure_means), -1)

    def _squared_mahalanobis(self, structure_means: Tensor) -> Tensor:
        u = (structure_means - self.center) @ self.principal_axes
        gap = u.unsqueeze(1) - self.means  # [b, K, c]
        return torch.einsum("bkc,kcd->bkd", gap, self.precision_cholesky).square().sum(-1)


def structure_means(x: Tensor, index: Tensor, n_structures: int) -> Tensor:
    """Return means `[b, d]` of rows of atoms `[n, d]` over structures `index` `[n]`."""
    total = x.new_zeros(n_structures, x.shape[1]).index_add(0, index, x)
    return total / torch.bincount(index, minlength=n_structures).to(x).unsqueeze(1)
