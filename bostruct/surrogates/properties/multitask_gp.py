"""Correlated properties, in one Gaussian process.

Notation
    k, N       properties, values of all of them
    o, o'      properties of two values
    B          [k, k]   covariance between properties, L L^T
    R, V       kernel of the distances, constant and linear kernel; see `AdditiveKernel`

    K((z, o), (z', o')) = B_oo' R(z, z') + [o = o'] V(z, z')

The intrinsic model of coregionalization (Bonilla, Chai and Williams, Advances in Neural Information
Processing Systems 20 (2008), eq. 1) with a linear function of the composition of wide prior for
each property. Not every value of a structure need be known: values of one property inform the
others. Every property has its own unit and its own noise.
"""

from __future__ import annotations

from bostruct.runtime import botorch_import as botorch_import

# isort: split

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor

from bostruct.descriptors import FeatureMap
from bostruct.spaces import DiscreteSpace
from bostruct.surrogates.properties import gp_regression
from bostruct.surrogates.properties.gp import GP, all_features, maps_to_state
from bostruct.surrogates.properties.gp_regression import (
    INITIAL_VALUES,
    LOWER_BOUNDS,
    MIN_LOO_VALUES,
    MIN_NOISE,
    MIN_VARIANCE,
    PRIOR_MEANS,
    PRIOR_STDS,
    UPPER_BOUNDS,
    nonzero_std,
    repeat_by_group,
)
from bostruct.surrogates.properties.kernel import AdditiveKernel, FeatureBlock
from bostruct.surrogates.properties.map_estimate import (
    find_map_estimate,
    negative_log_density,
)
from bostruct.surrogates.properties.properties import (
    PropertyModel,
    check_property_data,
    require_discrete,
)
from bostruct.surrogates.properties.state_header import decode_header, tensors_under
from bostruct.surrogates.training_data import TrainingData

TENSOR_NAMES = (*gp_regression.TENSOR_NAMES, "task", "task_covariance")


