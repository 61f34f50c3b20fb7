"""The chemical species of a problem and their radii."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces import Space
from bostruct.structures import Structures, covalent_radii
from bostruct.structures.problem_scale import ProblemScale


def species_radii(structures: Structures, space: Space | None) -> tuple[tuple[int, ...], Tensor]:
    """Return the species, sorted, and the radius of each in Å, `[species]`.

    Args:
        structures: The training data.
        space: Adds its species, and its radii replace the covalent ones; or None.
    """
    numbers = structures.numbers.cpu().unique()
    if space is not None:
        numbers = torch.cat((numbers, space.numbers.cpu())).unique()
    radii = covalent_radii(numbers).to(torch.float64)
    if space is not None:
        for k, number in enumerate(numbers.tolist()):
            atomic_radii = space.atomic_radii.cpu()[space.numbers.cpu() == number]
            radii[k] = atomic_radii[0] if len(atomic_radii) else radii[k]
    return tuple(numbers.tolist()), radii


def problem_scale(structures: Structures, space: Space | None) -> ProblemScale:
    """Return the scale of a problem from its training data.

    Args:
        structures: The training data.
        space: Space whose radii replace the covalent ones; or None.
    """
    species, radii = species_radii(structures, space)
    numbers = torch.tensor(species, device=structures.device)
    index = torch.searchsorted(numbers, structures.numbers)
    return ProblemScale.from_structures(structures, radii.to(structures.positions)[index])
