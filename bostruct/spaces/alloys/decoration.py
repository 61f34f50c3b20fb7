"""Which element goes where, once it is known how many there are of each.

All ways are functions of the numbers and a seed alone: what is decoded twice is the
same structure.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.spaces.alloys.parent_lattice import (
    primitive_cell,
    suppress_spglib_warnings,
)

if TYPE_CHECKING:
    from ase import Atoms

REPULSION_CUTOFF = 2.2
"""In nearest distances: pairs further apart are not looked at when ordering."""

SQS_CUTOFF = 1.8
"""In nearest distances: the pairs whose correlations an SQS matches."""

N_SQS_STEPS = 2000
"""Trial swaps of the annealing of an SQS."""

DecorationMethod = Callable[["Atoms", tuple[int, ...], tuple[str, ...], int], Tensor]
"""From a supercell, the numbers of atoms of each element, the elements and a seed to
the element of each site, `[a]` int64."""


def require_icet(name: str, value: str) -> None:
    """Refuse what needs icet where it is not installed.

    Raises:
        InputError: it is not.
    """
    try:
        import icet  # noqa: F401
    except ImportError as error:
        condition = "be something that works without icet, which is not installed"
        way_out = "Run: pip install 'bostruct[alloys]'"
        raise InputError(error_message(name, condition, repr(value), way_out)) from error


def composition_generator(seed: int, counts: Sequence[int]) -> torch.Generator:
    """Return the generator of one composition, `counts` in order of the elements."""
    text = f"{seed}:{','.join(str(count) for count in counts)}"
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def random_decoration(
    supercell: Atoms, counts: tuple[int, ...], elements: tuple[str, ...], seed: int
) -> Tensor:
    """Return the elements in random order, `[a]`."""
    order = torch.randperm(len(supercell), generator=composition_generator(seed, counts))
    return repeat_elements(counts)[order]


def ordered_decoration(
    supercell: Atoms, counts: tuple[int, ...], elements: tuple[str, ...], seed: int
) -> Tensor:
    """Return an arrangement with like atoms far apart, `[a]`.

    From the random one, the exchange that most lowers Σ 1/d⁶ over like pairs is made
    until none does.
    """
    repulsion = _pair_repulsion_matrix(supercell)  # [a, a]
    kind = random_decoration(supercell, counts, elements, seed)
    a = len(kind)
    for _ in range(10 * a):
        own = torch.nn.functional.one_hot(kind, len(counts)).to(repulsion)  # [a, k]
        field = repulsion @ own - repulsion.diagonal().unsqueeze(-1) * own
        stay = field.gather(1, kind.unsqueeze(-1))  # [a, 1]
        there = field[:, kind]  # [a, a]: energy of site i with the kind of site j
        change = there - stay + there.T - stay.T - 2 * repulsion
        change[kind.unsqueeze(-1) == kind] = 0
        place = int(change.argmin())
        if change.flatten()[place] > -1e-9 * repulsion.max():
            break
        i, j = divmod(place, a)
        kind[[i, j]] = kind[[j, i]]
    return kind


def sqs_decoration(
    supercell: Atoms, counts: tuple[int, ...], elements: tuple[str, ...], seed: int
) -> Tensor:
    """Return a special quasi-random structure, `[a]`.

    icet anneals the arrangement until the correlations of its near pairs are those of
    the random alloy (Zunger et al., Phys. Rev. Lett. 65, 353 (1990)).
    """
    from icet import ClusterSpace
    from icet.tools.structure_generation import generate_sqs_from_supercells

    present = [i for i, count in enumerate(counts) if count]
    if len(present) == 1:
        return repeat_elements(counts)
    cell = supercell.copy()
    cell.symbols = [elements[present[0]]] * len(cell)
    nearest = _nearest_distance(cell)
    names = [elements[i] for i in present]
    wanted = {elements[i]: counts[i] / len(cell) for i in present}
    with _QuietLogger("icet"), suppress_spglib_warnings():
        found = generate_sqs_from_supercells(
            ClusterSpace(primitive_cell(cell), [SQS_CUTOFF * nearest], names),
            [cell],
            wanted,
            n_steps=N_SQS_STEPS,
            random_seed=seed,
        )
    place = {symbol: i for i, symbol in enumerate(elements)}
    order = _match_sites(found, supercell)
    return torch.tensor([place[found.symbols[i]] for i in order])


DECORATION_METHODS: dict[str, DecorationMethod] = {
    "random": random_decoration,
    "sqs": sqs_decoration,
    "ordered": ordered_decoration,
}


@lru_cache(maxsize=4096)
def repeat_elements(counts: tuple[int, ...]) -> Tensor:
    """Return each element as often as it occurs, in order, `[a]` int64."""
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


class _QuietLogger:
    """Keeps a library from logging what the user has not asked for."""

    def __init__(self, name: str) -> None:
        self.logger = logging.getLogger(name)

    def __enter__(self) -> None:
        self.previous_level = self.logger.level
        self.logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self.logger.setLevel(self.previous_level)


def _nearest_distance(supercell: Atoms) -> float:
    """Return the distance of nearest neighbors, Å."""
    from ase.neighborlist import neighbor_list

    cutoff = 2 * (supercell.get_volume() / len(supercell)) ** (1 / 3)
    return float(neighbor_list("d", supercell, cutoff).min())


def _match_sites(decorated: Atoms, supercell: Atoms) -> list[int]:
    """Return the atom of `decorated` on each site of the supercell."""
    import numpy as np

    theirs, ours = decorated.get_scaled_positions(), supercell.get_scaled_positions()
    gap = theirs[None] - ours[:, None]
    gap -= np.round(gap)
    distance = np.linalg.norm(gap @ supercell.cell.array, axis=-1)
    return [int(i) for i in distance.argmin(1)]


def _pair_repulsion_matrix(supercell: Atoms) -> Tensor:
    """Return Σ 1/d⁶ over the images of each pair of sites, `[a, a]`."""
    from ase.neighborlist import neighbor_list

    nearest = _nearest_distance(supercell)
    i, j, d = neighbor_list("ijd", supercell, REPULSION_CUTOFF * nearest)
    a = len(supercell)
    table = torch.zeros(a * a, dtype=torch.float64)
    weight = torch.from_numpy((nearest / d) ** 6)
    table.index_add_(0, torch.from_numpy(i * a + j), weight)
    return table.reshape(a, a)
