"""Symmetric sampling: atoms on Wyckoff positions of a random group that fit the formula.

As PyXtal (Fredericks et al., Comput. Phys. Commun. 261, 107810 (2021)) and CALYPSO do it: the group
is drawn among those that fit, then one of all combinations of Wyckoff positions that hold the atoms
of each species, each with the same probability, then a cell and the free coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, islice
from random import Random
from typing import final

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.log_strain import cell_of_log_strain
from bostruct.spaces.crystals.sampling import CELL_STRAIN_STD
from bostruct.spaces.crystals.wyckoff_positions import (
    N_LAYER_GROUPS,
    N_SPACE_GROUPS,
    SpaceGroup,
    WyckoffPosition,
    space_group,
)
from bostruct.spaces.random_tensors import normal, uniform

STRAIN_MASKS = {
    "triclinic": (1, 1, 1, 1, 1, 1),
    "monoclinic": (1, 1, 1, 0, 1, 0),
    "orthorhombic": (1, 1, 1, 0, 0, 0),
    "tetragonal": (0, 0, 1, 0, 0, 0),
    "hexagonal": (0, 0, 1, 0, 0, 0),
    "cubic": (0, 0, 0, 0, 0, 0),
    "oblique": (1, 1, 0, 0, 0, 1),
    "rectangular": (1, 1, 0, 0, 0, 0),
    "square": (0, 0, 0, 0, 0, 0),
    "hexagonal plane": (0, 0, 0, 0, 0, 0),
}
"""Components of the log strain, in Voigt order, that keep the symmetry of a conventional cell."""


@final
@dataclass(frozen=True, eq=False)
class Site:
    """Wyckoff position that atoms of one species occupy.

    Attributes:
        species: index of the species.
        position: Wyckoff position.
    """

    species: int
    position: WyckoffPosition


@final
class WyckoffCombinations:
    """All combinations of Wyckoff positions of a group that hold given numbers of atoms.

    Args:
        group: space group.
        counts: number of atoms of each species in the primitive cell.
    """

    def __init__(self, group: SpaceGroup, counts: Sequence[int]) -> None:
        self._counts = tuple(counts)
        # an orbit without free coordinates holds one species, once
        self._sites = tuple(
            Site(species, position)
            for position in group.positions
            for species in range(len(self._counts))
        )
        self._known: dict[tuple[int, tuple[int, ...]], int] = {}

    def __len__(self) -> int:
        return self._count(0, self._counts)

    def sample(self, random: Random) -> list[Site]:
        """Return the sites of one combination; all are equally likely."""
        chosen: list[Site] = []
        k, left = 0, self._counts
        while any(left):
            choices = list(self._choices(k, left))
            weights = [self._count(following, rest) for _, following, rest in choices]
            ranks = accumulate(weights)
            drawn = random.randrange(sum(weights))
            site, k, left = choices[next(i for i, rank in enumerate(ranks) if drawn < rank)]
            if site is not None:
                chosen.append(site)
        return chosen

    def _choices(
        self, k: int, left: tuple[int, ...]
    ) -> Iterator[tuple[Site | None, int, tuple[int, ...]]]:
        """Yield what may be done with the k-th site, the next site, and the atoms left then."""
        site = self._sites[k]
        yield None, k + 1, left
        size, species = site.position.multiplicity, site.species
        if left[species] >= size:
            n_species = len(self._counts)
            following = k + n_species - k % n_species if site.position.is_fixed else k
            rest = (*left[:species], left[species] - size, *left[species + 1 :])
            yield site, following, rest

    def _count(self, k: int, left: tuple[int, ...]) -> int:
        """Return the number of combinations of the k-th site and those after it."""
        if not any(left):
            return 1
        if k == len(self._sites):
            return 0
        if (k, left) not in self._known:
            self._known[k, left] = sum(
                self._count(following, rest) for _, following, rest in self._choices(k, left)
            )
        return self._known[k, left]


@cache
def wyckoff_combinations(
    number: int, counts: tuple[int, ...], is_layer: bool = False
) -> WyckoffCombinations:
    """Return the combinations of Wyckoff positions of a space or layer group, by its number."""
    return WyckoffCombinations(space_group(number, is_layer), counts)


def check_symmetry(
    symmetry: int | Sequence[int] | None, numbers: Tensor, formula: str, is_layer: bool = False
) -> tuple[int, ...] | None:
    """Return the numbers of groups that were given, in rising order, if all fit a formula.

    Args:
        symmetry: number of a space group, or several.
        numbers: `[a]` atomic numbers.
        formula: formula of these, for messages.
        is_layer: true for numbers of layer groups.

    Raises:
        InputError: one is no number of a space group, or cannot hold the atoms.
    """
    if symmetry is None:
        return None
    groups = list(symmetry) if isinstance(symmetry, Iterable) else [symmetry]
    kind, last, hint = "space group", N_SPACE_GROUPS, "Try symmetry=225, or [62, 136]."
    if is_layer:
        kind, last, hint = "layer group", N_LAYER_GROUPS, "Try symmetry=80, or [37, 61]."
    for number in groups:
        is_number = isinstance(number, int) and not isinstance(number, bool)
        if not is_number or not 1 <= number <= last:
            condition = f"be numbers of {kind}s from 1 to {last}"
            raise InputError(error_message("symmetry", condition, repr(number), hint))
        if not len(wyckoff_combinations(number, species_counts(numbers), is_layer)):
            condition = f"fit {formula} in a primitive cell"
            hint = "Its Wyckoff positions hold other numbers of atoms: try more formula units."
            raise InputError(error_message("symmetry", condition, f"{kind} {number}", hint))
    if not groups:
        raise InputError(error_message("symmetry", f"name a {kind}", repr(symmetry), hint))
    return tuple(sorted(set(groups)))


def species_counts(numbers: Tensor) -> tuple[int, ...]:
    """Return the number of atoms of each species, in the order of atomic numbers."""
    return tuple(numbers.unique(return_counts=True)[1].tolist())


def sample_symmetric(
    volumes: Tensor,
    numbers: Tensor,
    groups: Sequence[int],
    freedom: CellFreedom,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return random crystals of random space groups, or layers, in reduced primitive cells.

    Groups that do not fit the formula are left out; where none fits there is no symmetry.

    Args:
        volumes: `[n, t]` Å³, volumes of the cells of t crystals of each of n groups.
        numbers: `[a]` atomic numbers.
        groups: numbers of space groups to draw from, of layer groups for layers.
        freedom: strains by which cells may vary.
        generator: random number generator.

    Returns:
        fractional coordinates `[n, t, a, 3]`, and cells `[n, t, 3, 3]` Å.
    """
    (n, t), a, device = volumes.shape, len(numbers), generator.device
    species = [(numbers == z).nonzero().squeeze(-1).tolist() for z in numbers.unique().tolist()]
    counts = species_counts(numbers)
    seeds = torch.randint(1 << 62, (n,), generator=generator, device=device).tolist()
    points = uniform((n, t, a, 3), generator).cpu()
    strains = CELL_STRAIN_STD * normal((n, t, 6), generator).cpu()
    if freedom.is_layer:
        extent = freedom.thickness / float(freedom.cell[2, 2]) * uniform((n, t, 1), generator).cpu()
        points[..., 2] = (points[..., 2] - 0.5) * extent
    F, H = torch.zeros_like(points), torch.zeros(n, t, 3, 3, dtype=torch.float64)
    for row in range(n):
        random = Random(seeds[row])
        number = _draw_group(groups, counts, freedom.is_layer, random)
        group = space_group(number, freedom.is_layer)
        combinations = wyckoff_combinations(number, counts, freedom.is_layer)
        for k in range(t):
            F[row, k] = _place_atoms(combinations.sample(random), species, points[row, k])
            H[row, k] = group.primitive_cell @ _conventional_cell(group, strains[row, k])
    size = volumes.cpu() / torch.linalg.det(H)
    if freedom.is_layer:
        height = float(freedom.cell[2, 2])
        H = H * (size / height).sqrt()[..., None, None]
        H[..., 2, :] = H.new_tensor([0.0, 0.0, height])
    else:
        H = H * size.pow(1 / 3)[..., None, None]
    F, H = freedom.reduced(F.flatten(0, 1), H.flatten(0, 1))
    return F.unflatten(0, (n, t)).to(device), H.unflatten(0, (n, t)).to(device)


