"""Properties that tell of each other.

Notation
    k, N       properties, values of all of them
    o, o'      properties of two values
    B          [k, k]   covariance between properties, L L^T
    R          kernel of the distances, V the vague part; see `Blend`

    K((z, o), (z', o')) = B_oo' R(z, z') + [o = o'] V(z, z')

The intrinsic model of coregionalisation (Bonilla, Chai and Williams, Advances in Neural
Information Processing Systems 20 (2008), eq. 1) with a vague linear function of the
composition for each property. A value need not be known of every property: what is
known of one tells of the others. Every property has its own unit and its own noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor

from bostruct.descriptors import FeatureMap, SupportsComposition
from bostruct.surrogates.base import TrainingData
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
from bostruct.surrogates.properties.state_header import decode_header

TENSOR_NAMES = (
    "Z",
    "task",
    "cholesky",
    "weights",
    "task_covariance",
    "noise",
    "offset",
    "scale",
    "sigma_factor",
    "loo_rms_z",
    "log_marginal_likelihood",
)


@final
@dataclass(frozen=True)
class MultitaskGP:
    """One Gaussian process for all properties, which tell of each other.

    Worth its time where a property is known of few structures and one like it of many.
    Costs grow with the third power of all known values together.

    Attributes:
        gp: features of structures, and whether sigma is widened.
    """

    gp: GP = field(default_factory=GP)
    supports_multiple_outcomes: ClassVar[bool] = True

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        return {"type": "MultitaskGP", "gp": self.gp.description()}

    def fit(self, data: TrainingData, /, space: SupportsComposition | None = None) -> PropertyModel:
        """Return the model of all outcomes together.

        Args:
            data: coordinates and values of t structures, NaN where unknown.
            space: of the coordinates, with separate structures.

        Raises:
            InputError: a property without any value, or one that is infinite.
            NotFittedError: there is no space of separate structures.
            ShapeError: X, Y and names do not belong together.
        """
        checked_space = check_property_data(data, space)
        maps, blocks = self.gp.feature_maps(checked_space)
        Z, Y = all_features(maps, checked_space, data.X), data.Y.double()
        kernel, fitted = _fit(blocks, Z, Y, loo_correction=self.gp.loo_correction)
        model = MultitaskModel(maps, blocks, kernel, fitted, checked_space)
        return PropertyModel(model, data.outcome_names)

    def restore(
        self, state: Mapping[str, Tensor], space: SupportsComposition | None = None
    ) -> PropertyModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        source = require_discrete(space)
        maps, blocks = self.gp.maps_from_state(state)
        blend = AdditiveKernel(blocks).requires_grad_(False)
        own = ("log_signal", "log_length")
        blend.load_state_dict({name: state[f"kernel.{name}"] for name in own})
        numbers = {name: state[name] for name in TENSOR_NAMES}
        names = tuple(decode_header(state["header"])["names"])
        return PropertyModel(MultitaskModel(maps, blocks, blend, numbers, source), names)


@final
@dataclass(frozen=True, eq=False)
class MultitaskModel:
    """What is known of all properties: a `Whole`.

    Attributes:
        feature_maps: from X to features.
        blocks: of the features.
        kernel: the kernel.
        fitted_tensors: `NUMBERS` by name; "Z" `[N, f]` and "task" `[N]`, the property, of
            every value, and "task_covariance" is B.
        space: of X.
    """

    feature_maps: tuple[FeatureMap, ...]
    blocks: tuple[FeatureBlock, ...]
    kernel: AdditiveKernel
    fitted_tensors: Mapping[str, Tensor]
    space: SupportsComposition

    def __call__(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q, k]`, covariance `[..., q, k, q, k]` and noise."""
        own, shape, q = self.fitted_tensors, X.shape[:-1], X.shape[-2]
        k = len(own["task_covariance"])
        Z = all_features(self.feature_maps, self.space, X)
        Z = Z.reshape(-1, q, Z.shape[-1])
        every = torch.arange(k)
        with torch.no_grad():
            flat = Z.flatten(0, 1)
            K = self._prior_covariance(flat, own["Z"], every, own["task"])  # [c q, k, N]
            mean = own["offset"] + own["scale"] * (K @ own["weights"])
            seen = torch.linalg.solve_triangular(own["cholesky"], K.flatten(0, 1).T, upper=False)
            seen = seen.T.reshape(-1, q * k, len(own["Z"]))
            prior = self._prior_covariance(Z, Z, every, every)  # [c, q, k, q, k]
            C = prior.reshape(-1, q * k, q * k) - seen @ seen.transpose(-1, -2)
            C = C + MIN_VARIANCE * torch.eye(q * k, dtype=C.dtype)
            unit = (own["scale"] * own["sigma_factor"]).repeat(q)
            C = C * unit * unit.unsqueeze(-1)
        noise = (own["noise"] * own["scale"].square()).expand(*shape, k)
        return mean.view(*shape, k), C.view(*shape, k, q, k), noise

    def state(self, names: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the tensors that rebuild it exactly."""
        kernel = self.kernel.state_dict().items()
        found = maps_to_state(self.feature_maps, self.blocks, names=list(names))
        found |= {f"kernel.{name}": value for name, value in kernel}
        return found | dict(self.fitted_tensors)

    def hyperparameters(self, names: tuple[str, ...]) -> dict[str, float]:
        """Return named numbers for people, correlations of properties among them."""
        own = self.fitted_tensors
        found = {"log_marginal_likelihood": float(own["log_marginal_likelihood"])}
        for block, length in zip(self.kernel.blocks, self.kernel.lengthscales(), strict=True):
            found[f"length_of_{block.name}"] = float(length.log().mean().exp())
        noise = own["noise"].sqrt() * own["scale"]
        spread = own["task_covariance"].diagonal().sqrt()
        for i, name in enumerate(names):
            found[f"noise_of_{name}"] = float(noise[i])
            found[f"loo_rms_z_of_{name}"] = float(own["loo_rms_z"][i])
            found[f"sigma_factor_of_{name}"] = float(own["sigma_factor"][i])
            for j in range(i):
                value = own["task_covariance"][i, j] / spread[i] / spread[j]
                found[f"correlation_of_{names[j]}_and_{name}"] = float(value)
        return found

    def _prior_covariance(self, A: Tensor, C: Tensor, a: Tensor, c: Tensor) -> Tensor:
        """Return the prior covariance of every property a at A with c at C.

        Of c as many as rows of C it is `[n, k, N]`; where both are all properties,
        `[..., n, k, m, k]`.
        """
        blend = self.kernel
        V = blend.linear_kernel(A, C)
        R = blend.from_distances(
            blend.squared_distances(A, C),
            torch.zeros_like(V),
            blend.log_signal,
            blend.log_length,
        )
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
    """Return the kernel and the numbers of values `[t, k]` at features `[t, f]`."""
    k = Y.shape[1]
    known = [column[~column.isnan()] for column in Y.T]
    offset = torch.stack([column.mean() for column in known])
    scale = torch.stack([nonzero_std(column) for column in known])
    row, place = (~Y.isnan()).nonzero(as_tuple=True)
    y = ((Y - offset) / scale)[row, place]
    blend = AdditiveKernel(blocks)
    apart = [D[..., row, :][..., row] for D in blend.squared_distances(Z, Z)]
    vague = blend.linear_kernel(Z, Z)[row][:, row] * (place.unsqueeze(-1) == place)
    nothing = torch.zeros_like(vague)
    low, high = torch.tril_indices(k, k, -1)
    sizes = [len(blend.log_signal), len(blend.log_length), k]
    whole = [*sizes, k, len(low)]
    own, more = (PRIOR_MEANS, PRIOR_STDS), ((0.0, 0.0), (0.5, 1.0))
    middle, spread = (repeat_by_group((*a, *b), whole) for a, b in zip(own, more, strict=True))

    def covariance(p: Tensor) -> tuple[Tensor, Tensor]:
        signal, length, noise, size, share = p.split(whole)
        L = torch.diag_embed(size.exp()).index_put((low, high), share)
        B = L @ L.T
        R = blend.from_distances(apart, nothing, signal, length)
        A = R * B[place][:, place] + vague
        return A + torch.diag_embed(noise.exp()[place] + MIN_NOISE), B

    def lost(p: Tensor) -> Tensor:
        return negative_log_density(covariance(p)[0], y) + 0.5 * (
            ((p - middle) / spread).square().sum()
        )

    # neither correlated nor not: where shares are 0 no slope would tell their sign
    starts = [repeat_by_group((0.0, *start, 0.0, 0.1), whole) for start in INITIAL_VALUES]
    ends = (
        repeat_by_group((*LOWER_BOUNDS, -3.0, -9.0), whole),
        repeat_by_group((*UPPER_BOUNDS, 3.0, 9.0), whole),
    )
    best = find_map_estimate(lost, starts, *ends)
    signal, length, noise = best.split(whole)[:3]
    blend.initialize(log_signal=signal, log_length=length)
    with torch.no_grad():
        A, B = covariance(best)
        factor = psd_safe_cholesky(A)
        weights = torch.cholesky_solve(y.unsqueeze(-1), factor).squeeze(-1)
        logs = factor.diagonal().log().sum() + scale.log()[place].sum()
        evidence = -0.5 * (y @ weights + len(y) * math.log(2 * math.pi)) - logs
        z2 = weights.square() / torch.cholesky_inverse(factor).diagonal()
        counts = torch.bincount(place, minlength=k)
        misfit = (z2.new_zeros(k).index_add(0, place, z2) / counts).sqrt()
        enough = (counts >= MIN_LOO_VALUES) & loo_correction
        widening = torch.where(enough, misfit.clamp(min=1), torch.ones_like(misfit))
    found = (Z[row], place, factor, weights, B, noise.exp() + MIN_NOISE, offset, scale)
    told = (*found, widening, misfit, evidence)
    return blend.requires_grad_(False), dict(zip(TENSOR_NAMES, told, strict=True))
