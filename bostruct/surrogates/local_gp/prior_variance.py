"""Prior variances of energies and forces, in units of the signal variance.

Notation
    a, n   atoms of one structure, of a batch of b
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
from bostruct.surrogates.local_gp.kernel import between


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


def forces(
    slopes: Slopes, place: Tensor, counts: Tensor, power: int, some: Tensor
) -> Tensor:
    """Return the prior variances `[k, 3]` 1/Å² of the forces on k of the atoms.

    Args:
        slopes: features of all n atoms, and how they change.
        place: `[n]` species.
        counts: `[b]` atoms of each structure.
        power: exponent of the kernel.
        some: `[n]`, True for the k atoms.
    """
    found = []
    ends = counts.cumsum(0)
    bounds = torch.searchsorted(slopes.center, torch.cat((ends - counts, ends[-1:])))
    for k, (start, end) in enumerate(zip(ends - counts, ends, strict=True)):
        pairs = slice(int(bounds[k]), int(bounds[k + 1]))
        chosen = some[start:end].nonzero().squeeze(-1)
        if len(chosen):
            one = Slopes(
                slopes.features[start:end],
                slopes.center[pairs] - start,
                slopes.other[pairs] - start,
                slopes.slopes[pairs],
            )
            found.append(_forces(one, place[start:end], power, chosen))
    return torch.cat(found) if found else slopes.slopes.new_zeros(0, 3)


def _forces(slopes: Slopes, place: Tensor, z: int, chosen: Tensor) -> Tensor:
    """Return the prior variances `[k, 3]` of the forces on chosen atoms `[k]`."""
    P = slopes.features
    a, k = P.shape[0], len(chosen)
    column = chosen.new_full((a,), -1)
    column[chosen] = torch.arange(k, device=chosen.device)
    g = P.new_zeros(a, k, 3, P.shape[-1])
    for atoms, sign in ((slopes.other, 1.0), (slopes.center, -1.0)):
        near = column[atoms] >= 0
        where = (slopes.center[near], column[atoms[near]])
        g.index_put_(where, sign * slopes.slopes[near], accumulate=True)
    g = g.permute(1, 2, 0, 3).flatten(0, 1)  # [3 k, a, f]
    same = (place.unsqueeze(-1) == place).to(P)
    D = P @ P.T
    ahead = g @ P.T  # [3 k, i, j] = g_i . P_j
    bent = z * (z - 1) * D ** max(z - 2, 0) * same
    prior = (bent * ahead * ahead.transpose(-1, -2)).sum((-1, -2))
    prior += ((g @ g.transpose(-1, -2)) * (z * D ** (z - 1) * same)).sum((-1, -2))
    return prior.view(k, 3)


def padded(P: Tensor, place: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return features `[b, a, f]` and species `[b, a]`; missing atoms are zeros."""
    sizes = counts.tolist()
    if len(set(sizes)) == 1:
        return P.view(len(sizes), sizes[0], -1), place.view(len(sizes), -1)
    rows = torch.nn.utils.rnn.pad_sequence(list(P.split(sizes)), batch_first=True)
    kinds = torch.nn.utils.rnn.pad_sequence(
        list(place.split(sizes)), batch_first=True, padding_value=-1
    )
    return rows, kinds
