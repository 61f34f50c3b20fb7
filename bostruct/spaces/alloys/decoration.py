"""Decorations: assignments of given numbers of atoms to the sites of a supercell.

All methods are functions of the numbers and a seed alone: a composition is always decoded to the
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
from bostruct.spaces.alloys.parent_lattice import primitive_cell, suppress_spglib_warnings

if TYPE_CHECKING:
    from ase import Atoms

REPULSION_CUTOFF = 2.2
"""Cutoff of the repulsion of like atoms, in nearest-neighbor distances."""

SQS_CUTOFF = 1.8
"""Cutoff of the pairs whose correlations an SQS matches, in nearest-neighbor distances."""

N_SQS_STEPS = 2000
"""Number of trial swaps in the annealing of an SQS."""

DecorationMethod = Callable[["Atoms", tuple[int, ...], tuple[str, ...], int], Tensor]
"""Function of a supercell, the numbers of atoms of each element, the elements and a seed that
returns the element of each site, `[a]` int64."""


def require_icet(name: str, value: str) -> None:
    """Raise an error if icet is not installed.

    Raises:
        InputError: icet is not installed.
    """
    try:
        import icet  # noqa: F401
    except ImportError as error:
        condition = "be something that works without icet, which is not installed"
        hint = "Run: pip install 'bostruct[alloys]'"
        raise InputError(error_message(name, condition, repr(value), hint)) from error


def composition_generator(seed: int, counts: Sequence[int]) -> torch.Generator:
    """Return the random number generator of a composition, `counts` in order of the elements."""
    text = f"{seed}:{','.join(str(count) for count in counts)}"
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def random_decoration(
    supercell: Atoms, counts: tuple[int, ...], elements: tuple[str, ...], seed: int
) -> Tensor:
    """Return a random decoration, `[a]`."""
    order = torch.randperm(len(supercell), generator=composition_generator(seed, counts))
    return repeat_elements(counts)[order]


def ordered_decoration(
    supercell: Atoms, counts: tuple[int, ...], elements: tuple[str, ...], seed: int
) -> Tensor:
    """Return a decoration with like atoms far apart, `[a]`.

    From the random one, the exchange that most lowers Σ 1/d⁶ over like pairs is made until none
    does.
    """
    repulsion = _pair_repulsion_matrix(supercell)  # [a, a]
    species = random_decoration(supercell, counts, elements, seed)
    a = len(species)
    for _ in range(10 * a):
        one_hot = torch.nn.functional.one_hot(species, len(counts)).to(repulsion)  # [a, k]
        field = repulsion @ one_hot - repulsion.diagonal().unsqueeze(-1) * one_hot
        before = field.gather(1, species.unsqueeze(-1))  # [a, 1]
        after = field[:, species]  # [a, a]: energy of site i with the species of site j
        change = after - before + after.T - before.T - 2 * repulsion
        change[species.unsqueeze(-1) == species] = 0
        best = int(change.argmin())
        if change.flatten()[best] > -1e-9 * repulsion.max():
            break
        i, j = divmod(best, a)
        species[[i, j]] = species[[j, i]]
    return species


def sqs_decoration(
    supercell: Atoms, counts: tuple[int, ...], elements: tuple[str, ...], seed: int
) -> Tensor:
    """Return a special quasi-random structure, `[a]`.

    icet anneals the decoration until the correlations of its near pairs are those of the random
    alloy (Zunger et al., Phys. Rev. Lett. 65, 353 (1990)).
    """
    from icet import ClusterSpace
    from icet.tools.structure_generation import generate_sqs_from_supercells

    present = [i for i, count in enumerate(counts) if count]
    if len(present) == 1:
        return repeat_elements(counts)
    cell = supercell.copy()
    cell.symbols = [elements[present[0]]] * len(cell)
    cutoff = SQS_CUTOFF * _nearest_distance(cell)
    concentrations = {elements[i]: counts[i] / len(cell) for i in present}
    with _QuietLogger("icet"), suppress_spglib_warnings():
        sqs = generate_sqs_from_supercells(
            ClusterSpace(primitive_cell(cell), [cutoff], list(concentrations)),
            [cell],
            concentrations,
            n_steps=N_SQS_STEPS,
            random_seed=seed,
        )
    order = _match_sites(sqs, supercell)
    return torch.tensor([elements.index(sqs.symbols[i]) for i in order])


DECORATION_METHODS: dict[str, DecorationMethod] = {
    "random": random_decoration,
    "sqs": sqs_decoration,
    "ordered": ordered_decoration,
}


@lru_cache(maxsize=4096)
def repeat_elements(counts: tuple[int, ...]) -> Tensor:
    """Return the element of each atom, in order, `[a]` int64."""
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


class _QuietLogger:
    """Context that raises the level of a logger to errors."""

    def __init__(self, name: str) -> None:
        self.logger = logging.getLogger(name)

    def __enter__(self) -> None:
        self.previous_level = self.logger.level
        self.logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self.logger.setLevel(self.previous_level)


def _nearest_distance(supercell: Atoms) -> float:
    """Return the nearest-neighbor distance, Å."""
    from ase.neighborlist import neighbor_list

    cutoff = 2 * (supercell.get_volume() / len(supercell)) ** (1 / 3)
    return float(neighbor_list("d", supercell, cutoff).min())


def _match_sites(decorated: Atoms, supercell: Atoms) -> list[int]:
    """Return the atom of `decorated` on each site of the supercell."""
    import numpy as np

    vectors = decorated.get_scaled_positions()[None] - supercell.get_scaled_positions()[:, None]
    vectors -= np.round(vectors)
    distances = np.linalg.norm(vectors @ supercell.cell.array, axis=-1)
    return [int(i) for i in distances.argmin(1)]


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
