"""The local power spectrum of smoothly truncated neighbor densities.

Notation
    n   atoms of all structures            k   places for neighbors, padded
    s   species x radial functions         m   spherical harmonics, (l_max + 1)^2
    f   features, (l_max + 1) s (s + 1) / 2
    V   [n, k, 3]   Å   vectors from an atom to its neighbors
    C   [n, s, m]   1   expansion of the density around an atom
    P   [n, f]      1   power spectrum, of unit length

    C_i,snlm   = sum_j A_s,sj R_n(r_ij) Y_lm(r_ij / |r_ij|) + A_s,si c_n [l = 0]
    P_i,nn'l   = sum_m C_i,nlm C_i,n'lm / (2 l + 1),   P <- P / |P|

This is SOAP (Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), eqs. 28-33) with neighbors
that are points rather than Gaussians, and radial functions that are the same for every l. Distances
are taken in units of the cut-off, so that the descriptor is the same for a structure and its
enlarged copy. The atom itself enters as in SOAP, as a constant along the functions' values at the
origin; its `center` weight sets how much of the kernel is two-body and how much three-body. The
factor 1 / (2 l + 1) damps angular detail. A is the root of the similarity of the species, 1 for a
species with itself and `alchemy` for any two: De, Bartók, Csányi and Ceriotti, Phys. Chem. Chem.
Phys. 18, 13754 (2016), eq. 17. At 0 species have nothing in common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bostruct.descriptors.soap import basis_numba, power_spectrum_numba
from bostruct.descriptors.soap.neighbor_vectors import FixedEnvironment, NeighborVectors
from bostruct.descriptors.soap.radial_basis import RadialBasis
from bostruct.descriptors.soap.spherical_harmonics import SphericalHarmonics
from bostruct.errors import InputError, check_count, check_positive, error_message
from bostruct.structures import FixedAtoms, Structures, shared_fixed_atoms


@final
@dataclass(frozen=True, eq=False)
class DescriptorGradients:
    """A descriptor and how it changes when one neighbor moves.

    Attributes:
        features: `[n, f]`.
        center: `[p]`, the atom whose environment changes.
        neighbor: `[p]`, the neighbor that moves.
        gradients: `[p, 3, f]` 1/Å, derivative of `features[center]` with respect to the
            vector from `center` to `neighbor`. Moving `center` has the opposite effect.
    """

    features: Tensor
    center: Tensor
    neighbor: Tensor
    gradients: Tensor


@final
@dataclass(frozen=True)
class SOAP:
    """A smooth, normalised local power spectrum.

    Attributes:
        species: atomic numbers that may occur, each once.
        cutoff: Å; value, slope and curvature vanish there.
        n_max: number of radial functions.
        l_max: largest degree l of the spherical harmonics.
        center_atom_weight: weight of the atom itself against its neighbors.
        species_similarity: similarity of two different species, from 0 to below 1.

    Raises:
        InputError: a number is out of range, or a species is repeated or missing.
    """

    species: tuple[int, ...]
    cutoff: float
    n_max: int = 5
    l_max: int = 4
    center_atom_weight: float = 45.0
    species_similarity: float = 0.0

    def __post_init__(self) -> None:
        check_positive("cutoff", self.cutoff, "Give a length in Å.")
        check_count("n_max", self.n_max)
        check_count("l_max", self.l_max, minimum=0)
        check_positive("center_atom_weight", self.center_atom_weight)
        if not 0 <= self.species_similarity < 1:
            condition = "be a similarity from 0 to below 1"
            raise InputError(
                error_message("species_similarity", condition, self.species_similarity)
            )
        if not self.species or len(set(self.species)) != len(self.species):
            condition = "name each atomic number once"
            raise InputError(error_message("species", condition, self.species))

    @property
    def n_features(self) -> int:
        """The number of features f."""
        s = len(self.species) * self.n_max
        return (self.l_max + 1) * s * (s + 1) // 2

    def __call__(
        self, structures: Structures, fixed_environment: FixedEnvironment | None = None
    ) -> Tensor:
        """Return the features `[n, f]`, twice differentiable in the positions.

        Args:
            structures: n atoms in total.
            fixed_environment: of these structures, see there.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        return self.features_and_changed(structures, fixed_environment)[0]

    def features_and_changed(
        self, structures: Structures, fixed_environment: FixedEnvironment | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the features `[n, f]`, and whether they differ from those of the base.

        Args:
            structures: n atoms in total.
            fixed_environment: of these structures, see there.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        place = self.species_index(structures.numbers)  # [n]
        near = NeighborVectors.from_structures(structures, self.cutoff, place, fixed_environment)
        if structures.device.type != "cpu":
            P = self._tensor_spectrum(structures.positions, near)
            return P, torch.ones_like(place, dtype=torch.bool)
        P, length = _PowerSpectrumFunction.apply(structures.positions, self, near)  # type: ignore[no-untyped-call]
        return P, length != 0

    def fixed_environment(self, structures: Structures) -> FixedEnvironment | None:
        """Return what the fixed atoms see of each other, for as long as they stay.

        It spares the better part of the work where structures are many and on one
        slab. None where the structures share no fixed atoms.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        found = shared_fixed_atoms(structures)
        if found is None or structures.device.type != "cpu":
            return None
        kept: dict[str, FixedEnvironment] = vars(self).setdefault("_kept", {})
        last = kept.get("base")
        if last is None or not last.fixed_atoms.is_identical(found):
            kept["base"] = last = self._compute_fixed_environment(found)
        return last

    def _compute_fixed_environment(self, fixed_atoms: FixedAtoms) -> FixedEnvironment:
        place = self.species_index(fixed_atoms.atoms.numbers)
        near = NeighborVectors.from_structures(fixed_atoms.atoms, self.cutoff, place)
        V = near.vectors(fixed_atoms.atoms.positions) / self.cutoff
        P, _, _ = self._numba_spectrum(V, near.neighbor_species, near)
        _, expansion, _ = self._numba_spectrum(V, near.neighbor_species, near, mix_species=False)
        return FixedEnvironment(fixed_atoms, expansion, P)

    def power_spectrum(
        self,
        vectors: Tensor,
        neighbor_species: Tensor,
        species_index: Tensor,
        initial_expansion: Tensor | None = None,
    ) -> Tensor:
        """Return the features `[n, f]` from the vectors to the neighbors.

        Args:
            vectors: `[n, k, 3]` in cut-offs.
            neighbor_species: `[n, k]` species of the neighbors.
            species_index: `[n]` species of the atoms.
            initial_expansion: `[n, s, m]` what atoms have without these neighbors, before species
                mix; by default what they add themselves.
        """
        r, u = _distances_and_directions(vectors)
        initial_expansion = (
            self._center_expansion(species_index)
            if initial_expansion is None
            else initial_expansion
        )
        C = self._expand(
            self._radial_basis(r), self._spherical_harmonics(u), neighbor_species, initial_expansion
        )
        P = self._unnormalized_spectrum(C)
        length: Tensor = torch.linalg.vector_norm(P, dim=-1, keepdim=True)
        return P / length

    def gradients(self, structures: Structures) -> DescriptorGradients:
        """Return the features and their derivative for every pair.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        place = self.species_index(structures.numbers)
        near = NeighborVectors.from_structures(structures, self.cutoff, place)
        vectors = near.vectors(structures.positions) / self.cutoff
        if vectors.device.type == "cpu":
            return self._numba_gradients(near, vectors)
        return self._tensor_gradients(near, _pad_beyond_cutoff(vectors, near.mask))

    def _tensor_gradients(self, neighbors: NeighborVectors, vectors: Tensor) -> DescriptorGradients:
        other, mask, place = neighbors.neighbor, neighbors.mask, neighbors.species_index
        kind = place[other]
        r, u = _distances_and_directions(vectors)
        R, dR = self._radial_basis.gradient(r)  # [radial, n k]
        Y, dY = self._spherical_harmonics.gradient(u)  # [m, n k], [3, m, n k]
        C = self._expand(R, Y, kind, self._center_expansion(place))
        P = self._unnormalized_spectrum(C)
        length = torch.linalg.vector_norm(P, dim=-1, keepdim=True)
        P = P / length
        real = mask.flatten() & (r < 1)
        center, column = real.view_as(mask).nonzero(as_tuple=True)
        R, dR, Y, dY, u, r = (x[..., real] for x in (R, dR, Y, dY, u, r))
        # d(R Y)/dr = R' Y u + R (1 - u u^T) dY/du / r
        tangential = (dY - u.unsqueeze(1) * (u.unsqueeze(1) * dY).sum(0)) / r
        dC = torch.einsum("np,mp,xp->pxnm", dR, Y, u)
        dC += torch.einsum("np,xmp->pxnm", R, tangential)
        dC = dC.flatten(-2).unsqueeze(-2)  # [p, 3, 1, radial m]
        mixed = self._species_mixing.to(dC)[kind[center, column]]  # [p, species]
        dC = (mixed[:, None, :, None] * dC).view(*dC.shape[:2], *C.shape[1:])
        dP = self._spectrum_gradients(dC / self.cutoff, C[center])
        along = (dP @ P[center].unsqueeze(-1)).squeeze(-1)  # [p, 3]
        dP = (dP - along.unsqueeze(-1) * P[center].unsqueeze(1)) / length[center, None]
        return DescriptorGradients(P, center, other[center, column], dP)

    def _numba_gradients(self, neighbors: NeighborVectors, vectors: Tensor) -> DescriptorGradients:
        V = vectors.detach().contiguous()
        close = neighbors.mask & ~(torch.linalg.vector_norm(V, dim=-1) >= 1)
        kind = torch.where(close, neighbors.neighbor_species, -1)
        center, column = close.nonzero(as_tuple=True)
        row = close.flatten().cumsum(0).view_as(close) - 1
        P, C, length = self._numba_spectrum(V, kind, neighbors)
        _, M, N, A = self._numba_constants(V.dtype)
        dP = V.new_empty(len(center), 3, self.n_features)
        power_spectrum_numba.power_spectrum_jacobian(
            V.numpy(),
            kind.numpy(),
            row.numpy(),
            1 / self.cutoff,
            M,
            N,
            A,
            P.numpy(),
            C.numpy(),
            length.numpy(),
            dP.numpy(),
        )
        return DescriptorGradients(P, center, neighbors.neighbor[center, column], dP)

    def species_index(self, numbers: Tensor) -> Tensor:
        """Return the position of each atomic number in `species`, `[n]`.

        Raises:
            InputError: a number is not among them.
        """
        known = torch.tensor(self.species, device=numbers.device)
        equal = numbers.unsqueeze(-1) == known
        if not bool(equal.any(-1).all()):
            unknown = sorted(set(numbers.tolist()) - set(self.species))
            way_out = f"The descriptor was made for {list(self.species)}."
            condition = "be among the descriptor's species"
            raise InputError(error_message("numbers", condition, unknown, way_out))
        return equal.to(torch.int64).argmax(-1)

    def _tensor_spectrum(self, positions: Tensor, neighbors: NeighborVectors) -> Tensor:
        """Return the features by tensor operations."""
        vectors = _pad_beyond_cutoff(neighbors.vectors(positions) / self.cutoff, neighbors.mask)
        own = self._center_expansion(neighbors.species_index).to(vectors)
        if neighbors.fixed_environment is not None:
            rows = neighbors.fixed_environment.fixed_index(len(own))
            there = neighbors.fixed_environment.expansion.to(vectors)[rows]
            own = torch.where((rows < 0).view(-1, 1, 1), own, there)
        return self.power_spectrum(
            vectors, neighbors.species_index[neighbors.neighbor], neighbors.species_index, own
        )

    def _numba_spectrum(
        self,
        V: Tensor,
        neighbor_species: Tensor,
        neighbors: NeighborVectors,
        *,
        mix_species: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return P, C and lengths as `compiled.spectrum` does."""
        own, M, N, A = self._numba_constants(V.dtype)
        if neighbors.fixed_environment is None:
            rows = torch.full_like(neighbors.species_index, -1)
            there = V.new_empty(0, len(own) * len(A), (self.l_max + 1) ** 2)
            alone = V.new_empty(0, self.n_features)
        else:
            rows = neighbors.fixed_environment.fixed_index(len(V))
            there, alone = (
                neighbors.fixed_environment.expansion,
                neighbors.fixed_environment.features,
            )
        found = power_spectrum_numba.power_spectrum(
            V.contiguous().numpy(),
            neighbor_species.contiguous().numpy(),
            neighbors.species_index.contiguous().numpy(),
            rows.numpy(),
            there.numpy(),
            alone.numpy(),
            M,
            own,
            N,
            A if mix_species else np.eye(len(A), dtype=A.dtype),
        )
        P, C, length = (torch.from_numpy(array) for array in found)
        return P, C, length

    def _expand(
        self, R: Tensor, Y: Tensor, neighbor_species: Tensor, initial_expansion: Tensor
    ) -> Tensor:
        """Return C `[n, s, m]` from R `[radial, n k]`, Y `[m, n k]`."""
        n, k = neighbor_species.shape
        size = len(self.species)
        C = (
            self._split_by_species(R, neighbor_species) @ Y.view(-1, n, k).permute(1, 2, 0)
            + initial_expansion
        )
        return (self._species_mixing.to(C) @ C.view(n, size, -1)).view_as(C)

    def _center_expansion(self, species_index: Tensor) -> Tensor:
        """Return what the atoms themselves add, `[n, s, m]`."""
        origin = self._center_coefficients.to(species_index.device)
        hot = torch.nn.functional.one_hot(species_index, len(self.species)).to(origin)
        own = (hot.unsqueeze(-1) * origin).flatten(1).unsqueeze(-1)  # [n, s, 1]
        return torch.nn.functional.pad(own, (0, (self.l_max + 1) ** 2 - 1))

    def _split_by_species(self, R: Tensor, neighbor_species: Tensor) -> Tensor:
        """Return R `[radial, n k]` as `[n, s, k]`, zero for other species."""
        R = R.view(self.n_max, *neighbor_species.shape).transpose(0, 1)  # [n, radial, k]
        size = len(self.species)
        if size == 1:
            return R
        hot = torch.nn.functional.one_hot(neighbor_species, size).to(R)  # [n, k, species]
        return (hot.permute(0, 2, 1).unsqueeze(2) * R.unsqueeze(1)).flatten(1, 2)

    def _unnormalized_spectrum(self, C: Tensor) -> Tensor:
        """Return the power spectrum `[n, f]`, not yet normalised."""
        n, s, _ = C.shape
        rows = self._weighted_by_degree(C)
        return self._pack_symmetric((rows @ C.transpose(-1, -2)).view(n, -1, s, s))

    def _weighted_by_degree(self, C: Tensor) -> Tensor:
        """Return C by degree, weighted, `[n, l s, m]`: one product serves all."""
        degrees = self._degree_weights.to(C).unsqueeze(1)  # [l, 1, m], zero for other degrees
        return (C.unsqueeze(1) * degrees).flatten(1, 2)

    def _spectrum_gradients(self, dC: Tensor, C: Tensor) -> Tensor:
        """Return dP `[p, 3, f]` from dC `[p, 3, s, m]` and C `[p, s, m]`."""
        grams = []
        pieces = zip(dC.split(self._n_orders, -1), C.split(self._n_orders, -1), strict=True)
        for ell, (d, c) in enumerate(pieces):
            product = d.flatten(1, 2) @ c.transpose(-1, -2) / (2 * ell + 1)
            grams.append(product.view(len(C), 3, C.shape[1], C.shape[1]))
        block = torch.stack(grams, 2)  # [p, 3, l, s, s]
        return self._pack_symmetric(block + block.transpose(-1, -2))

    def _pack_symmetric(self, grams: Tensor) -> Tensor:
        """Keep one of the equal halves of symmetric `[..., l, s, s]`, same norm."""
        where, weight = self._packing_indices
        where, weight = where.to(grams.device), weight.to(grams)
        return grams.flatten(-3).index_select(-1, where) * weight

    @cached_property
    def _packing_indices(self) -> tuple[Tensor, Tensor]:
        s = len(self.species) * self.n_max
        row, column = torch.triu_indices(s, s)
        ell = torch.arange(self.l_max + 1).unsqueeze(-1)
        weight = torch.full(row.shape, math.sqrt(2), dtype=torch.float64)
        weight[row == column] = 1
        return (ell * s * s + row * s + column).flatten(), weight.repeat(len(ell))

    @cached_property
    def _degree_weights(self) -> Tensor:
        """1 / (2 l + 1) where a harmonic is of degree l, `[l, m]`."""
        kinds = torch.arange(self.l_max + 1).repeat_interleave(torch.tensor(self._n_orders))
        same = kinds == torch.arange(self.l_max + 1).unsqueeze(-1)
        return same.double() / (2 * kinds + 1)

    @property
    def _n_orders(self) -> list[int]:
        return [2 * ell + 1 for ell in range(self.l_max + 1)]

    @cached_property
    def _species_mixing(self) -> Tensor:
        """A, `[species, species]`: the root of (1 - alchemy) 1 + alchemy 11^T."""
        size = len(self.species)
        apart = math.sqrt(1 - self.species_similarity)
        common = (math.sqrt(1 + (size - 1) * self.species_similarity) - apart) / size
        whole = torch.full((size, size), common, dtype=torch.float64)
        return whole + apart * torch.eye(size, dtype=torch.float64)

    @cached_property
    def _radial_basis(self) -> RadialBasis:
        return RadialBasis(1.0, self.n_max)

    @cached_property
    def _spherical_harmonics(self) -> SphericalHarmonics:
        return SphericalHarmonics(self.l_max)

    @cached_property
    def _center_coefficients(self) -> Tensor:
        """What the atom itself adds to the l = 0 coefficients, `[radial]`."""
        value = self._radial_basis(torch.zeros(1, dtype=torch.float64)).squeeze(-1)
        length = float(torch.linalg.vector_norm(value))
        return value * (self.center_atom_weight / length / math.sqrt(4 * math.pi))

    def _numba_constants(self, dtype: torch.dtype) -> tuple[NDArray[Any], ...]:
        """Return what the compiled loops need: own part, radial map, norms, A."""
        kind = np.dtype(str(dtype).removeprefix("torch."))
        return tuple(array.astype(kind, copy=False) for array in self._constant_arrays)

    @cached_property
    def _constant_arrays(self) -> tuple[NDArray[Any], ...]:
        radial = np.ascontiguousarray(self._radial_basis.orthonormalization.numpy())
        norms = basis_numba.harmonic_norms(self.l_max)
        return (self._center_coefficients.numpy(), radial, norms, self._species_mixing.numpy())


@final
class _PowerSpectrumFunction(torch.autograd.Function):
    """`SOAP.spectrum` of positions and its slope, compiled; and the lengths.

    Slopes with fixed atoms leave out what belongs to the base.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's
        positions: Tensor,
        soap: SOAP,
        near: NeighborVectors,
    ) -> tuple[Tensor, Tensor]:
        V = (near.vectors(positions.detach()) / soap.cutoff).contiguous()
        kind = near.neighbor_species.contiguous()
        P, C, length = soap._numba_spectrum(V, kind, near)
        ctx.soap, ctx.near = soap, near
        ctx.save_for_backward(positions, V, kind, P, C, length)
        ctx.mark_non_differentiable(length)
        return P, length

    @staticmethod
    def backward(ctx: Any, g: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        positions, V, kind, P, C, length = ctx.saved_tensors
        soap: SOAP = ctx.soap
        near: NeighborVectors = ctx.near
        if torch.is_grad_enabled():  # someone wants to differentiate this again
            again = soap._tensor_spectrum(positions, near)
            (twice,) = torch.autograd.grad(again, positions, g, create_graph=True)
            return twice, None, None
        M, N, A = soap._numba_constants(V.dtype)[1:]
        found = power_spectrum_numba.power_spectrum_vjp(
            g.contiguous().numpy(),
            V.numpy(),
            kind.numpy(),
            near.neighbor.contiguous().numpy(),
            M,
            N,
            A,
            P.numpy(),
            C.numpy(),
            length.numpy(),
        )
        return torch.from_numpy(found) / soap.cutoff, None, None


def _pad_beyond_cutoff(vectors: Tensor, mask: Tensor) -> Tensor:
    """Return vectors in cut-offs, those of no neighbor far away."""
    beyond = vectors.new_tensor([2.0, 0.0, 0.0])
    return torch.where(mask.unsqueeze(-1), vectors, beyond)


def _distances_and_directions(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances `[n k]` and unit vectors `[3, n k]`."""
    flat = vectors.flatten(0, 1)
    r = torch.linalg.vector_norm(flat, dim=-1)
    return r, (flat / r.unsqueeze(-1)).T.contiguous()
