"""Exact covariances of a few energies and force components, without inducing environments.

Notation
    b, a     structures, atoms of the largest one; smaller ones are padded
    k        force components of a structure; fewer are padded
    P        [b, a, f]      1     features of the environments, D_ij = P_i . P_j
    G        [b, k, a, f]   1/Å   minus the derivatives dP/dx with respect to coordinates x
    g                       1     kernel of the dot product, between environments of one species

    energies           sum_ij g(D_ij)
    energy and force   sum_ij g'(D_ij) P_i . G_j
    forces             sum_ij g''(D_ij) (G_i . P_j) (P_i . G_j) + g'(D_ij) G_i . G_j

In units of the signal variance. What a few inducing environments express is smoother than the
kernel, so that kernels and descriptors are compared without them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.descriptors import SOAP, DescriptorGradients
from bostruct.surrogates.local_gp.dot_product_kernel import DotProductKernel
from bostruct.surrogates.local_gp.energy_terms import EnergyTerms, Pairs
from bostruct.surrogates.local_gp.marginal_likelihood import Rows, RowStatistics
from bostruct.surrogates.local_gp.prior_variance import pad_atoms
from bostruct.surrogates.training_data import Observations

JITTER = 0.1  # root of the rounding error, in mean variances: alike structures
MIN_VARIANCE = 1e-12  # of forces on atoms out of each other's reach


@final
@dataclass(frozen=True, eq=False)
class ForceRows:
    """Force components of a batch of structures, some of each.

    Attributes:
        atom: `[r]`, atom of each component in the batch, in ascending order.
        axis: `[r]`, its Cartesian axis, 0 to 2.
    """

    atom: Tensor
    axis: Tensor

    @classmethod
    def draw(cls, data: Observations, max_count: int) -> ForceRows:
        """Return at most `max_count` known force components, alike many of each structure.

        Drawn by a generator of fixed seed.
        """
        generator = torch.Generator().manual_seed(0)
        per_structure = max_count // len(data.structures)
        rows = []
        start = 0
        for forces in data.forces.split(data.structures.counts.tolist()):
            known = forces.isfinite().flatten().nonzero().squeeze(-1).cpu()
            order = torch.randperm(len(known), generator=generator)[:per_structure]
            rows.append(known[order].sort().values + 3 * start)
            start += len(forces)
        row = torch.cat(rows).to(data.forces.device)
        return cls(torch.div(row, 3, rounding_mode="floor"), row % 3)

    def term_features(
        self, terms: EnergyTerms, soap: SOAP, data: Observations, pairs: Pairs | None = None
    ) -> Tensor:
        """Return the features `[b + r, t]` of all terms, of the energies and then of the forces.

        Args:
            terms: Terms of the energy beside the environments.
            soap: The descriptor.
            data: The b structures.
            pairs: Pairs of their atoms within the range of the terms; optional.
        """
        structures, like = data.structures, data.energy
        species_index = soap.species_index(structures.numbers)
        none = like.new_zeros(len(structures), 0), like.new_zeros(len(species_index), 3, 0)
        with torch.no_grad():
            pairs = pairs or terms.pairs(structures)
            arguments = structures, species_index, structures.index
            energies = terms.append_features(none[0], *arguments, pairs=pairs)
            forces = terms.append_force_features(none[1], structures, species_index, pairs)
        return torch.cat((energies, forces[self.atom, self.axis]))

    def statistics(self, F: Tensor, data: Observations) -> Rows:
        """Return the sufficient statistics of all energies and of these forces.

        Args:
            F: `[b + r, m]`, features of the energies, then of the forces.
            data: The b structures.
        """
        b, empty = len(data.structures), RowStatistics.empty(F.shape[1], F)
        factor = data.noise_factor.square()
        energies = empty.add_rows(F[:b], data.energy, factor * data.structures.counts)
        if not len(self.atom):
            return Rows(energies, empty)
        noise = factor[data.structures.index[self.atom]]
        forces = data.forces[self.atom, self.axis]
        return Rows(energies, empty.add_rows(F[b:], forces, noise))


@final
@dataclass(frozen=True, eq=False)
class ExactRows:
    """Energies and force components of a few structures, and the features they depend on.

    Attributes:
        features: P, `[b, a, f]`.
        species_index: Species of each atom, `[b, a]`; -1 pads.
        gradients: G, `[b, k, a, f]` 1/Å; zeros pad.
        projections: G . P, `[b, k, a, b, a]` 1/Å.
        is_row: `[b, k]`, False for padded components.
    """

    features: Tensor
    species_index: Tensor
    gradients: Tensor
    projections: Tensor
    is_row: Tensor

    @classmethod
    def compute(cls, soap: SOAP, data: Observations, rows: ForceRows) -> ExactRows:
        """Return the rows of all energies and of some force components."""
        structures, b = data.structures, len(data.structures)
        structure = structures.index[rows.atom]  # [r]
        counts = torch.bincount(structure, minlength=b)
        starts = counts.cumsum(0) - counts
        slot = torch.arange(len(structure), device=structure.device) - starts[structure]
        a, k = int(structures.counts.max()), int(counts.max())
        features = []
        G: Tensor | None = None
        first = structures.counts.cumsum(0) - structures.counts
        local = torch.arange(len(structures.numbers), device=structure.device)
        local = local - first[structures.index]
        start = 0
        for chunk in data.chunks():
            gradients = soap.gradients(chunk.structures)
            features.append(gradients.features)
            if G is None:
                G = gradients.features.new_zeros(b * k, a, soap.n_features)
            stop = start + len(gradients.features)
            mine = (rows.atom >= start) & (rows.atom < stop)
            atom, axis = rows.atom[mine] - start, rows.axis[mine]
            _add_gradients(G, gradients, atom, axis, (structure * k + slot)[mine], local[start:])
            start = stop
        assert G is not None
        P, species_index = pad_atoms(
            torch.cat(features), soap.species_index(structures.numbers), structures.counts
        )
        is_row = torch.arange(k, device=counts.device) < counts.unsqueeze(-1)
        G = G.view(b, k, a, soap.n_features)
        projections = G @ P.flatten(0, 1).T
        return cls(P, species_index, G, projections.unflatten(-1, (b, a)), is_row)

    def covariance(self, kernel: DotProductKernel) -> Tensor:
        """Return the covariances `[b + r, b + r]` of the energies, then of the forces."""
        P, L, G = self.features, self.projections, self.gradients
        b, k, a, f = G.shape
        flat, species = P.flatten(0, 1), self.species_index.flatten()
        same = ((species.unsqueeze(-1) == species) & (species >= 0)).to(P)
        D = flat @ flat.T
        first = (kernel.derivative(D) * same).view(b, a, b, a)
        second = (kernel.second_derivative(D) * same).view(b, a, b, a)
        energies = (kernel.value(D) * same).view(b, a, b, a).sum((1, 3))
        mixed = torch.einsum("aibj,akibj->bak", first, L).flatten(1)
        left = (second.unsqueeze(1) * L).permute(0, 3, 1, 2, 4).flatten(3)  # [b, b, k, a a]
        right = L.permute(3, 0, 4, 2, 1).flatten(2, 3)  # [b, b, a a, k]
        forces = (left @ right).permute(0, 2, 1, 3).contiguous()  # [b, k, b, k]
        rows = G.flatten(2)  # [b, k, a f]
        for B in range(b):
            H = first[:, :, B].flatten(0, 1) @ G[B].permute(1, 2, 0).flatten(1)  # [b a, f k]
            forces[:, :, B] += rows @ H.view(b, a * f, k)
        kept = self.is_row.flatten()
        mixed = mixed[:, kept]
        top = torch.cat((energies, mixed), 1)
        low = torch.cat((mixed.T, forces.view(b * k, b * k)[kept][:, kept]), 1)
        return torch.cat((top, low))

    def features_of(self, kernel: DotProductKernel) -> Tensor:
        """Return features `[b + r, b + r]` of all rows whose products are their covariance."""
        K = self.covariance(kernel)
        rounding = math.sqrt(torch.finfo(K.dtype).eps)
        b, variance = len(self.features), K.diagonal()
        for rows in (variance[:b], variance[b:]):  # energies and forces have units of their own
            if len(rows):
                rows.add_(JITTER * rounding * rows.mean().clamp(min=MIN_VARIANCE))
        F: Tensor = torch.linalg.cholesky(K)
        return F


def _add_gradients(
    G: Tensor,
    gradients: DescriptorGradients,
    atom: Tensor,
    axis: Tensor,
    row: Tensor,
    local_index: Tensor,
) -> None:
    """Add minus the derivatives of features with respect to coordinates to rows of G.

    Args:
        G: `[rows, a, f]`, changed in place.
        gradients: Features of n atoms and their gradients.
        atom: `[r]`, atom of each coordinate.
        axis: `[r]`, its axis.
        row: `[r]`, its row of G.
        local_index: `[n]` or longer, position of each atom in its structure.
    """
    for x in range(3):
        row_of_atom = atom.new_full((len(gradients.features),), -1)
        row_of_atom[atom[axis == x]] = row[axis == x]
        for moved, sign in ((gradients.neighbor, -1.0), (gradients.center, 1.0)):
            pairs = (row_of_atom[moved] >= 0).nonzero().squeeze(-1)
            where = (row_of_atom[moved[pairs]], local_index[gradients.center[pairs]])
            G.index_put_(where, sign * gradients.gradients[pairs, x], accumulate=True)
