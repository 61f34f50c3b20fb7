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
from typing import Any, final

import torch
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor

from bostruct.descriptors import Map, Source
from bostruct.surrogates.properties.gp import GP, sight, written
from bostruct.surrogates.properties.gp_regression import (
    FEW,
    FLOOR,
    LEAST,
    LEASTS,
    MIDDLES,
    MOSTS,
    SPREADS,
    STARTS,
    deviation,
    each,
)
from bostruct.surrogates.properties.kernel import Blend, Block
from bostruct.surrogates.properties.map_estimate import density, most_probable
from bostruct.surrogates.properties.properties import PropertyModel, checked, separate
from bostruct.surrogates.properties.state_header import read

NUMBERS = (
    "Z",
    "place",
    "factor",
    "weights",
    "between",
    "noise",
    "offset",
    "scale",
    "widening",
    "misfit",
    "evidence",
)


@final
@dataclass(frozen=True)
class Correlated:
    """One Gaussian process for all properties, which tell of each other.

    Worth its time where a property is known of few structures and one like it of many.
    Costs grow with the third power of all known values together.

    Attributes:
        learner: features of structures, and whether sigma is widened.
    """

    learner: GP = field(default_factory=GP)

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        return {"surrogate": "Correlated", "learner": self.learner.description()}

    def fit(
        self, X: Tensor, Y: Tensor, names: tuple[str, ...], space: Source | None
    ) -> PropertyModel:
        """Return the model that these values teach.

        Args:
            X: `[t, d]` coordinates.
            Y: `[t, k]` values; NaN where unknown.
            names: of the properties, k.
            space: of X.

        Raises:
            InputError: a property without any value, or one that is infinite.
            NotFittedError: there is no space of separate structures.
            ShapeError: X, Y and names do not belong together.
        """
        source = checked(X, Y, names, space)
        maps, blocks = self.learner.prepared(source)
        Z = sight(maps, source, X)
        blend, numbers = _fit(blocks, Z, Y.double(), widen=self.learner.widen)
        return PropertyModel(Together(maps, blocks, blend, numbers, source), names)

    def restore(
        self, state: Mapping[str, Tensor], space: Source | None
    ) -> PropertyModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        source = separate(space)
        maps, blocks = self.learner.read(state)
        blend = Blend(blocks).requires_grad_(False)
        own = ("log_signal", "log_length")
        blend.load_state_dict({name: state[f"kernel.{name}"] for name in own})
        numbers = {name: state[name] for name in NUMBERS}
        names = tuple(read(state["header"])["names"])
        return PropertyModel(Together(maps, blocks, blend, numbers, source), names)


