"""The species of a problem and the lengths that belong to them."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces import Space
from bostruct.structures import Structures, covalent_radii


def species_radii(structures: Structures, space: Space | None) -> tuple[tuple[int, ...], Tensor]:
    """Return the species, sorted, and the radius of each in Å, `[species]`.

    Args:
        structures: what is trained on.
        space: adds its species and replaces covalent radii by its own; or None.
    """
    numbers = structures.numbers.cpu().unique()
    if space is not None:
        numbers = torch.cat((numbers, space.numbers.cpu())).unique()
    radii = covalent_radii(numbers).to(torch.float64)
    if space is not None:
        for k, number in enumerate(numbers.tolist()):
            own = space.atomic_radii.cpu()[space.numbers.cpu() == number]
            radii[k] = own[0] if len(own) else radii[k]
    return tuple(numbers.tolist()), radii
