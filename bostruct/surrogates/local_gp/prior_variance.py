"""Prior variances of energies and forces, in units of the signal variance.

Notation
    a, n   atoms of one structure, of a batch of b
    P      [n, f]     1      features of the environments, D_ij = P_i . P_j
    g      [x, a, f]  1/Å    derivatives dP/dx with respect to one coordinate x

The variance of an energy is the sum of k(D_ij) over its pairs of atoms; that of a force is its
second derivative,
    sum_ij k''(D) (g_i . P_j)(P_i . g_j) + k'(D) g_i . g_j
with the derivatives of the kernel by the dot product, over pairs of one species.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from bostruct.descriptors import DescriptorGradients
from bostruct.surrogates.local_gp.dot_product_kernel import DotProductKernel
from bostruct.surrogates.local_gp.kernel import energy_kernel


def energy_variances(
    P: Tensor, species_index: Tensor, counts: Tensor, kernel: DotProductKernel
) -> Tensor:
    """Return the prior variances `[b]` of b energies.

    Args:
        P: `[n, f]`, features of all atoms.
        species_index: `[n]`, species of all atoms.
        counts: `[b]`, number of atoms of each structure.
        kernel: Kernel of the dot product.
    """
    P, species_index = pad_atoms(P, species_index, counts)
    return energy_kernel(P.unsqueeze(1), species_index.unsqueeze(1), kernel).flatten()


def force_variances(
    gradients: DescriptorGradients,
    species_index: Tensor,
    counts: Tensor,
    kernel: DotProductKernel,
    atom_mask: Tensor,
) -> Tensor:
    """Return the prior variances `[k, 3]` 1/Å² of the forces on k of the atoms.

    Args:
        gradients: Features of all n atoms and their gradients.
        species_index: `[n]`, species of all atoms.
        counts: `[b]`, number of atoms of each structure.
        kernel: Kernel of the dot product.
        atom_mask: `[n]`, True for the k atoms.
    """
    variances = []
    ends = counts.cumsum(0)
    bounds = torch.searchsorted(gradients.center, torch.cat((ends - counts, ends[-1:])))
    for k, (start, end) in enumerate(zip(ends - counts, ends, strict=True)):
        pairs = slice(int(bounds[k]), int(bounds[k + 1]))
        atoms = atom_mask[start:end].nonzero().squeeze(-1)
        if len(atoms):
            one = DescriptorGradients(
                gradients.features[start:end],
                gradients.center[pairs] - start,
                gradients.neighbor[pairs] - start,
                gradients.gradients[pairs],
                gradients.vectors[pairs],
            )
            variances.append(
                _structure_force_variances(one, species_index[start:end], kernel, atoms)
            )
    return torch.cat(variances) if variances else gradients.gradients.new_zeros(0, 3)


def _structure_force_variances(
    gradients: DescriptorGradients,
    species_index: Tensor,
    kernel: DotProductKernel,
    selected_atoms: Tensor,
) -> Tensor:
    """Return the prior variances `[k, 3]` of the forces on selected atoms `[k]`."""
    P = gradients.features
    a, k = P.shape[0], len(selected_atoms)
    column = selected_atoms.new_full((a,), -1)
    column[selected_atoms] = torch.arange(k, device=selected_atoms.device)
    g = P.new_zeros(a, k, 3, P.shape[-1])
    for atoms, sign in ((gradients.neighbor, 1.0), (gradients.center, -1.0)):
        selected = column[atoms] >= 0
        rows = (gradients.center[selected], column[atoms[selected]])
        g.index_put_(rows, sign * gradients.gradients[selected], accumulate=True)
    g = g.permute(1, 2, 0, 3).flatten(0, 1)  # [3 k, a, f]
    return _derivative_variances(P, g, species_index, kernel).view(k, 3)


def strain_variances(
    P: Tensor, by_strain: Tensor, species_index: Tensor, counts: Tensor, kernel: DotProductKernel
) -> Tensor:
    """Return the prior variances `[b, 6]` of the derivatives of b energies by the strain.

    Args:
        P: `[n, f]`, features of all atoms.
        by_strain: `[n, 6, f]`, their derivatives.
        species_index: `[n]`, species of all atoms.
        counts: `[b]`, number of atoms of each structure.
        kernel: Kernel of the dot product.
    """
    parts = (x.split(counts.tolist()) for x in (P, by_strain, species_index))
    variances = [
        _derivative_variances(P, g.transpose(0, 1), species, kernel)
        for P, g, species in zip(*parts, strict=True)
    ]
    return torch.stack(variances)


def _derivative_variances(
    P: Tensor, g: Tensor, species_index: Tensor, kernel: DotProductKernel
) -> Tensor:
    """Return the prior variances `[r]` of derivatives of one energy.

    Args:
        P: `[a, f]`, features of its atoms.
        g: `[r, a, f]`, their derivatives.
        species_index: `[a]`, species of the atoms.
        kernel: Kernel of the dot product.
    """
    same = (species_index.unsqueeze(-1) == species_index).to(P)
    D = P @ P.T
    gP = g @ P.T  # [r, i, j] = g_i . P_j
    second = kernel.second_derivative(D) * same
    prior = (second * gP * gP.transpose(-1, -2)).sum((-1, -2))
    return prior + ((g @ g.transpose(-1, -2)) * (kernel.derivative(D) * same)).sum((-1, -2))


def pad_atoms(P: Tensor, species_index: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return features `[b, a, f]` and species `[b, a]`, padded with zeros and -1."""
    sizes = counts.tolist()
    if len(set(sizes)) == 1:
        return P.view(len(sizes), sizes[0], -1), species_index.view(len(sizes), -1)
    pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
    return pad(list(P.split(sizes))), pad(list(species_index.split(sizes)), padding_value=-1)
