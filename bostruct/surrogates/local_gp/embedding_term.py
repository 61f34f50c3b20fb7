"""Energies of atoms as a Gaussian process of the density of their neighbors.

Notation
    r, d        Å   distance of two atoms, sum of their radii
    s           Å   (r² + core²)^1/2, with the core of `pair_term`
    decay, weight   of a pair of species
    rho         1   density of an atom: the sum over its neighbors of
                    weight exp(-decay (s(r) - s(d)) / d) (1 - (r / R)²)³, with R `range_factor`
                    largest d
    x           1   rho / (rho + half), from 0 for an isolated atom to below 1
    u           1   root of x, smooth at 0: (sqrt(x + eps²) - eps) / (sqrt(1 + eps²) - eps)
    v           1   u, or with a crossover log(1 + c u) / log(1 + c), c² = half / crossover

    E = sum over atoms of F(v)

There is one process F for each species, an embedding energy (Daw and Baskes, Phys. Rev. B 29, 6443
(1984)) of unknown form. Descriptors of unit length do not tell how many neighbors there are: an
atom that is pulled out of a cluster has an uncertainty for this term. The root is the coordinate of
the second moment of bands, in which an atom with one neighbor is as far from one with none as from
one in a surface. Most data have no atoms with few neighbors, whose energies differ by bond
energies; so the standard deviation is larger there. With a crossover, and half far beyond it, v is
the logarithm of larger densities: of atoms that are pressed together no more is known than of
distances that are shorter than any.

How fast the density of a neighbor decays decides how well energies are described. Decays and
weights are those that the data make most probable, see `embedding_densities`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
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
    sums_by_strain,
)
from bostruct.surrogates.local_gp.energy_terms_numba import DensitySplines, NeighborDensity
from bostruct.surrogates.local_gp.pair_term import SPACING
from bostruct.surrogates.local_gp.spline_process import (
    matern_5_2,
    spline_root,
    spline_slopes,
    splines,
)

DECAY = 6.0  # typical of metals: 4 to 8 in second-moment potentials (Cleri and Rosato, 1993)
ISOLATED_WIDTH, ISOLATED_DENSITY = 0.3, 0.6  # v and density below which an atom is nearly isolated
NEGLIGIBLE_DENSITY = 0.06  # far below that of one neighbor, so that smaller ones are alike
EARLIER_SMALLEST = 0.1  # eps of models that were stored without one


@final
@dataclass(frozen=True, eq=False)
class Densities:
    """Densities that neighbors have, for each pair of species.

    Attributes:
        decay: `[species, species]`, decay over one bond length, in powers of e.
        weight: `[species, species]`, density of a neighbor at the bond length.
    """

    decay: Tensor
    weight: Tensor

    @classmethod
    def uniform(cls, decay: float, n_species: int) -> Densities:
        """Return densities that are alike for all pairs of species."""
        one = torch.ones(n_species, n_species, dtype=torch.float64)
        return cls(decay * one, one)


@lru_cache(maxsize=8)
def coefficient_root(length_scale: float, isolated_factor: float, isolated_width: float) -> Tensor:
    """Return the root of the covariance of the coefficients of one species, `[n + 3, m]`.

    Args:
        length_scale: Length scale of the process in v.
        isolated_factor: Typical energy of an isolated atom over that of one with many neighbors.
        isolated_width: v below which an atom is nearly isolated.
    """
    n = -int(-1 // (SPACING * length_scale))
    v = torch.arange(-1, n + 2, dtype=torch.float64) / n
    isolated = torch.exp(-(v / isolated_width).square() / 2)
    std = 1 + (isolated_factor - 1) * isolated
    return spline_root(length_scale * n, std, matern_5_2)


@final
@dataclass(frozen=True)
class EmbeddingTerm:
    """A Gaussian process of the density of neighbors for each species.

    Attributes:
        length_scale: Length scale of the process in v, which is between 0 and 1.
        decay: Decay of the density of a neighbor over one bond length, in powers of e; None takes
            the most probable one of each pair of species, and weights of unlike neighbors.
        half_density: The density at which x is 1/2; that of a neighbor at the bond length is 1.
        crossover: The density above which energies change with its logarithm; None for its root.
            `EmbeddingTerm(length_scale=0.4, half_density=600, crossover=4, isolated_factor=10)`
            knows less of what is pressed together, and is worse at stresses and at odd energies.
        range_factor: Range of the density over the largest sum of two radii.
        core_factor: Distance below which densities hardly change over the sum of the two radii.
        isolated_factor: Typical energy of an isolated atom over that of one with many neighbors.

    Raises:
        InputError: one is not positive.
    """

    length_scale: float = 0.6
    decay: float | None = None
    half_density: float = 6.0
    crossover: float | None = None
    range_factor: float = 3.0
    core_factor: float = 0.35
    isolated_factor: float = 3.0

    def __post_init__(self) -> None:
        check_positive("length_scale", self.length_scale, "It is a part of the unit interval.")
        if self.decay is not None:
            check_positive("decay", self.decay, "It is a number of powers of e.")
        check_positive("half_density", self.half_density, "It is a number of neighbors.")
        if self.crossover is not None:
            check_positive("crossover", self.crossover, "It is a number of neighbors.")
        check_positive("range_factor", self.range_factor, "It is a number of bond lengths.")
        check_positive("core_factor", self.core_factor, "It is a fraction of the bond length.")
        check_positive("isolated_factor", self.isolated_factor, "It is a ratio of energies.")

    def build(self, radii: Tensor, densities: Densities | None = None) -> FittedEmbeddingTerm:
        """Return the term for some species.

        Args:
            radii: Radius of each species, `[species]` Å.
            densities: Densities of their pairs; None for typical ones.
        """
        densities = densities or Densities.uniform(self.decay or DECAY, len(radii))
        radii = radii.detach().cpu().double()
        d = radii + radii.unsqueeze(-1)
        core = self.core_factor * d
        smallest, compression, width = EARLIER_SMALLEST, 0.0, ISOLATED_WIDTH
        if self.crossover is not None:
            smallest = math.sqrt(NEGLIGIBLE_DENSITY / self.half_density)
            compression = math.sqrt(self.half_density / self.crossover)
            isolated = math.sqrt(ISOLATED_DENSITY / self.crossover)
            width = math.log1p(isolated) / math.log1p(compression)
        root = coefficient_root(self.length_scale, self.isolated_factor, width)
        return FittedEmbeddingTerm(
            self.range_factor * float(d.max()),
            self.half_density,
            core,
            densities.decay / d,
            (d.square() + core.square()).sqrt() + d * densities.weight.log() / densities.decay,
            torch.block_diag(*[root] * len(radii)),
            compression,
            smallest,
        )


@final
@dataclass(frozen=True, eq=False)
class FittedEmbeddingTerm:
    """The features of the embedding energies.

    Attributes:
        cutoff: Range R of the densities, Å.
        half_density: The density at which x is 1/2.
        core: `[species, species]` Å.
        decay: `[species, species]` 1/Å.
        reference: `[species, species]` Å, the s at which the density of a neighbor is 1.
        root: `[K, m]`, root of the covariance of all coefficients.
        compression: The factor c; 0 for v = u.
        smallest: Smoothing eps of the root.
    """

    cutoff: float
    half_density: float
    core: Tensor
    decay: Tensor
    reference: Tensor
    root: Tensor
    compression: float = 0.0
    smallest: float = EARLIER_SMALLEST
    weight_std: ClassVar[None] = None

    @property
    def amplitudes(self) -> tuple[Amplitude, ...]:
        """The amplitude of F."""
        return (Amplitude("embedding_term", self.n_features),)

    @property
    def n_features(self) -> int:
        """Number m of features."""
        return self.root.shape[1]

    @property
    def n_intervals(self) -> int:
        """Number of intervals of the splines of a species."""
        return len(self.root) // len(self.core) - 3

    def features(
        self,
        structures: Structures,
        species_index: Tensor,
        index: Tensor,
        count: int,
        fixed_atoms: FixedAtoms | None = None,
        pairs: Pairs | None = None,
    ) -> Tensor:
        """Return the features of sums over atoms."""
        pairs = find_pairs(structures, self.cutoff, fixed_atoms) if pairs is None else pairs
        density = structures.positions.new_zeros(len(species_index))
        if fixed_atoms is not None:
            density = self._fixed_densities(fixed_atoms, species_index)
        arguments = pairs, species_index, index, density, count
        sums: Tensor
        if structures.device.type == "cpu":
            sums = _EmbeddingSums.apply(  # type: ignore[no-untyped-call]
                structures.positions, pairs.offset, self, *arguments
            )
        else:
            sums = self.differentiable_sums(structures.positions, *arguments)
        return sums @ self.root.to(sums)

    def differentiable_sums(
        self,
        positions: Tensor,
        pairs: Pairs,
        species_index: Tensor,
        index: Tensor,
        initial_density: Tensor,
        count: int,
    ) -> Tensor:
        """Return the sums of splines `[count, K]` by operations that torch differentiates twice."""
        i, j, offset, weight = pairs.flat()
        x = positions[j] - positions[i] + offset
        density = self._add_densities(
            initial_density, x.square().sum(-1), i, j, weight, species_index
        )
        B = splines(self._coordinate(density), self.n_intervals)
        B = self._by_species(B, species_index)
        return B.new_zeros(count, B.shape[-1]).index_add(0, index, B)

    def force_features(
        self, structures: Structures, species_index: Tensor, pairs: Pairs | None = None
    ) -> Tensor:
        """Return the features of all force components, `[n, 3, m]` 1/Å."""
        pairs = find_pairs(structures, self.cutoff) if pairs is None else pairs
        arguments = structures.positions.detach(), pairs, species_index
        on_cpu = structures.device.type == "cpu"
        slopes = self._numba_forces(*arguments) if on_cpu else self.tensor_forces(*arguments)
        return slopes @ self.root.to(slopes)

    def _numba_forces(self, positions: Tensor, pairs: Pairs, species_index: Tensor) -> Tensor:
        density = positions.new_zeros(len(positions))
        arrays = pairs.arrays(positions, species_index), self.pair_arrays(positions)
        energy_terms_numba.add_densities(*arrays, *contiguous_arrays(density))
        first, slopes = torch.zeros_like(species_index), density.new_zeros(len(density), 4)
        results = contiguous_arrays(species_index, first, slopes)
        energy_terms_numba.density_slopes(density.numpy(), self.spline_arrays(), *results)
        out = positions.new_zeros(*positions.shape, len(self.root))
        first_array, slope_array = results[1:]
        energy_terms_numba.density_force_features(first_array, slope_array, *arrays, out.numpy())
        return out

    def tensor_forces(self, positions: Tensor, pairs: Pairs, species_index: Tensor) -> Tensor:
        """Return minus the derivatives of the splines `[n, 3, K]` 1/Å, by tensor operations."""
        i, j, x, weight = self._pair_vectors(positions, pairs)
        dB, slope = self._spline_and_density_slopes(i, j, x, weight, species_index)
        by_distance = (2 * weight * slope).view(-1, 1, 1) * x.unsqueeze(-1)
        each = by_distance * (dB[i] + dB[j]).unsqueeze(1)
        out = each.new_zeros(*positions.shape, dB.shape[-1]).index_add(0, i, each)
        return out.index_add(0, j, each, alpha=-1.0)

    def strain_features(
        self, structures: Structures, species_index: Tensor, pairs: Pairs | None = None
    ) -> Tensor:
        """Return the derivatives of the features of b energies by the strain, `[b, 6, m]`."""
        pairs = find_pairs(structures, self.cutoff) if pairs is None else pairs
        i, j, x, weight = self._pair_vectors(structures.positions.detach(), pairs)
        dB, slope = self._spline_and_density_slopes(i, j, x, weight, species_index)
        n, b = len(species_index), len(structures)
        slope = slope.unsqueeze(-1)
        density = sums_by_strain(x, 2 * weight, slope, i, n)  # [n, 6, 1]
        density = density + sums_by_strain(x, 2 * weight, slope, j, n)
        sums = dB.new_zeros(b, len(VOIGT), dB.shape[-1])
        sums = sums.index_add(0, structures.index, density * dB.unsqueeze(1))
        return sums @ self.root.to(sums)

    def _pair_vectors(
        self, positions: Tensor, pairs: Pairs
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return atoms, vectors and weights of all pairs."""
        i, j, offset, weight = pairs.flat()
        return i, j, positions[j] - positions[i] + offset.detach(), weight

    def _spline_and_density_slopes(
        self, i: Tensor, j: Tensor, x: Tensor, weight: Tensor, species_index: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the derivatives of splines by densities, and of densities by squared distances.

        They are `[n, K]`, and `[p]` 1/Å² for each pair.
        """
        q = x.square().sum(-1).requires_grad_()
        with torch.enable_grad():
            part = self._neighbor_density(q, species_index[i], species_index[j])
            (slope,) = torch.autograd.grad(part.sum(), q)
            zero = x.new_zeros(len(species_index))
            density = self._add_densities(zero, q.detach(), i, j, weight, species_index)
            t = self._coordinate(density.requires_grad_())
            (scale,) = torch.autograd.grad(t.sum(), density)
        dB = spline_slopes(t.detach(), self.n_intervals) * scale.unsqueeze(-1)
        return self._by_species(dB, species_index), slope

    def pair_arrays(self, like: Tensor) -> NeighborDensity:
        """Return the constants of the loops over pairs."""
        tensors = self._squared_core, self.decay, self.reference
        core, decay, reference = (x.to(like).numpy() for x in tensors)
        return NeighborDensity(core, decay, reference, self.cutoff**2)

    def spline_arrays(self) -> DensitySplines:
        """Return the constants of the loops over atoms."""
        columns = (self.n_intervals + 3) * torch.arange(len(self.core))
        inverse_spacing = float(self.n_intervals)
        return DensitySplines(
            self.half_density, self.smallest, self.compression, inverse_spacing, columns.numpy()
        )

    def hyperparameters(self, species: Sequence[int]) -> dict[str, float]:
        """Return the decay of each pair of species to show, units in the names.

        Args:
            species: Atomic number of each species.
        """
        decays = self.decay.tolist()
        return {
            f"embedding_decay_of_Z{a}_Z{b}_per_angstrom": decays[i][j]
            for i, a in enumerate(species)
            for j, b in enumerate(species)
            if i <= j
        }

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the term exactly."""
        numbers = [self.cutoff, self.half_density, self.compression, self.smallest]
        return {
            "embedding_term_numbers": torch.tensor(numbers, dtype=torch.float64),
            "embedding_term_core": self.core,
            "embedding_term_decay": self.decay,
            "embedding_term_reference": self.reference,
            "embedding_term_root": self.root,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> FittedEmbeddingTerm | None:
        """Return the term that `state` was taken from; None if there is none."""
        if "embedding_term_root" not in state:
            return None
        names = ("core", "decay", "reference", "root")
        core, decay, reference, root = (state[f"embedding_term_{name}"].cpu() for name in names)
        cutoff, half_density, *coordinate = state["embedding_term_numbers"].tolist()
        return cls(cutoff, half_density, core, decay, reference, root, *coordinate)

    def _fixed_densities(self, fixed_atoms: FixedAtoms, species_index: Tensor) -> Tensor:
        """Return the density `[n]` that fixed atoms have of each other, cached."""
        place = fixed_atoms.fixed_index
        cached: tuple[FixedAtoms, Tensor] | None = vars(self).get("_last_fixed_densities")
        if cached is None or cached[0] is not fixed_atoms:
            atoms, of_fixed = fixed_atoms.atoms, species_index[: len(place)][place >= 0]
            i, j, offset, weight = find_pairs(atoms, self.cutoff).flat()
            q = (atoms.positions[j] - atoms.positions[i] + offset).square().sum(-1)
            zero = q.new_zeros(len(of_fixed))
            each = self._add_densities(zero, q, i, j, weight, of_fixed)
            density = torch.where(place >= 0, each[place.clamp(min=0)], 0.0)
            cached = fixed_atoms, density
            vars(self)["_last_fixed_densities"] = cached
        return cached[1].repeat(len(species_index) // len(place))

    def _coordinate(self, density: Tensor) -> Tensor:
        """Return v over the spacing of the splines, `[n]`."""
        x = density / (density + self.half_density)
        root = (x + self.smallest**2).sqrt() - self.smallest
        v = root / (math.sqrt(1 + self.smallest**2) - self.smallest)
        if self.compression:
            v = torch.log1p(self.compression * v) / math.log1p(self.compression)
        return v * self.n_intervals

    def _add_densities(
        self,
        density: Tensor,
        q: Tensor,
        i: Tensor,
        j: Tensor,
        weight: Tensor,
        species_index: Tensor,
    ) -> Tensor:
        """Return the densities `[n]` with those of pairs at squared distances `[p]` Å²."""
        part = weight * self._neighbor_density(q, species_index[i], species_index[j])
        return density.index_add(0, i, part).index_add(0, j, part)

    def _neighbor_density(self, q: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Return the density `[p]` of neighbors at squared distances `[p]` Å²."""
        core, decay, reference = (
            x.to(q)[a, b] for x in (self._squared_core, self.decay, self.reference)
        )
        inside = (1 - q / self.cutoff**2).clamp(min=0)
        return inside.pow(3) * torch.exp(-decay * ((q + core).sqrt() - reference))

    def _by_species(self, B: Tensor, species_index: Tensor) -> Tensor:
        """Return B `[n, k]` in the columns of each atom's species, `[n, species k]`."""
        one_hot = torch.nn.functional.one_hot(species_index, len(self.core)).to(B)
        return (one_hot.unsqueeze(-1) * B.unsqueeze(1)).flatten(1)

    @cached_property
    def _squared_core(self) -> Tensor:
        return self.core.square()


@final
class _EmbeddingSums(torch.autograd.Function):
    """The sums of splines of densities, as compiled loops."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's
        positions: Tensor,
        offset: Tensor,
        term: FittedEmbeddingTerm,
        pairs: Pairs,
        species_index: Tensor,
        index: Tensor,
        initial_density: Tensor,
        count: int,
    ) -> Tensor:
        del offset  # known to the pairs
        density = initial_density.clone()
        ctx.term, ctx.arguments = term, (pairs, species_index, index, initial_density)
        ctx.save_for_backward(positions, density)
        arrays = pairs.arrays(positions, species_index), term.pair_arrays(density)
        energy_terms_numba.add_densities(*arrays, *contiguous_arrays(density))
        out = positions.new_zeros(count, len(term.root))
        results = contiguous_arrays(species_index, index, out)
        energy_terms_numba.density_features(density.numpy(), term.spline_arrays(), *results)
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        positions, density = ctx.saved_tensors
        term: FittedEmbeddingTerm = ctx.term
        pairs, species_index, index, initial_density = ctx.arguments
        none, follows_cell = (None,) * 6, ctx.needs_input_grad[1]
        if torch.is_grad_enabled():  # for a second derivative
            sums = term.differentiable_sums(
                positions, pairs, species_index, index, initial_density, len(g)
            )
            inputs = (positions, pairs.offset) if follows_cell else (positions,)
            both = torch.autograd.grad(sums, inputs, g, create_graph=True)
            return both[0], both[1] if follows_cell else None, *none
        by_density, gradient = torch.zeros_like(density), torch.zeros_like(positions)
        results = contiguous_arrays(species_index, index, by_density)
        (g_array,) = contiguous_arrays(g)
        splines = term.spline_arrays()
        energy_terms_numba.density_features_vjp(g_array, density.numpy(), splines, *results)
        by_vector = torch.zeros_like(pairs.offset if follows_cell else pairs.offset[:0])
        arrays = pairs.arrays(positions, species_index), term.pair_arrays(g)
        results = contiguous_arrays(gradient, by_vector)
        energy_terms_numba.density_vjp(by_density.numpy(), *arrays, *results)
        return gradient, by_vector if follows_cell else None, *none