@final
@dataclass(frozen=True, eq=False)
class Together:
    """What is known of all properties: a `Whole`.

    Attributes:
        maps: from X to features.
        blocks: of the features.
        blend: the kernel.
        numbers: `NUMBERS` by name; "Z" `[N, f]` and "place" `[N]`, the property, of
            every value, and "between" is B.
        space: of X.
    """

    maps: tuple[Map, ...]
    blocks: tuple[Block, ...]
    blend: Blend
    numbers: Mapping[str, Tensor]
    space: Source

    def __call__(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q, k]`, covariance `[..., q, k, q, k]` and noise."""
        own, shape, q = self.numbers, X.shape[:-1], X.shape[-2]
        k = len(own["between"])
        Z = sight(self.maps, self.space, X)
        Z = Z.reshape(-1, q, Z.shape[-1])
        every = torch.arange(k)
        with torch.no_grad():
            flat = Z.flatten(0, 1)
            K = self._between(flat, own["Z"], every, own["place"])  # [c q, k, N]
            mean = own["offset"] + own["scale"] * (K @ own["weights"])
            seen = torch.linalg.solve_triangular(
                own["factor"], K.flatten(0, 1).T, upper=False
            )
            seen = seen.T.reshape(-1, q * k, len(own["Z"]))
            prior = self._between(Z, Z, every, every)  # [c, q, k, q, k]
            C = prior.reshape(-1, q * k, q * k) - seen @ seen.transpose(-1, -2)
            C = C + LEAST * torch.eye(q * k, dtype=C.dtype)
            unit = (own["scale"] * own["widening"]).repeat(q)
            C = C * unit * unit.unsqueeze(-1)
        noise = (own["noise"] * own["scale"].square()).expand(*shape, k)
        return mean.view(*shape, k), C.view(*shape, k, q, k), noise

    def state(self, names: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the tensors that rebuild it exactly."""
        kernel = self.blend.state_dict().items()
        found = written(self.maps, self.blocks, names=list(names))
        found |= {f"kernel.{name}": value for name, value in kernel}
        return found | dict(self.numbers)

    def hyperparameters(self, names: tuple[str, ...]) -> dict[str, float]:
        """Return named numbers for people, correlations of properties among them."""
        own = self.numbers
        found = {"log_marginal_likelihood": float(own["evidence"])}
        for block, length in zip(self.blend.blocks, self.blend.lengths(), strict=True):
            found[f"length_of_{block.name}"] = float(length.log().mean().exp())
        noise = own["noise"].sqrt() * own["scale"]
        spread = own["between"].diagonal().sqrt()
        for i, name in enumerate(names):
            found[f"noise_of_{name}"] = float(noise[i])
            found[f"misfit_of_{name}"] = float(own["misfit"][i])
            found[f"widening_of_{name}"] = float(own["widening"][i])
            for j in range(i):
                value = own["between"][i, j] / spread[i] / spread[j]
                found[f"correlation_of_{names[j]}_and_{name}"] = float(value)
        return found

    def _between(self, A: Tensor, C: Tensor, a: Tensor, c: Tensor) -> Tensor:
        """Return the prior covariance of every property a at A with c at C.

        Of c as many as rows of C it is `[n, k, N]`; where both are all properties,
        `[..., n, k, m, k]`.
        """
        blend = self.blend
        V = blend.vague(A, C)
        R = blend.of(
            blend.apart(A, C), torch.zeros_like(V), blend.log_signal, blend.log_length
        )
        B = self.numbers["between"][a][:, c]
        same = (a.unsqueeze(-1) == c).to(B)
        if a is c:
            R, V = (value[..., :, None, :, None] for value in (R, V))
            B, same = B.unsqueeze(-2), same.unsqueeze(-2)
            return R * B + V * same
        return R.unsqueeze(-2) * B + V.unsqueeze(-2) * same


def _fit(
    blocks: tuple[Block, ...], Z: Tensor, Y: Tensor, *, widen: bool
) -> tuple[Blend, dict[str, Tensor]]:
    """Return the kernel and the numbers of values `[t, k]` at features `[t, f]`."""
    k = Y.shape[1]
    known = [column[~column.isnan()] for column in Y.T]
    offset = torch.stack([column.mean() for column in known])
    scale = torch.stack([deviation(column) for column in known])
    row, place = (~Y.isnan()).nonzero(as_tuple=True)
    y = ((Y - offset) / scale)[row, place]
    blend = Blend(blocks)
    apart = [D[..., row, :][..., row] for D in blend.apart(Z, Z)]
    vague = blend.vague(Z, Z)[row][:, row] * (place.unsqueeze(-1) == place)
    nothing = torch.zeros_like(vague)
    low, high = torch.tril_indices(k, k, -1)
    sizes = [len(blend.log_signal), len(blend.log_length), k]
    whole = [*sizes, k, len(low)]
    own, more = (MIDDLES, SPREADS), ((0.0, 0.0), (0.5, 1.0))
    middle, spread = (each((*a, *b), whole) for a, b in zip(own, more, strict=True))

    def covariance(p: Tensor) -> tuple[Tensor, Tensor]:
        signal, length, noise, size, share = p.split(whole)
        L = torch.diag_embed(size.exp()).index_put((low, high), share)
        B = L @ L.T
        R = blend.of(apart, nothing, signal, length)
        A = R * B[place][:, place] + vague
        return A + torch.diag_embed(noise.exp()[place] + FLOOR), B

    def lost(p: Tensor) -> Tensor:
        return density(covariance(p)[0], y) + 0.5 * (
            ((p - middle) / spread).square().sum()
        )

    # neither correlated nor not: where shares are 0 no slope would tell their sign
    starts = [each((0.0, *start, 0.0, 0.1), whole) for start in STARTS]
    ends = each((*LEASTS, -3.0, -9.0), whole), each((*MOSTS, 3.0, 9.0), whole)
    best = most_probable(lost, starts, *ends)
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
        enough = (counts >= FEW) & widen
        widening = torch.where(enough, misfit.clamp(min=1), torch.ones_like(misfit))
    found = (Z[row], place, factor, weights, B, noise.exp() + FLOOR, offset, scale)
    told = (*found, widening, misfit, evidence)
    return blend.requires_grad_(False), dict(zip(NUMBERS, told, strict=True))