def _draw_group(
    groups: Sequence[int], counts: tuple[int, ...], is_layer: bool, random: Random
) -> int:
    """Return a group, drawn among those that fit; 1 where none does."""
    order = random.sample(groups, len(groups))
    fits = (number for number in order if len(wyckoff_combinations(number, counts, is_layer)))
    return next(fits, 1)


def _place_atoms(sites: list[Site], species: list[list[int]], points: Tensor) -> Tensor:
    """Return the fractional coordinates `[a, 3]` of atoms on sites, one point for each.

    Args:
        sites: Wyckoff positions with their species.
        species: atoms of each species.
        points: `[a, 3]` points, in coordinates of the conventional cell.
    """
    F, left = torch.zeros_like(points), [iter(atoms) for atoms in species]
    for point, site in zip(points, sites, strict=False):
        atoms = list(islice(left[site.species], site.position.multiplicity))
        F[atoms] = site.position.orbit(point)
    return F


def _conventional_cell(group: SpaceGroup, strain: Tensor) -> Tensor:
    """Return a conventional cell `[3, 3]` of a group, strained by components `[6]` it allows."""
    s = strain * strain.new_tensor(STRAIN_MASKS[group.crystal_system])
    cell = torch.eye(3, dtype=s.dtype)
    if group.crystal_system in ("hexagonal", "hexagonal plane"):
        cell[1] = s.new_tensor([-0.5, math.sqrt(0.75), 0.0])
    return cell @ cell_of_log_strain(s, 1.0)