@final
@dataclass(frozen=True)
class MultitaskGP:
    """One Gaussian process for all properties and their correlations.

    For a property that is known of few structures and a correlated one of many. Costs grow with the
    third power of the number of known values of all properties.

    Attributes:
        gp: Features of structures and leave-one-out correction.
    """

    gp: GP = field(default_factory=GP)
    supports_multiple_outcomes: ClassVar[bool] = True

    def description(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON values."""
        return {"type": "MultitaskGP", "gp": self.gp.description()}

    def fit(self, data: TrainingData, /, space: DiscreteSpace | None = None) -> PropertyModel:
        """Return the model of all outcomes together.

        Args:
            data: Coordinates and values of t structures, NaN where unknown.
            space: Space of the coordinates, with separate structures.

        Raises:
            InputError: a property without any value, or one that is infinite.
            NotFittedError: there is no space of separate structures.
            ShapeError: X, Y and names do not belong together.
        """
        checked_space = check_property_data(data, space)
        maps, blocks = self.gp.feature_maps(checked_space)
        Z, Y = all_features(maps, checked_space, data.X), data.Y.double()
        kernel, fitted = _fit(blocks, Z, Y, loo_correction=self.gp.loo_correction)
        return MultitaskModel(data.outcome_names, maps, blocks, kernel, fitted, checked_space)

    def restore(
        self, state: Mapping[str, Tensor], space: DiscreteSpace | None = None
    ) -> PropertyModel:
        """Return the model with this state; its predictions are equal."""
        checked_space = require_discrete(space)
        maps, blocks = self.gp.maps_from_state(state)
        kernel = AdditiveKernel(blocks).requires_grad_(False)
        kernel.load_state_dict(tensors_under(state, "kernel."))
        fitted = {name: state[name] for name in TENSOR_NAMES}
        names = tuple(decode_header(state["header"])["names"])
        return MultitaskModel(names, maps, blocks, kernel, fitted, checked_space)


@final
class MultitaskModel(PropertyModel):
    """A fitted `MultitaskGP`.

    Args:
        names: Names of the properties.
        feature_maps: Maps from X to features.
        blocks: Blocks of the features.
        kernel: Fitted kernel of one property.
        fitted_tensors: Tensors by the names `TENSOR_NAMES`; "Z" `[N, f]` and "task" `[N]` are
            features and property of every value, and "task_covariance" is B.
        space: Space of the coordinates X.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        feature_maps: tuple[FeatureMap, ...],
        blocks: tuple[FeatureBlock, ...],
        kernel: AdditiveKernel,
        fitted_tensors: Mapping[str, Tensor],
        space: DiscreteSpace,
    ) -> None:
        super().__init__(names)
        self.feature_maps, self.blocks, self.kernel = feature_maps, blocks, kernel
        # Rows as they come back from a file: another order of memory rounds otherwise.
        self.fitted_tensors = {name: t.contiguous() for name, t in fitted_tensors.items()}
        self.space = space

    def joint_moments(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q, k]`, covariance `[..., q, k, q, k]` and noise."""
        fitted, shape, q = self.fitted_tensors, X.shape[:-1], X.shape[-2]
        k = len(fitted["task_covariance"])
        Z = all_features(self.feature_maps, self.space, X)
        Z = Z.reshape(-1, q, Z.shape[-1])
        tasks = torch.arange(k)
        with torch.no_grad():
            K = self._prior_covariance(Z.flatten(0, 1), fitted["Z"], tasks, fitted["task"])
            mean = fitted["offset"] + fitted["scale"] * (K @ fitted["weights"])  # K [c q, k, N]
            root = torch.linalg.solve_triangular(fitted["cholesky"], K.flatten(0, 1).T, upper=False)
            root = root.T.reshape(-1, q * k, len(fitted["Z"]))
            prior = self._prior_covariance(Z, Z, tasks, tasks)  # [c, q, k, q, k]
            C = prior.reshape(-1, q * k, q * k) - root @ root.transpose(-1, -2)
            C = C + MIN_VARIANCE * torch.eye(q * k, dtype=C.dtype)
            unit = (fitted["scale"] * fitted["sigma_factor"]).repeat(q)
            C = C * unit * unit.unsqueeze(-1)
        noise = (fitted["noise"] * fitted["scale"].square()).expand(*shape, k)
        return mean.view(*shape, k), C.view(*shape, k, q, k), noise

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""
        state = maps_to_state(self.feature_maps, self.blocks, names=list(self.names))
        state |= {f"kernel.{name}": value for name, value in self.kernel.state_dict().items()}
        return state | dict(self.fitted_tensors)

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers to show, correlations of properties among them."""
        fitted, B = self.fitted_tensors, self.fitted_tensors["task_covariance"]
        numbers = {"log_marginal_likelihood": float(fitted["log_marginal_likelihood"])}
        for block, length in zip(self.kernel.blocks, self.kernel.lengthscales(), strict=True):
            numbers[f"lengthscale_of_{block.name}"] = float(length.log().mean().exp())
        noise, std = fitted["noise"].sqrt() * fitted["scale"], B.diagonal().sqrt()
        for i, name in enumerate(self.names):
            numbers[f"noise_of_{name}"] = float(noise[i])
            for key in ("loo_rms_z", "sigma_factor"):
                numbers[f"{key}_of_{name}"] = float(fitted[key][i])
            for j in range(i):
                correlation = float(B[i, j] / std[i] / std[j])
                numbers[f"correlation_of_{self.names[j]}_and_{name}"] = correlation
        return numbers

    def _prior_covariance(self, A: Tensor, C: Tensor, a: Tensor, c: Tensor) -> Tensor:
        """Return the prior covariance of every property a at A with c at C.

        `[n, k, N]` for a property c of each row of C; `[..., n, k, m, k]` for all properties at
        both.
        """
        kernel = self.kernel
        V, distances = kernel.linear_kernel(A, C), kernel.squared_distances(A, C)
        lengths = kernel.log_signal, kernel.log_length
        R = kernel.from_distances(distances, torch.zeros_like(V), *lengths)
        B = self.fitted_tensors["task_covariance"][a][:, c]
        same = (a.unsqueeze(-1) == c).to(B)
        if a is c:
            R, V = (value[..., :, None, :, None] for value in (R, V))
            B, same = B.unsqueeze(-2), same.unsqueeze(-2)
            return R * B + V * same
        return R.unsqueeze(-2) * B + V.unsqueeze(-2) * same


def _fit(
    blocks: tuple[FeatureBlock, ...], Z: Tensor, Y: Tensor, *, loo_correction: bool
) -> tuple[AdditiveKernel, dict[str, Tensor]]:
    """Return the kernel and the fitted tensors of values `[t, k]` at features `[t, f]`."""
    k = Y.shape[1]
    known = [column[~column.isnan()] for column in Y.T]
    offset = torch.stack([column.mean() for column in known])
    scale = torch.stack([nonzero_std(column) for column in known])
    row, task = (~Y.isnan()).nonzero(as_tuple=True)
    y = ((Y - offset) / scale)[row, task]
    kernel = AdditiveKernel(blocks)
    distances = [D[..., row, :][..., row] for D in kernel.squared_distances(Z, Z)]
    linear = kernel.linear_kernel(Z, Z)[row][:, row] * (task.unsqueeze(-1) == task)
    zero = torch.zeros_like(linear)
    low, high = torch.tril_indices(k, k, -1)
    sizes = [len(kernel.log_signal), len(kernel.log_length), k, k, len(low)]
    mean = repeat_by_group((*PRIOR_MEANS, 0.0, 0.0), sizes)
    std = repeat_by_group((*PRIOR_STDS, 0.5, 1.0), sizes)

    def covariance(p: Tensor) -> tuple[Tensor, Tensor]:
        signal, length, noise, log_diagonal, off_diagonal = p.split(sizes)
        L = torch.diag_embed(log_diagonal.exp()).index_put((low, high), off_diagonal)
        B = L @ L.T
        R = kernel.from_distances(distances, zero, signal, length)
        A = R * B[task][:, task] + linear
        return A + torch.diag_embed(noise.exp()[task] + MIN_NOISE), B

    def loss(p: Tensor) -> Tensor:
        penalty = 0.5 * (((p - mean) / std).square().sum())
        return negative_log_density(covariance(p)[0], y) + penalty

    # a little correlated: at 0 the derivative would not tell the sign of a correlation
    starts = [repeat_by_group((0.0, *start, 0.0, 0.1), sizes) for start in INITIAL_VALUES]
    lower = repeat_by_group((*LOWER_BOUNDS, -3.0, -9.0), sizes)
    upper = repeat_by_group((*UPPER_BOUNDS, 3.0, 9.0), sizes)
    best = find_map_estimate(loss, starts, lower, upper)
    signal, length, noise = best.split(sizes)[:3]
    kernel.initialize(log_signal=signal, log_length=length)
    with torch.no_grad():
        A, B = covariance(best)
        factor = psd_safe_cholesky(A)
        weights = torch.cholesky_solve(y.unsqueeze(-1), factor).squeeze(-1)
        logs = factor.diagonal().log().sum() + scale.log()[task].sum()
        evidence = -0.5 * (y @ weights + len(y) * math.log(2 * math.pi)) - logs
        z2 = weights.square() / torch.cholesky_inverse(factor).diagonal()
        counts = torch.bincount(task, minlength=k)
        rms_z = (z2.new_zeros(k).index_add(0, task, z2) / counts).sqrt()
        corrected = (counts >= MIN_LOO_VALUES) & loo_correction
        sigma_factor = torch.where(corrected, rms_z.clamp(min=1), torch.ones_like(rms_z))
    noise = noise.exp() + MIN_NOISE
    shared = (Z[row], factor, weights, noise, offset, scale, sigma_factor, rms_z, evidence)
    tensors = dict(zip(TENSOR_NAMES, (*shared, task, B), strict=True))
    return kernel.requires_grad_(False), tensors
