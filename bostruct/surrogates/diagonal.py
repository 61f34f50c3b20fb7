"""Prior variances of energies and forces, in units of the signal variance.

Notation
    a, n   atoms of one structure, of a batch
    P      [n, f]     1      features of the environments, D_ij = P_i . P_j
    g      [x, a, f]  1/Å    slopes dP/dx of them with one coordinate x

Of an energy the variance is the sum of k(P_i, P_j) over its pairs of atoms; of a force
it is the second derivative of that,
    sum_ij z (z - 1) D^(z-2) (g_i . P_j)(P_i . g_j) + z D^(z-1) g_i . g_j
with the exponent z of the kernel, over pairs of one species.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.descriptors import Slopes
from bostruct.surrogates.kernel import between


def energies(P: Tensor, place: Tensor, counts: Tensor, power: int) -> Tensor:
    """Return the prior variances `[b]` of b energies.

    Args:
        P: `[n, f]` features of all atoms.
        place: `[n]` species.
        counts: `[b]` atoms of each structure.
        power: exponent of the kernel.
    """
    rows, kinds = padded(P, place, counts)
    return between(rows.unsqueeze(1), kinds.unsqueeze(1), power).flatten()


def forces(slopes: Slopes, place: Tensor, power: int) -> Tensor:
    """Return the prior variances `[3 a]` 1/Å² of the forces on one structure.

    Args:
        slopes: features of its atoms, and how they change.
        place: `[a]` species.
        power: exponent of the kernel.
    """
    P, z = slopes.features, power
    a = P.shape[0]
    g = slopes.slopes.new_zeros(a, a, 3, P.shape[-1])
    pair = (slopes.center, slopes.other)
    g.index_put_(pair, slopes.slopes, accumulate=True)
    own = (slopes.center, slopes.center)
    g.index_put_(own, -slopes.slopes, accumulate=True)
    g = g.permute(1, 2, 0, 3).flatten(0, 1)  # [3 a, a, f]
    same = (place.unsqueeze(-1) == place).to(P)
    D = P @ P.T
    ahead = g @ P.T  # [3 a, i, j] = g_i . P_j
    bent = z * (z - 1) * D ** max(z - 2, 0) * same
    prior = (bent * ahead * ahead.transpose(-1, -2)).sum((-1, -2))
    prior += ((g @ g.transpose(-1, -2)) * (z * D ** (z - 1) * same)).sum((-1, -2))
    return prior


def padded(P: Tensor, place: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return features `[b, a, f]` and species `[b, a]`; missing atoms are zeros."""
    sizes = counts.tolist()
    rows = torch.nn.utils.rnn.pad_sequence(list(P.split(sizes)), batch_first=True)
    kinds = torch.nn.utils.rnn.pad_sequence(
        list(place.split(sizes)), batch_first=True, padding_value=-1
    )
    return rows, kinds
