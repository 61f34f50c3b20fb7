"""Mean and standard deviation of energies with gradients in closed form, without autograd.

Notation
    b   structures                  r   atoms whose features moving atoms change
    m   inducing points             g   fixed atoms that all structures share
    K   [b, m]  1    covariances of the energies with the inducing points
    v   [b]     1    prior variances, in units of the signal variance s²
    w   [m]     eV   K w is the mean less the prior's
    S   [m, m]  eV   h = K S, with signs g [m]: g . h² is the variance beyond s² v

    mean     = prior + K w                 dmean / dK     = w
    variance = s² v + g . (K S)²           dvariance / dK = 2 S (g h),   dvariance / dv = s²

A term of the energy gives its columns of K, its share of v, and the product of their derivatives
with given factors; the posterior combines them. Fixed atoms far from all that move enter with
what was computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, final

import torch
from torch import Tensor

from bostruct.descriptors import FixedEnvironment, PowerSpectra
from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.posterior import MIN_RELATIVE_VARIANCE, jitter
from bostruct.surrogates.local_gp.kernel import InducingEnvironments

EQUAL_FEATURES = 1e-11
"""Difference of features up to which those of fixed atoms count as equal: some rounding errors."""


class GeometryGradient(NamedTuple):
    """Gradient of a sum over structures by positions, and by the cell where that varies.

    Attributes:
        positions: `[n, 3]` 1/Å.
        cell: `[b, 3, 3]` 1/Å, by the lattice vectors; None where they do not depend on X.
    """

    positions: Tensor
    cell: Tensor | None


class MomentTerm(Protocol):
    """A term of the energy of b structures of n atoms in total, with a kernel of its own."""

    @property
    def covariances(self) -> Tensor:
        """Columns of K, `[b, columns]`."""
        ...

    @property
    def prior_variance(self) -> Tensor:
        """Prior variances, `[b]`, in units of the signal variance."""
        ...

    def gradient(self, covariance_factor: Tensor, variance_factor: Tensor) -> GeometryGradient:
        """Return the gradient of sum(factor covariances) + sum(factor prior_variance).

        Args:
            covariance_factor: `[b, columns]`.
            variance_factor: `[b]`.
        """
        ...


@final
@dataclass(frozen=True, eq=False)
class LocalGPMoments:
    """Means and latent standard deviations of b energies; see `posterior_moments`.

    Attributes:
        mean: `[b]` eV.
        std: `[b]` eV.
        X: `[b, d]` coordinates, of which positions and cells are functions known to autograd.
        structures: The structures at X.
        prior_gradient: Gradient of the prior mean, eV/Å.
        terms: Terms of the energy.
        mean_weights: w, `[m]` eV.
        variance_slope: dvariance / dK, `[b, m]` eV².
        prior_slope: dvariance / dv, `[b]` eV².
    """

    mean: Tensor
    std: Tensor
    X: Tensor
    structures: Structures
    prior_gradient: GeometryGradient
    terms: tuple[MomentTerm, ...]
    mean_weights: Tensor
    variance_slope: Tensor
    prior_slope: Tensor

    def gradient(self, mean_factor: Tensor, std_factor: Tensor) -> Tensor:
        """Return the gradient of sum(mean_factor mean + std_factor std) by X, `[b, d]`.

        Args:
            mean_factor: `[b]`.
            std_factor: `[b]`.
        """
        variance_factor = std_factor / (2 * self.std)
        factor = mean_factor.unsqueeze(-1) * self.mean_weights
        factor += variance_factor.unsqueeze(-1) * self.variance_slope
        structures, (by_positions, by_cell) = self.structures, self.prior_gradient
        by_positions = mean_factor[structures.index].unsqueeze(-1) * by_positions
        if by_cell is not None:
            by_cell = mean_factor.view(-1, 1, 1) * by_cell
        sizes = [term.covariances.shape[-1] for term in self.terms]
        for term, part in zip(self.terms, factor.split(sizes, -1), strict=True):
            of_term = term.gradient(part, variance_factor * self.prior_slope)
            by_positions += of_term.positions
            if by_cell is not None and of_term.cell is not None:
                by_cell += of_term.cell
        outputs, slopes = [structures.positions], [by_positions]
        if by_cell is not None:
            outputs, slopes = [*outputs, structures.cell], [*slopes, by_cell]
        (by_X,) = torch.autograd.grad(outputs, self.X, slopes, retain_graph=True)
        return by_X


def local_gp_moments(
    X: Tensor,
    structures: Structures,
    prior_mean_and_gradient: tuple[Tensor, GeometryGradient],
    terms: Sequence[MomentTerm],
    mean_weights: Tensor,
    std_weights: Tensor,
    signs: Tensor,
    signal_variance: Tensor,
    misfit_variance: Tensor,
    *,
    has_residual: bool,
) -> LocalGPMoments:
    """Return the moments of b energies from those of their terms.

    Args:
        X: `[b, d]` coordinates.
        structures: The structures at X, whose positions and cells autograd knows as functions of X.
        prior_mean_and_gradient: `[b]` eV, and eV/Å.
        terms: Terms of the energy.
        mean_weights: w, `[m]` eV.
        std_weights: S, `[m, m]` eV.
        signs: g, `[m]`.
        signal_variance: s², eV².
        misfit_variance: `[b]` eV², variance that no position changes.
        has_residual: False if g . h² itself is the variance ("sor").
    """
    prior, prior_gradient = prior_mean_and_gradient
    K = (
        torch.cat([term.covariances for term in terms], -1)
        if len(terms) > 1
        else terms[0].covariances
    )
    h = K @ std_weights
    squares = h.square()
    variance = squares @ signs
    slope = 2 * ((h * signs) @ std_weights.T)
    prior_variance = torch.zeros_like(variance)
    prior_slope = torch.zeros_like(variance)
    if has_residual:
        for term in terms:
            prior_variance = prior_variance + signal_variance * term.prior_variance
        variance = prior_variance + variance
        prior_slope += signal_variance
    is_constant = variance < MIN_RELATIVE_VARIANCE * signal_variance
    # With signs, the sum may be far below its terms.
    operands = prior_variance + squares.sum(-1) if len(terms) > 1 else prior_variance
    total = variance + jitter(variance, operands, signal_variance) + misfit_variance
    return LocalGPMoments(
        mean=prior + K @ mean_weights,
        std=total.sqrt(),
        X=X,
        structures=structures,
        prior_gradient=prior_gradient,
        terms=tuple(terms),
        mean_weights=mean_weights,
        variance_slope=slope.masked_fill_(is_constant.unsqueeze(-1), 0),
        prior_slope=prior_slope.masked_fill_(is_constant, 0),
    )


@final
@dataclass(frozen=True, eq=False)
class LinearTerm:
    """Terms that are linear in finitely many weights: their prior variance is none of the kernel's.

    Attributes:
        features: `[b, columns]`, as autograd knows them from the geometry.
        positions: `[n, 3]` Å.
        cell: `[b, 3, 3]` Å; None where it does not vary.
    """

    features: Tensor
    positions: Tensor
    cell: Tensor | None = None

    @property
    def covariances(self) -> Tensor:
        """Columns of K, `[b, columns]`."""
        return self.features.detach()

    @property
    def prior_variance(self) -> Tensor:
        """Zeros `[b]`."""
        return self.features.new_zeros(len(self.features))

    def gradient(self, covariance_factor: Tensor, variance_factor: Tensor) -> GeometryGradient:
        """Return the gradient of sum(factor covariances)."""
        del variance_factor
        if not self.features.requires_grad:  # those of the composition alone
            none = None if self.cell is None else torch.zeros_like(self.cell)
            return GeometryGradient(torch.zeros_like(self.positions), none)
        inputs = (self.positions,) if self.cell is None else (self.positions, self.cell)
        gradients = torch.autograd.grad(
            self.features,
            inputs,
            covariance_factor,
            retain_graph=True,
        )
        return GeometryGradient(gradients[0], None if self.cell is None else gradients[1])


@final
@dataclass(frozen=True, eq=False)
class FixedEnergies:
    """Energies of fixed atoms among themselves: what no move changes.

    Attributes:
        environment: Environment that they form among themselves.
        pair_energy: Pair prior of their pairs, `[1]` eV.
        features: `[u, f]`, different ones of their features; a slab has few.
        species_index: `[u]`, species of these.
        is_equal: `[g, u]`, 1 for the one that an atom has.
        covariances: `[u, m]`, covariances with the inducing environments.
        kernel: `[u, u]`, covariances between them.
    """

    environment: FixedEnvironment
    pair_energy: Tensor
    features: Tensor
    species_index: Tensor
    is_equal: Tensor
    covariances: Tensor
    kernel: Tensor

    @classmethod
    def of(
        cls,
        environment: FixedEnvironment,
        species_index: Tensor,
        inducing: InducingEnvironments,
        pair_energy: Tensor,
    ) -> FixedEnergies:
        """Return the energies of the fixed atoms with these species `[g]`."""
        P = environment.features
        rows = torch.cat((species_index.unsqueeze(-1).to(P), P / EQUAL_FEATURES), -1).round()
        distinct, which = torch.unique(rows, dim=0, return_inverse=True)
        is_equal = torch.nn.functional.one_hot(which, len(distinct)).to(P)
        first = is_equal.argmax(0)
        P, species_index = P[first], species_index[first]
        same = species_index.unsqueeze(-1) == species_index
        return cls(
            environment,
            pair_energy,
            P,
            species_index,
            is_equal,
            inducing.environment_covariances(P, species_index),
            inducing.kernel.value(P @ P.T) * same,
        )


@final
@dataclass(frozen=True, eq=False)
class EnvironmentTerm:
    """Sum over atomic environments.

    Attributes:
        inducing: Inducing environments.
        spectra: Features of the r atoms that moving ones change.
        index: `[r]`, structure of each of them.
        n_structures: number b of structures.
        fixed: The fixed atoms, or None where all atoms are among the r.
    """

    inducing: InducingEnvironments
    spectra: PowerSpectra
    index: Tensor
    n_structures: int
    fixed: FixedEnergies | None

    def kernel(self, t: Tensor) -> Tensor:
        """Return the kernel at dot products."""
        return self.inducing.kernel.value(t)

    def kernel_derivative(self, t: Tensor, factor: Tensor) -> Tensor:
        """Return a factor times the derivative of the kernel at dot products."""
        return self.inducing.kernel.derivative(t, factor)

    @cached_property
    def covariances(self) -> Tensor:
        """Columns of K, `[b, m]`."""
        blocks = [self._sum(self.kernel(D), atoms) for D, atoms, _ in self._blocks]
        K = torch.cat(blocks, -1) if len(blocks) > 1 else blocks[0]
        return K if self.fixed is None else K + self._unchanged @ self.fixed.covariances

    @cached_property
    def prior_variance(self) -> Tensor:
        """Prior variances, `[b]`."""
        t, same = self._pairs
        v = (self.kernel(t) * same).sum((-1, -2))
        if self.fixed is not None:
            t, number = self._fixed_pairs
            row = (self.kernel(t) * number).sum(-1)
            v = v.index_add(0, self.index, row, alpha=2.0)
            v = v + (self._unchanged @ self.fixed.kernel * self._unchanged).sum(-1)
        return v

    def gradient(self, covariance_factor: Tensor, variance_factor: Tensor) -> GeometryGradient:
        """Return the gradient of sum(factor covariances) + sum(factor prior_variance)."""
        P = self.spectra.features
        g = torch.empty_like(P)
        for D, atoms, block in self._blocks:
            factor = covariance_factor[:, block]
            if self._is_regular(atoms):
                t = D.view(self.n_structures, -1, D.shape[-1])
                W = self.kernel_derivative(t, factor.unsqueeze(1)).view_as(D)
            else:
                W = self.kernel_derivative(D, factor[self._index_of(atoms)])
            Z = self.inducing.features[block]
            if atoms is None:
                torch.mm(W, Z, out=g)
            else:
                g[atoms] = W @ Z
        t, same = self._pairs
        W = self.kernel_derivative(t, (2 * variance_factor).view(-1, 1, 1)) * same
        g += self._unpad(W @ self._padded(P))
        if self.fixed is not None:
            t, number = self._fixed_pairs
            W = self.kernel_derivative(t, number * (2 * variance_factor)[self.index].unsqueeze(-1))
            g += W @ self.fixed.features
        shifts = self.spectra.neighbors.shifts
        if shifts is None:
            return GeometryGradient(self.spectra.vector_jacobian_product(g), None)
        by_positions, by_vector = self.spectra.gradients(g)
        return GeometryGradient(by_positions, shifts.cell_gradient(by_vector))

    @cached_property
    def _blocks(self) -> list[tuple[Tensor, Tensor | None, slice]]:
        """Dot products with inducing environments of one species, `[atoms, m]`, and both."""
        P, Z = self.spectra.features, self.inducing.features
        blocks: list[tuple[Tensor, Tensor | None, slice]] = []
        for atoms, block in self.inducing.species_blocks(self._species_index):
            if len(atoms) == len(P):
                blocks.append((P @ Z[block].T, None, block))
            else:
                blocks.append((P[atoms] @ Z[block].T, atoms, block))
        return blocks

    @property
    def _species_index(self) -> Tensor:
        return self.spectra.neighbors.center_species

    def _sum(self, K: Tensor, atoms: Tensor | None) -> Tensor:
        """Return the sums `[b, m]` of rows over the atoms of each structure."""
        if self._is_regular(atoms):
            return K.view(self.n_structures, -1, K.shape[-1]).sum(1)
        sums = K.new_zeros(self.n_structures, K.shape[-1])
        return sums.index_add_(0, self._index_of(atoms), K)

    def _index_of(self, atoms: Tensor | None) -> Tensor:
        return self.index if atoms is None else self.index[atoms]

    def _is_regular(self, atoms: Tensor | None) -> bool:
        """Return whether all structures have as many of some atoms."""
        if self.fixed is not None:
            return False
        index, b = self._index_of(atoms), self.n_structures
        if not b or not len(index) or len(index) % b:
            return False
        return bool((index.view(b, -1) == torch.arange(b).unsqueeze(-1)).all())

    @cached_property
    def _slot(self) -> tuple[Tensor, int]:
        """Number of each atom within its structure, `[r]`, and the largest count."""
        counts = torch.bincount(self.index, minlength=self.n_structures)
        start = counts.cumsum(0) - counts
        return torch.arange(len(self.index)) - start[self.index], int(counts.max())

    def _padded(self, rows: Tensor) -> Tensor:
        """Return rows by structure, `[b, atoms, ...]`, with zeros for missing atoms."""
        if self._is_regular(None):
            return rows.view(self.n_structures, -1, *rows.shape[1:])
        slot, size = self._slot
        padded = rows.new_zeros(self.n_structures, size, *rows.shape[1:])
        padded[self.index, slot] = rows
        return padded

    def _unpad(self, padded: Tensor) -> Tensor:
        """Return the inverse of `_padded`."""
        if self._is_regular(None):
            return padded.flatten(0, 1)
        return padded[self.index, self._slot[0]]

    @cached_property
    def _pairs(self) -> tuple[Tensor, Tensor]:
        """Dot products of the atoms of a structure, `[b, atoms, atoms]`; True for one species."""
        P = self._padded(self.spectra.features)
        species = self._padded(self._species_index + 1)  # 0 is padding
        same = (species.unsqueeze(-1) == species.unsqueeze(-2)) & (species > 0).unsqueeze(-1)
        return P @ P.transpose(-1, -2), same

    @cached_property
    def _unchanged(self) -> Tensor:
        """Number of fixed atoms with each of the features that are not among the r, `[b, u]`."""
        assert self.fixed is not None
        fixed_index = self.spectra.neighbors.center_fixed_index()
        mask = fixed_index >= 0
        is_equal = self.fixed.is_equal
        every = is_equal.sum(0).expand(self.n_structures, -1)
        return every.index_add(0, self.index[mask], is_equal[fixed_index[mask]], alpha=-1.0)

    @cached_property
    def _fixed_pairs(self) -> tuple[Tensor, Tensor]:
        """Dot products with the unchanged fixed atoms, and the number of each, `[r, u]`."""
        assert self.fixed is not None
        t = self.spectra.features @ self.fixed.features.T
        same = self._species_index.unsqueeze(-1) == self.fixed.species_index
        return t, same * self._unchanged[self.index]
