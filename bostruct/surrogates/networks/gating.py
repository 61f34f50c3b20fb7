"""Which expert is at home: a mixture of Gaussians of what structures look like.

Notation, with equation numbers of Grasselli et al., Digital Discovery 2025, 4, 2654
    b, n, d, c, K   structures, atoms, inputs of an atom, axes, experts
    x    [n, d]     1   inputs of the atoms, standardised descriptors
    u    [b, c]     1   means of x over the atoms of each structure, in c principal axes
    d    [b, K]     1   distances to the experts, √((u - μ)ᵀ Σ⁻¹ (u - μ))
    p    [b, K]     1   gates: softmax of sharpness / d, (22), or π N(u; μ, Σ) over the
                        sum of all, (23)

Far from everything (22) asks all experts, so that their disagreement shows; (23) asks
the one whose Gaussian falls off most slowly.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import final

import torch
from torch import Tensor

from bostruct.errors import check_count

ENOUGH = 8  # structures for each expert, or there are fewer experts
NEAR = 1e-6  # distances below are not told apart
NARROW = 0.05  # of the spread along an axis: no Gaussian is narrower
LEAST = 1e-9  # spread of an axis along which nothing varies


@final
@dataclass(frozen=True, eq=False)
class Gates:
    """A fitted mixture, differentiable in what it looks at.

    Attributes:
        center: `[d]`, mean over the training structures.
        axes: `[d, c]`, principal axes over the spread along them.
        levels: `[K]`, log π.
        means: `[K, c]`, μ.
        roots: `[K, c, c]`, upper factors of Σ⁻¹: Σ⁻¹ = root rootᵀ.
    """

    center: Tensor
    axes: Tensor
    levels: Tensor
    means: Tensor
    roots: Tensor

    @classmethod
    def fit(cls, looks: Tensor, experts: int, axes: int, seed: int) -> Gates:
        """Return gates between kinds of structures.

        Few structures have few kinds: 8 are wanted for each.

        Args:
            looks: `[b, d]`, means over the atoms of each structure.
            experts: K, at most.
            axes: c, at most.
            seed: of the first guess.

        Raises:
            InputError: a count is less than 1.
        """
        check_count("experts", experts)
        check_count("axes", axes)
        center = looks.mean(0)
        _, s, vh = torch.linalg.svd(looks - center, full_matrices=False)
        spread = s / math.sqrt(len(looks))
        c = max(1, min(axes, int((spread > LEAST).sum())))
        found = (vh[:c] / spread[:c].clamp(min=LEAST).unsqueeze(1)).T.contiguous()
        u = ((looks - center) @ found).detach().cpu()
        count = max(1, min(experts, len(u) // ENOUGH))
        if count == 1:  # along its axes the data have a spread of 1
            one = looks.new_zeros(1)
            eye = torch.eye(c).to(looks).unsqueeze(0)
            return cls(center, found, one, looks.new_zeros(1, c), eye)
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        with warnings.catch_warnings():
            # A mixture that is not quite the most probable one separates as well.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = GaussianMixture(count, reg_covar=NARROW**2, random_state=seed)
            fitted.fit(u.numpy())
        parts = fitted.weights_, fitted.means_, fitted.precisions_cholesky_
        weights, means, roots = (torch.as_tensor(part).to(looks) for part in parts)
        return cls(center, found, weights.log(), means, roots)

    @classmethod
    def restore(cls, state: Mapping[str, Tensor]) -> Gates:
        """Return the gates that `tensors` were taken from."""
        return cls(*(state[f"gates_{field.name}"] for field in fields(cls)))

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers by name."""
        return {f"gates_{name}": value for name, value in vars(self).items()}

    def __len__(self) -> int:
        return len(self.levels)

    def log_density(self, looks: Tensor) -> Tensor:
        """Log π N(u; μ, Σ) `[b, K]` of structures `[b, d]`, for `density_gates`."""
        volume = self.roots.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        normal = len(self.axes.T) * math.log(2 * math.pi)
        return self.levels + volume - (self._far(looks) + normal) / 2

    def distance(self, looks: Tensor) -> Tensor:
        """Distances d `[b, K]` of structures `[b, d]`, for `distance_gates`."""
        return self._far(looks).clamp(min=NEAR**2).sqrt()

    def log_gates(self, looks: Tensor, sharpness: float | None) -> Tensor:
        """Log p `[b, K]`: (22) of that sharpness, or (23) where it is None."""
        if sharpness is None:
            return torch.log_softmax(self.log_density(looks), -1)
        return torch.log_softmax(sharpness / self.distance(looks), -1)

    def _far(self, looks: Tensor) -> Tensor:
        u = (looks - self.center) @ self.axes
        gap = u.unsqueeze(1) - self.means  # [b, K, c]
        return torch.einsum("bkc,kcd->bkd", gap, self.roots).square().sum(-1)


def looks(x: Tensor, index: Tensor, structures: int) -> Tensor:
    """Return means `[b, d]` of rows of atoms `[n, d]` over structures `index` `[n]`."""
    total = x.new_zeros(structures, x.shape[1]).index_add(0, index, x)
    return total / torch.bincount(index, minlength=structures).to(x).unsqueeze(1)
