"""Energies of pairs of atoms as a Gaussian process of their distance.

Notation
    r           Å   distance of two atoms
    d           Å   sum of their radii
    core        Å   `core_factor` d, below which the energy hardly changes with the distance
    u           1   log(r² + core²) / 2, the logarithm of the distance where atoms do not overlap
    R           Å   `range_factor` times the largest d

    E = sum over pairs and images of (g(u) + h(u)) (1 - (r / R)²)³

There is one process g for each pair of species, with a standard deviation proportional to
2 / (exp(2 u) + exp(6 u)) in units where exp(u) is 1 at d: bonds, and what decays like dispersion.
Charges interact farther: h has another amplitude, a longer length scale, and a standard deviation
proportional to exp(-u). It is expected to be small, and data of ions make it large; without it,
what a cluster tells of bonds would be uncertain by the many far pairs of a crystal.

Since u is a logarithm, the processes are stiffer at small distances as all interactions are, and
lengths have no unit; since it ends at the core, the energy of atoms on top of each other is
unknown, not zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from bostruct.errors import check_positive
from bostruct.structures import FixedAtoms, Structures
from bostruct.structures.strain import VOIGT
from bostruct.surrogates.local_gp import energy_terms_numba
from bostruct.surrogates.local_gp.energy_terms import (
    Amplitude,
    Pairs,
    contiguous_arrays,
    find_pairs,
    pair_types,
    sums_by_strain,
)
from bostruct.surrogates.local_gp.spline_process import (
    matern_5_2,
    spline_root,
    spline_slopes,
    splines,
    squared_exponential,
)

LENGTH_SCALE, SHORT_LENGTH_SCALES = 0.36, (0.25, 0.15)
"""Default length scale, and shorter ones for stiff interactions, or many data: where there are few,
a long one knows more of distances that none of them has."""

SPACING = 0.1  # of two splines, in units of the length scale
NEAR_POWER, FAR_POWER, LONG_RANGE_POWER = 2.0, 6.0, 1.0
"""Powers of the distance by which typical energies decrease: of g within d and beyond, and of h."""

TYPICAL_LONG_RANGE = 0.01  # amplitude of h over that of g where there are no charges
ROUNDING = 1e-9  # relative, so that no distance within the range is after the last spline


@final
@dataclass(frozen=True)
class PairTerm:
    """Gaussian processes of the distance for each pair of species.

    Attributes:
        length_scale: Length scale in the logarithm of the distance; None takes the most probable of
            a few.
        long_range_length_scale: Length scale of what decays slowly.
        range_factor: Range over the largest sum of two radii.
        core_factor: Distance below which energies hardly change over the sum of the two radii.

    Raises:
        InputError: one is not positive.
    """

    length_scale: float | None = None
    long_range_length_scale: float = 0.5
    range_factor: float = 4.0
    core_factor: float = 0.35

    def __post_init__(self) -> None:
        for name in ("length_scale", "long_range_length_scale"):
            if (value := getattr(self, name)) is not None:
                check_positive(name, value, "It is a ratio of distances.")
        check_positive("range_factor", self.range_factor, "It is a number of bond lengths.")
        check_positive("core_factor", self.core_factor, "It is a fraction of the bond length.")

    def build(self, radii: Tensor) -> FittedPairTerm:
        """Return the term for species of given radii, `[species]` Å."""
        radii, length_scale = radii.detach().cpu().double(), self.length_scale or LENGTH_SCALE
        row, column = torch.triu_indices(len(radii), len(radii))
        core = self.core_factor * (radii[row] + radii[column])
        cutoff = self.range_factor * 2 * float(radii.max())
        largest = torch.log1p((cutoff / core).square()) / 2  # [types] of u - log(core)
        sizes = (largest / (SPACING * length_scale)).ceil().to(torch.int64)
        spacing = largest / sizes
        roots: tuple[list[Tensor], list[Tensor]] = ([], [])  # of g, of h
        for n, h in zip(sizes.tolist(), spacing.tolist(), strict=True):
            u = h * torch.arange(-1, n + 2, dtype=torch.float64) + math.log(self.core_factor)
            std = 2 / (torch.exp(NEAR_POWER * u) + torch.exp(FAR_POWER * u))
            roots[0].append(spline_root(length_scale / h, std, matern_5_2))
            std = torch.exp(-LONG_RANGE_POWER * u)
            smooth = self.long_range_length_scale / h
            roots[1].append(spline_root(smooth, std, squared_exponential))
        short, long = (torch.block_diag(*each) for each in roots)
        return FittedPairTerm(cutoff, core, sizes, torch.cat((short, long), -1), short.shape[1])


@final
@dataclass(frozen=True, eq=False)
class FittedPairTerm:
    """The features of the pair energies.

    Attributes:
        cutoff: Range R of the pairs, Å.
        core: `[types]` Å, core of each pair of species.
        n_intervals: `[types]`, number of intervals of the splines of each.
        root: `[K, m]`, root of the covariance of all coefficients.
        n_short: Number of features of g, the first ones.
    """

    cutoff: float
    core: Tensor
    n_intervals: Tensor
    root: Tensor
    n_short: int
    weight_std: ClassVar[None] = None

    @property
    def amplitudes(self) -> tuple[Amplitude, ...]:
        """Amplitudes of g and of h."""
        n_long = self.n_features - self.n_short
        long_range = Amplitude("long_range_pairs", n_long, TYPICAL_LONG_RANGE)
        return Amplitude("pair_term", self.n_short), long_range

    @property
    def n_features(self) -> int:
        """Number m of features."""
        return self.root.shape[1]

    def features(
        self,
        structures: Structures,
        species_index: Tensor,
        index: Tensor,
        count: int,
        fixed_atoms: FixedAtoms | None = None,
        pairs: Pairs | None = None,
    ) -> Tensor:
        """Return the features of sums over atoms; half of a pair belongs to either atom."""
        pairs = find_pairs(structures, self.cutoff, fixed_atoms) if pairs is None else pairs
        arguments = pairs, species_index, index, count
        sums: Tensor
        if structures.device.type == "cpu":
            sums = _PairSums.apply(structures.positions, pairs.offset, self, *arguments)  # type: ignore[no-untyped-call]
        else:
            sums = self.differentiable_sums(structures.positions, *arguments)
        if fixed_atoms is not None:
            sums = sums + self._fixed_sums(fixed_atoms, species_index)
        return sums @ self.root.to(sums)

    def differentiable_sums(
        self, positions: Tensor, pairs: Pairs, species_index: Tensor, index: Tensor, count: int
    ) -> Tensor:
        """Return the sums of splines `[count, K]` by operations that torch differentiates twice."""
        sums = []
        for kind, i, j, x, weight in self._pairs_by_type(positions, pairs, species_index):
            q = x.square().sum(-1)
            half = weight * (1 - q / self.cutoff**2).pow(3) / 2
            t = torch.log1p(q / self._squared_core[kind]) * self._half_inverse_spacing[kind]
            B = splines(t, int(self.n_intervals[kind])) * half.unsqueeze(-1)
            block = B.new_zeros(count, B.shape[-1]).index_add(0, index[i], B)
            sums.append(block.index_add(0, index[j], B))
        return torch.cat(sums, -1)

    def force_features(
        self, structures: Structures, species_index: Tensor, pairs: Pairs | None = None
    ) -> Tensor:
        """Return the features of all force components, `[n, 3, m]` 1/Å."""
        pairs = find_pairs(structures, self.cutoff) if pairs is None else pairs
        positions = structures.positions.detach()
        if structures.device.type != "cpu":
            slopes = self.tensor_forces(positions, pairs, species_index)
        else:
            slopes = positions.new_zeros(*positions.shape, len(self.root))
            arrays = pairs.arrays(positions, species_index), self.arrays(positions)
            energy_terms_numba.pair_force_features(*arrays, *contiguous_arrays(slopes))
        return slopes @ self.root.to(slopes)

    def strain_features(
        self, structures: Structures, species_index: Tensor, pairs: Pairs | None = None
    ) -> Tensor:
        """Return the derivatives of the features of b energies by the strain, `[b, 6, m]`."""
        pairs = find_pairs(structures, self.cutoff) if pairs is None else pairs
        positions, index = structures.positions.detach(), structures.index
        if structures.device.type != "cpu":
            sums = self.tensor_strain(positions, pairs, species_index, index, len(structures))
        else:
            sums = positions.new_zeros(len(structures), len(VOIGT), len(self.root))
            arrays = pairs.arrays(positions, species_index), self.arrays(positions)
            energy_terms_numba.pair_strain_features(*arrays, *contiguous_arrays(index, sums))
        return sums @ self.root.to(sums)

    def tensor_strain(
        self, positions: Tensor, pairs: Pairs, species_index: Tensor, index: Tensor, count: int
    ) -> Tensor:
        """Return the derivatives of sums of splines by the strain `[count, 6, K]`, by tensors."""
        blocks = []
        for kind, i, _, x, weight in self._pairs_by_type(positions, pairs, species_index):
            slope = self._slopes(kind, x.square().sum(-1, keepdim=True))
            blocks.append(sums_by_strain(x, 2 * weight, slope, index[i], count))
        return torch.cat(blocks, -1)

    def tensor_forces(self, positions: Tensor, pairs: Pairs, species_index: Tensor) -> Tensor:
        """Return minus the derivatives of the splines `[n, 3, K]` 1/Å, by tensor operations."""
        blocks = []
        for kind, i, j, x, weight in self._pairs_by_type(positions, pairs, species_index):
            n = int(self.n_intervals[kind])
            slope = self._slopes(kind, x.square().sum(-1, keepdim=True))
            each = (2 * weight.unsqueeze(-1) * x).unsqueeze(-1) * slope.unsqueeze(1)  # [p, 3, k]
            block = each.new_zeros(len(positions), 3, n + 3).index_add(0, i, each)
            blocks.append(block.index_add(0, j, each, alpha=-1.0))
        return torch.cat(blocks, -1)

    def _slopes(self, kind: int, q: Tensor) -> Tensor:
        """Return the derivatives `[p, k]` 1/Å² of the splines of a type by squares `[p, 1]` Å²."""
        n, core = int(self.n_intervals[kind]), self._squared_core[kind]
        half_inverse = self._half_inverse_spacing[kind]
        inside = 1 - q / self.cutoff**2
        t = torch.log1p(q.squeeze(-1) / core) * half_inverse
        slope = inside.pow(3) * half_inverse / (q + core) * spline_slopes(t, n)
        return slope - 3 * inside.square() / self.cutoff**2 * splines(t, n)

    def arrays(self, like: Tensor) -> energy_terms_numba.PairSplines:
        """Return the constants of the loops."""
        types, columns = self._pair_types.numpy(), self._first_columns.numpy()
        spacing = self._half_inverse_spacing * 2
        floats = (self._squared_core.to(like).numpy(), spacing.to(like).numpy())
        return energy_terms_numba.PairSplines(types, *floats, columns, self.cutoff**2)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the term exactly."""
        return {
            "pair_term_cutoff": torch.tensor(self.cutoff, dtype=torch.float64),
            "pair_term_core": self.core,
            "pair_term_intervals": self.n_intervals,
            "pair_term_root": self.root,
            "pair_term_short": torch.tensor(self.n_short),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> FittedPairTerm | None:
        """Return the term that `state` was taken from; None if there is none."""
        if "pair_term_root" not in state:
            return None
        core, intervals, root = (
            state[f"pair_term_{name}"].cpu() for name in ("core", "intervals", "root")
        )
        cutoff, n_short = float(state["pair_term_cutoff"]), int(state["pair_term_short"])
        return cls(cutoff, core, intervals, root, n_short)

    def _fixed_sums(self, fixed_atoms: FixedAtoms, species_index: Tensor) -> Tensor:
        """Return the sums `[1, K]` over pairs of fixed atoms, cached."""
        cached: tuple[FixedAtoms, Tensor] | None = vars(self).get("_last_fixed_sums")
        if cached is None or cached[0] is not fixed_atoms:
            place = fixed_atoms.fixed_index
            atoms, species_index = fixed_atoms.atoms, species_index[: len(place)][place >= 0]
            pairs = find_pairs(atoms, self.cutoff)
            arguments = self, pairs, species_index, atoms.index, 1
            sums = _PairSums.apply(atoms.positions, pairs.offset, *arguments)  # type: ignore[no-untyped-call]
            cached = fixed_atoms, sums
            vars(self)["_last_fixed_sums"] = cached
        return cached[1]

    def _pairs_by_type(
        self, positions: Tensor, pairs: Pairs, species_index: Tensor
    ) -> Iterator[tuple[int, Tensor, Tensor, Tensor, Tensor]]:
        """Yield each type with the atoms, vectors and weights of its pairs within the range."""
        i, j, offset, weight = pairs.flat()
        x = positions[j] - positions[i] + offset
        kinds = self._pair_types.to(i.device)[species_index[i], species_index[j]]
        kinds = torch.where(x.detach().square().sum(-1) >= self.cutoff**2, -1, kinds)
        for kind in range(len(self.core)):
            rows = (kinds == kind).nonzero().squeeze(-1)
            yield kind, i[rows], j[rows], x[rows], weight[rows]

    @cached_property
    def _pair_types(self) -> Tensor:
        return pair_types(math.isqrt(2 * len(self.core)))

    @cached_property
    def _first_columns(self) -> Tensor:
        sizes = self.n_intervals + 3
        return sizes.cumsum(0) - sizes

    @cached_property
    def _squared_core(self) -> Tensor:
        return self.core.square()

    @cached_property
    def _half_inverse_spacing(self) -> Tensor:
        """1 / (2 h) of each pair of species, `[types]`."""
        largest = torch.log1p(self.cutoff**2 / self._squared_core)
        return self.n_intervals / largest * (1 - ROUNDING)


@final
class _PairSums(torch.autograd.Function):
    """The sums of splines over pairs, as compiled loops."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's
        positions: Tensor,
        offset: Tensor,
        term: FittedPairTerm,
        pairs: Pairs,
        species_index: Tensor,
        index: Tensor,
        count: int,
    ) -> Tensor:
        del offset  # known to the pairs
        out = positions.new_zeros(count, len(term.root))
        ctx.term, ctx.arguments = term, (pairs, species_index, index)
        ctx.save_for_backward(positions)
        arrays = pairs.arrays(positions, species_index), term.arrays(out)
        energy_terms_numba.pair_features(*arrays, *contiguous_arrays(index, out))
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (positions,) = ctx.saved_tensors
        term: FittedPairTerm = ctx.term
        pairs, species_index, index = ctx.arguments
        none, follows_cell = (None,) * 5, ctx.needs_input_grad[1]
        if torch.is_grad_enabled():  # for a second derivative
            sums = term.differentiable_sums(positions, pairs, species_index, index, len(g))
            inputs = (positions, pairs.offset) if follows_cell else (positions,)
            both = torch.autograd.grad(sums, inputs, g, create_graph=True)
            return both[0], both[1] if follows_cell else None, *none
        gradient = torch.zeros_like(positions)
        by_vector = torch.zeros_like(pairs.offset if follows_cell else pairs.offset[:0])
        arrays = pairs.arrays(positions, species_index), term.arrays(g)
        (g_array,), results = contiguous_arrays(g), contiguous_arrays(index, gradient, by_vector)
        energy_terms_numba.pair_features_vjp(g_array, *arrays, *results)
        return gradient, by_vector if follows_cell else None, *none
