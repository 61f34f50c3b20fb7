"""Soft modes: displacements of a crystal that little resists, by a network of springs.

As the softmutation of evolutionary searches [LOV10], which moves atoms along the lowest modes of a
dynamical matrix of bonds: barriers are low along soft modes, and minima beyond them are low (Bell,
Evans and Polanyi). Here each pair of neighbors is a spring at rest, whose stiffness falls
exponentially with the distance as bond valences do [BA85]. A mode of stiffness λ enters with a
random amplitude over λ: the displacements are those that random forces on all atoms would make.

    [LOV10] Lyakhov, Oganov, Valle, Comput. Phys. Commun. 181, 1623 (2010),
            doi:10.1016/j.cpc.2010.06.007
    [BA85]  Brown, Altermatt, Acta Cryst. B 41, 244 (1985): exp(-r / 0.37 Å), a sixth of a bond

Notation
    K   [n, 3a, 3a]   1   second derivatives of the energy of the springs by the positions
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.random_tensors import log_uniform_between, normal
from bostruct.structures import Structures
from bostruct.structures.neighbor_lists.neighbor_list import build_neighbor_list

STIFFNESS_DECAY = 1 / 6
"""Distance over which the stiffness of a spring falls by e, in bond lengths."""

MAX_SPRING_LENGTH = 2.0
"""Longest spring, in bond lengths."""

MIN_STIFFNESS = 0.02
"""Stiffness added to all modes, in units of their mean, so that loose atoms do not move alone."""

SOFT_AMPLITUDE_RANGE = (0.1, 0.7)
"""Range of the root mean square displacement of an atom, in bond lengths, drawn log-uniformly."""


def spring_matrix(structures: Structures, bond_lengths: Tensor) -> Tensor:
    """Return the second derivatives K of the energies of springs, `[n, 3a, 3a]`.

    They are those of half the sum of k (r - r₀)² over pairs, images included, at r = r₀, with
    k = exp((1 - r₀ / bond length) / `STIFFNESS_DECAY`).

    Args:
        structures: n structures of a atoms each.
        bond_lengths: `[a, a]` Å, bond length of each pair.
    """
    n, a = len(structures), len(bond_lengths)
    lengths = bond_lengths.to(structures.positions)
    pairs = build_neighbor_list(structures, MAX_SPRING_LENGTH * float(lengths.max()))
    vectors = pairs.vectors(structures.positions, structures.cell)  # [p, 3]
    r = torch.linalg.vector_norm(vectors, dim=-1)
    i, j = pairs.center % a, pairs.neighbor % a
    relative = r / lengths[i, j]
    k = torch.exp((1 - relative) / STIFFNESS_DECAY) * (relative <= MAX_SPRING_LENGTH)
    along = vectors / r.unsqueeze(-1)
    blocks = k.reshape(-1, 1, 1) * along.unsqueeze(-1) * along.unsqueeze(-2)  # [p, 3, 3]
    K = r.new_zeros(n, a, a, 3, 3)
    row = pairs.structure_index
    # each pair is listed from both ends, and a displacement of the center stretches all its springs
    K.index_put_((row, i, i), blocks, accumulate=True)
    K.index_put_((row, i, j), -blocks, accumulate=True)
    matrices: Tensor = K.transpose(2, 3).reshape(n, 3 * a, 3 * a)
    return matrices


def softmutate(structures: Structures, bond_lengths: Tensor, generator: torch.Generator) -> Tensor:
    """Return random displacements of all atoms along soft modes, `[n, a, 3]` Å.

    Their root mean square is a random fraction of the mean bond length, their mean is zero.

    Args:
        structures: n structures of a atoms each.
        bond_lengths: `[a, a]` Å, bond length of each pair.
        generator: random number generator.
    """
    n, a = len(structures), len(bond_lengths)
    K = spring_matrix(structures, bond_lengths)
    mean = K.diagonal(dim1=-2, dim2=-1).mean(-1)
    mean = torch.where(mean > 0, mean, 1.0)  # atoms out of reach: forces displace them freely
    stiffness = K + MIN_STIFFNESS * torch.diag_embed(mean.unsqueeze(-1).expand(n, 3 * a))
    forces = normal((n, 3 * a, 1), generator).to(K)
    u = torch.linalg.solve(stiffness, forces).reshape(n, a, 3)
    u = u - u.mean(1, keepdim=True)
    amplitude = log_uniform_between(SOFT_AMPLITUDE_RANGE, (n, 1, 1), generator).to(u)
    size = u.square().sum(-1).mean(-1).sqrt().reshape(n, 1, 1)
    length = float(bond_lengths.mean())
    displacements: Tensor = amplitude * length * u / size.clamp(min=torch.finfo(u.dtype).tiny)
    return displacements
