"""SOAP: local power spectrum of smoothly truncated neighbor densities.

Notation
    n   atoms of all structures            k   neighbors, padded
    s   species x radial functions         m   spherical harmonics, (l_max + 1)^2
    f   features, (l_max + 1) s (s + 1) / 2
    V   [n, k, 3]   Å   vectors from an atom to its neighbors
    C   [n, s, m]   1   expansion of the density around an atom
    P   [n, f]      1   power spectrum, of unit length

    C_i,snlm   = sum_j A_s,sj R_n(r_ij) Y_lm(r_ij / |r_ij|) + A_s,si c_n [l = 0]
    P_i,nn'l   = sum_m C_i,nlm C_i,n'lm / (2 l + 1),   P <- P / |P|

This is SOAP (Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), eqs. 28-33) with neighbors
that are points rather than Gaussians, and radial functions that are the same for every l. Distances
are taken in units of the cutoff, so that the descriptor is the same for a structure and its
enlarged copy. The atom itself enters as in SOAP, as a constant along the functions' values at the
origin; `center_atom_weight` sets the ratio of its two-body and three-body parts. The factor 1 / (2
l + 1) damps angular detail. A is the root of the similarity of the species, 1 for a species with
itself and `species_similarity` for any two: De, Bartók, Csányi and Ceriotti, Phys. Chem. Chem.
Phys. 18, 13754 (2016), eq. 17. At 0 different species are orthogonal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from bostruct.descriptors.soap import basis_numba, power_spectrum_numba
from bostruct.descriptors.soap.descriptor_gradients import DescriptorGradients
from bostruct.descriptors.soap.neighbor_vectors import FixedEnvironment, NeighborVectors
from bostruct.descriptors.soap.power_spectra import Constants, PowerSpectra
from bostruct.descriptors.soap.radial_basis import RadialBasis
from bostruct.descriptors.soap.spherical_harmonics import SphericalHarmonics
from bostruct.errors import InputError, check_count, check_positive, error_message
from bostruct.structures import FixedAtoms, Structures, shared_fixed_atoms


@final
@dataclass(frozen=True)
class SOAP:
    """Smooth, normalised local power spectrum.

    Attributes:
        species: atomic numbers that may occur, each once.
        cutoff: cutoff radius, Å; the density and two derivatives vanish there.
        n_max: number of radial functions.
        l_max: largest degree l of the spherical harmonics.
        center_atom_weight: weight of the atom itself relative to its neighbors.
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
        """Return the features `[n, f]`, twice differentiable in the positions and the cell.

        Args:
            structures: batch with n atoms in total.
            fixed_environment: result of `fixed_environment` for these structures; optional.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        return self.features_and_changed(structures, fixed_environment)[0]

    def features_and_changed(
        self, structures: Structures, fixed_environment: FixedEnvironment | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the features `[n, f]`, and a mask `[n]` of those that moving atoms change.

        Args:
            structures: batch with n atoms in total.
            fixed_environment: result of `fixed_environment` for these structures; optional.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        species_index = self.species_index(structures.numbers)  # [n]
        neighbors = NeighborVectors.from_structures(
            structures, self.cutoff, species_index, fixed_environment
        )
        if structures.device.type != "cpu":
            P = self._tensor_spectrum(structures.positions, neighbors)
            return P, torch.ones_like(species_index, dtype=torch.bool)
        P, length = _PowerSpectrumFunction.apply(  # type: ignore[no-untyped-call]
            structures.positions, neighbors.offset, self, neighbors
        )
        return P, length != 0

    def power_spectra(
        self, structures: Structures, fixed_environment: FixedEnvironment | None = None
    ) -> PowerSpectra:
        """Return the features that moving atoms change, with their vector-Jacobian product.

        Args:
            structures: batch with n atoms in total, on the CPU.
            fixed_environment: result of `fixed_environment` for these structures; without it the
                features of all atoms are returned.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        species_index = self.species_index(structures.numbers)
        neighbors = NeighborVectors.from_structures(
            structures, self.cutoff, species_index, fixed_environment, changed_only=True
        )
        return self._power_spectra(structures.positions.detach(), neighbors)

    def _power_spectra(self, positions: Tensor, neighbors: NeighborVectors) -> PowerSpectra:
        V = (neighbors.vectors(positions).detach() / self.cutoff).contiguous()
        neighbor_species = neighbors.neighbor_species.contiguous()
        P, C, lengths = self._numba_spectrum(V, neighbor_species, neighbors)
        arrays = P, C, lengths, V, neighbor_species, neighbors
        return PowerSpectra(*arrays, self.cutoff, self._numba_constants(V.dtype))

    def fixed_environment(self, structures: Structures) -> FixedEnvironment | None:
        """Return the environment that shared fixed atoms form among themselves, cached.

        It saves most of the work for many structures on one slab. None where the structures share
        no fixed atoms.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        fixed_atoms = shared_fixed_atoms(structures)
        if fixed_atoms is None or structures.device.type != "cpu":
            return None
        cached: FixedEnvironment | None = vars(self).get("_last_fixed_environment")
        if cached is None or not cached.fixed_atoms.is_identical(fixed_atoms):
            cached = self._compute_fixed_environment(fixed_atoms)
            vars(self)["_last_fixed_environment"] = cached
        return cached

    def _compute_fixed_environment(self, fixed_atoms: FixedAtoms) -> FixedEnvironment:
        species_index = self.species_index(fixed_atoms.atoms.numbers)
        neighbors = NeighborVectors.from_structures(fixed_atoms.atoms, self.cutoff, species_index)
        V = neighbors.vectors(fixed_atoms.atoms.positions) / self.cutoff
        P, _, _ = self._numba_spectrum(V, neighbors.neighbor_species, neighbors)
        _, expansion, _ = self._numba_spectrum(
            V, neighbors.neighbor_species, neighbors, mix_species=False
        )
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
            vectors: `[n, k, 3]`, vectors to the neighbors in units of the cutoff.
            neighbor_species: `[n, k]`, species indices of the neighbors.
            species_index: `[n]`, species indices of the atoms.
            initial_expansion: `[n, s, m]`, expansion without these neighbors, before species are
                mixed; by default the contribution of the central atoms.
        """
        r, u = _distances_and_directions(vectors)
        if initial_expansion is None:
            initial_expansion = self._center_expansion(species_index)
        R, Y = self._radial_basis(r), self._spherical_harmonics(u)
        C = self._expand(R, Y, neighbor_species, initial_expansion)
        P = self._unnormalized_spectrum(C)
        length: Tensor = torch.linalg.vector_norm(P, dim=-1, keepdim=True)
        return P / length

    def gradients(self, structures: Structures) -> DescriptorGradients:
        """Return the features and their derivative for every pair.

        Raises:
            InputError: a species is not among those of the descriptor.
        """
        species_index = self.species_index(structures.numbers)
        neighbors = NeighborVectors.from_structures(structures, self.cutoff, species_index)
        vectors = neighbors.vectors(structures.positions) / self.cutoff
        if vectors.device.type == "cpu":
            return self._numba_gradients(neighbors, vectors)
        return self._tensor_gradients(neighbors, _pad_beyond_cutoff(vectors, neighbors.mask))

    def _tensor_gradients(self, neighbors: NeighborVectors, vectors: Tensor) -> DescriptorGradients:
        neighbor, mask = neighbors.neighbor, neighbors.mask
        neighbor_species = neighbors.species_index[neighbor]
        r, u = _distances_and_directions(vectors)
        R, dR = self._radial_basis.gradient(r)  # [radial, n k]
        Y, dY = self._spherical_harmonics.gradient(u)  # [m, n k], [3, m, n k]
        center_expansion = self._center_expansion(neighbors.species_index)
        C = self._expand(R, Y, neighbor_species, center_expansion)
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
        mixed = self._species_mixing.to(dC)[neighbor_species[center, column]]  # [p, species]
        dC = (mixed[:, None, :, None] * dC).view(*dC.shape[:2], *C.shape[1:])
        dP = self._spectrum_gradients(dC / self.cutoff, C[center])
        along = (dP @ P[center].unsqueeze(-1)).squeeze(-1)  # [p, 3]
        dP = (dP - along.unsqueeze(-1) * P[center].unsqueeze(1)) / length[center, None]
        V = vectors[center, column] * self.cutoff
        return DescriptorGradients(P, center, neighbor[center, column], dP, V)

    def _numba_gradients(self, neighbors: NeighborVectors, vectors: Tensor) -> DescriptorGradients:
        V = vectors.detach().contiguous()
        inside = neighbors.mask & ~(torch.linalg.vector_norm(V, dim=-1) >= 1)
        neighbor_species = torch.where(inside, neighbors.neighbor_species, -1)
        center, column = inside.nonzero(as_tuple=True)
        pair_row = inside.flatten().cumsum(0).view_as(inside) - 1
        P, C, length = self._numba_spectrum(V, neighbor_species, neighbors)
        _, M, N, A = self._numba_constants(V.dtype)
        dP = V.new_empty(len(center), 3, self.n_features)
        power_spectrum_numba.power_spectrum_jacobian(
            V.numpy(),
            neighbor_species.numpy(),
            pair_row.numpy(),
            1 / self.cutoff,
            M,
            N,
            A,
            P.numpy(),
            C.numpy(),
            length.numpy(),
            dP.numpy(),
        )
        V = V[center, column] * self.cutoff
        return DescriptorGradients(P, center, neighbors.neighbor[center, column], dP, V)

    def species_index(self, numbers: Tensor) -> Tensor:
        """Return the position of each atomic number in `species`, `[n]`.

        Raises:
            InputError: a number is not among them.
        """
        equal = numbers.unsqueeze(-1) == torch.tensor(self.species, device=numbers.device)
        if not bool(equal.any(-1).all()):
            unknown = sorted(set(numbers.tolist()) - set(self.species))
            hint = f"The descriptor was made for {list(self.species)}."
            condition = "be among the descriptor's species"
            raise InputError(error_message("numbers", condition, unknown, hint))
        return equal.to(torch.int64).argmax(-1)

    def _tensor_spectrum(self, positions: Tensor, neighbors: NeighborVectors) -> Tensor:
        """Return the features by tensor operations."""
        vectors = _pad_beyond_cutoff(neighbors.vectors(positions) / self.cutoff, neighbors.mask)
        species_index = neighbors.species_index
        expansion = self._center_expansion(species_index).to(vectors)
        if neighbors.fixed_environment is not None:
            fixed_index = neighbors.fixed_environment.fixed_index(len(expansion))
            fixed_expansion = neighbors.fixed_environment.expansion.to(vectors)[fixed_index]
            expansion = torch.where((fixed_index < 0).view(-1, 1, 1), expansion, fixed_expansion)
        neighbor_species = species_index[neighbors.neighbor]
        return self.power_spectrum(vectors, neighbor_species, species_index, expansion)

    def _numba_spectrum(
        self,
        V: Tensor,
        neighbor_species: Tensor,
        neighbors: NeighborVectors,
        *,
        mix_species: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return P, C and norms as `power_spectrum_numba.power_spectrum` does."""
        center_coefficients, M, N, A = self._numba_constants(V.dtype)
        environment = neighbors.fixed_environment
        if environment is None:
            expansion = V.new_empty(0, self.n_max * len(A), (self.l_max + 1) ** 2)
            features = V.new_empty(0, self.n_features)
        else:
            expansion, features = environment.expansion, environment.features
        arrays = power_spectrum_numba.power_spectrum(
            V.contiguous().numpy(),
            neighbor_species.contiguous().numpy(),
            neighbors.center_species.contiguous().numpy(),
            neighbors.center_fixed_index().numpy(),
            expansion.numpy(),
            features.numpy(),
            M,
            center_coefficients,
            N,
            A if mix_species else np.eye(len(A), dtype=A.dtype),
        )
        P, C, length = map(torch.from_numpy, arrays)
        return P, C, length

    def _expand(
        self, R: Tensor, Y: Tensor, neighbor_species: Tensor, initial_expansion: Tensor
    ) -> Tensor:
        """Return C `[n, s, m]` from R `[radial, n k]`, Y `[m, n k]`."""
        n, k = neighbor_species.shape
        Y = Y.view(-1, n, k).permute(1, 2, 0)
        C = self._split_by_species(R, neighbor_species) @ Y + initial_expansion
        return (self._species_mixing.to(C) @ C.view(n, len(self.species), -1)).view_as(C)

    def _center_expansion(self, species_index: Tensor) -> Tensor:
        """Return the contribution of the central atoms to C, `[n, s, m]`."""
        coefficients = self._center_coefficients.to(species_index.device)
        one_hot = torch.nn.functional.one_hot(species_index, len(self.species)).to(coefficients)
        C = (one_hot.unsqueeze(-1) * coefficients).flatten(1).unsqueeze(-1)  # [n, s, 1]
        return torch.nn.functional.pad(C, (0, (self.l_max + 1) ** 2 - 1))

    def _split_by_species(self, R: Tensor, neighbor_species: Tensor) -> Tensor:
        """Return R `[radial, n k]` as `[n, s, k]`, zero for other species."""
        R = R.view(self.n_max, *neighbor_species.shape).transpose(0, 1)  # [n, radial, k]
        if len(self.species) == 1:
            return R
        one_hot = torch.nn.functional.one_hot(neighbor_species, len(self.species)).to(R)
        return (one_hot.permute(0, 2, 1).unsqueeze(2) * R.unsqueeze(1)).flatten(1, 2)

    def _unnormalized_spectrum(self, C: Tensor) -> Tensor:
        """Return the power spectrum `[n, f]`, not yet normalised."""
        n, s, _ = C.shape
        weights = self._degree_weights.to(C).unsqueeze(1)  # [l, 1, m], zero for other degrees
        weighted = (C.unsqueeze(1) * weights).flatten(1, 2)  # [n, l s, m]: one product for all l
        return self._pack_symmetric((weighted @ C.transpose(-1, -2)).view(n, -1, s, s))

    def _spectrum_gradients(self, dC: Tensor, C: Tensor) -> Tensor:
        """Return dP `[p, 3, f]` from dC `[p, 3, s, m]` and C `[p, s, m]`."""
        grams = []
        degrees = zip(dC.split(self._n_orders, -1), C.split(self._n_orders, -1), strict=True)
        for ell, (dC_l, C_l) in enumerate(degrees):
            product = dC_l.flatten(1, 2) @ C_l.transpose(-1, -2) / (2 * ell + 1)
            grams.append(product.view(len(C), 3, C.shape[1], C.shape[1]))
        gram = torch.stack(grams, 2)  # [p, 3, l, s, s]
        return self._pack_symmetric(gram + gram.transpose(-1, -2))

    def _pack_symmetric(self, grams: Tensor) -> Tensor:
        """Return the upper triangles of symmetric `[..., l, s, s]`, scaled to the same norm."""
        index, weight = self._packing_indices
        return grams.flatten(-3).index_select(-1, index.to(grams.device)) * weight.to(grams)

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
        ell = torch.arange(self.l_max + 1)
        degrees = ell.repeat_interleave(2 * ell + 1)
        return (degrees == ell.unsqueeze(-1)).double() / (2 * degrees + 1)

    @property
    def _n_orders(self) -> list[int]:
        return [2 * ell + 1 for ell in range(self.l_max + 1)]

    @cached_property
    def _species_mixing(self) -> Tensor:
        """A, `[species, species]`: the root of (1 - similarity) 1 + similarity 11^T."""
        size = len(self.species)
        diagonal = math.sqrt(1 - self.species_similarity)
        common = (math.sqrt(1 + (size - 1) * self.species_similarity) - diagonal) / size
        constant = torch.full((size, size), common, dtype=torch.float64)
        return constant + diagonal * torch.eye(size, dtype=torch.float64)

    @cached_property
    def _radial_basis(self) -> RadialBasis:
        return RadialBasis(1.0, self.n_max)

    @cached_property
    def _spherical_harmonics(self) -> SphericalHarmonics:
        return SphericalHarmonics(self.l_max)

    @cached_property
    def _center_coefficients(self) -> Tensor:
        """Contribution of the central atom to the l = 0 coefficients, `[radial]`."""
        origin = self._radial_basis(torch.zeros(1, dtype=torch.float64)).squeeze(-1)
        norm = float(torch.linalg.vector_norm(origin))
        return origin * (self.center_atom_weight / norm / math.sqrt(4 * math.pi))

    def _numba_constants(self, dtype: torch.dtype) -> Constants:
        """Return the center coefficients, radial matrix, harmonic norms and A of the loops."""
        numpy_dtype = np.dtype(str(dtype).removeprefix("torch."))
        c, M, N, A = (array.astype(numpy_dtype, copy=False) for array in self._constant_arrays)
        return c, M, N, A

    @cached_property
    def _constant_arrays(self) -> Constants:
        return (
            self._center_coefficients.numpy(),
            np.ascontiguousarray(self._radial_basis.orthonormalization.numpy()),
            basis_numba.harmonic_norms(self.l_max),
            self._species_mixing.numpy(),
        )


@final
class _PowerSpectrumFunction(torch.autograd.Function):
    """Compiled power spectrum of positions and lattice translations, with its gradient; and norms.

    Gradients with a fixed environment lack the contributions of pairs of fixed atoms.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's
        positions: Tensor,
        offset: Tensor | None,
        soap: SOAP,
        neighbors: NeighborVectors,
    ) -> tuple[Tensor, Tensor]:
        del offset  # known to the neighbors
        spectra = soap._power_spectra(positions.detach(), neighbors)
        P, length = spectra.features, spectra.lengths
        ctx.soap, ctx.neighbors = soap, neighbors
        arrays = spectra.vectors, spectra.neighbor_species, P, spectra.expansion, length
        ctx.save_for_backward(positions, *arrays)
        ctx.mark_non_differentiable(length)
        return P, length

    @staticmethod
    def backward(ctx: Any, g: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        positions, V, neighbor_species, P, C, length = ctx.saved_tensors
        soap: SOAP = ctx.soap
        neighbors: NeighborVectors = ctx.neighbors
        follows_cell = ctx.needs_input_grad[1]
        if torch.is_grad_enabled():  # for second derivatives
            P = soap._tensor_spectrum(positions, neighbors)
            inputs = [positions]
            if follows_cell and neighbors.offset is not None:
                inputs.append(neighbors.offset)
            both = torch.autograd.grad(P, inputs, g, create_graph=True)
            return both[0], both[1] if follows_cell else None, None, None
        spectra = PowerSpectra(
            P,
            C,
            length,
            V,
            neighbor_species,
            neighbors,
            soap.cutoff,
            soap._numba_constants(V.dtype),
        )
        if follows_cell:
            return *spectra.gradients(g), None, None
        return spectra.vector_jacobian_product(g), None, None, None


def _pad_beyond_cutoff(vectors: Tensor, mask: Tensor) -> Tensor:
    """Return vectors in units of the cutoff, with padding moved beyond the cutoff."""
    beyond = vectors.new_tensor([2.0, 0.0, 0.0])
    return torch.where(mask.unsqueeze(-1), vectors, beyond)


def _distances_and_directions(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances `[n k]` and unit vectors `[3, n k]`."""
    flat = vectors.flatten(0, 1)
    r = torch.linalg.vector_norm(flat, dim=-1)
    return r, (flat / r.unsqueeze(-1)).T.contiguous()
