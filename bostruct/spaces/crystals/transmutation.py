"""Transmutation: atoms of a crystal become atoms of another element.

As in evolutionary searches of variable composition: Lyakhov, Oganov, Stokes, Zhu, Comput. Phys.
Commun. 184, 1172 (2013), doi:10.1016/j.cpc.2012.12.009. The cell takes the volume that is expected
of the new composition.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.random_tensors import uniform


def transmute(
    F: Tensor, H: Tensor, numbers: Tensor, target: Tensor, scale: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return crystals of another composition, made of random atoms of those given.

    Args:
        F: `[n, a, 3]` fractional coordinates.
        H: `[n, 3, 3]` Å, cells.
        numbers: `[a]` atomic numbers.
        target: `[a]` atomic numbers of the crystals to return, in their order.
        scale: factor on the lengths of the cell.
        generator: random number generator.

    Returns:
        fractional coordinates in the order of `target`, and cells.
    """
    n, a = F.shape[:2]
    numbers, target = numbers.cpu(), target.cpu()
    species = torch.cat((numbers, target)).unique().tolist()
    rank = uniform((n, a), generator).cpu()
    taken = torch.zeros(n, a, dtype=torch.bool)
    order = torch.zeros(n, a, dtype=torch.int64)
    open_slots = []
    for z in species:  # atoms stay what they are, as far as the new formula has room for them
        atoms, slots = (numbers == z).nonzero()[:, 0], (target == z).nonzero()[:, 0]
        kept = min(len(atoms), len(slots))
        chosen = atoms[rank[:, atoms].argsort(-1)[:, :kept]].sort(-1).values  # [n, kept]
        order[:, slots[:kept]] = chosen
        taken.scatter_(1, chosen, torch.ones_like(chosen, dtype=torch.bool))
        open_slots += slots[kept:].tolist()
    left = (rank + 2.0 * taken).argsort(-1)[:, : len(open_slots)]
    order[:, open_slots] = left
    index = order.to(F.device).unsqueeze(-1).expand_as(F)
    return F.gather(1, index), scale * H
