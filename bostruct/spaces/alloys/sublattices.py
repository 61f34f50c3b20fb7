"""Active sites and sublattices: the sites that may hold several species, and their options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, error_message
from bostruct.spaces.alloys.decoration_enumeration import Sublattice
from bostruct.spaces.composition_properties import check_elements
from bostruct.structures import SYMBOLS, Structures

if TYPE_CHECKING:
    from ase import Atoms

VACANCY = "X"
"""Symbol of a vacant site."""


@final
@dataclass(frozen=True, eq=False)
class ActiveSites:
    """The sites that may hold several species, in the order of the parent.

    Attributes:
        parent_indices: `[s]` int64, indices of these sites in the parent.
        sublattices: sublattices, as indices into these sites.
        sublattice_options: options of each sublattice, as chemical symbols.
        elements: all elements that may occur, on other sites too, in alphabetical order.
        distances: `[s, s]` Å between the nearest images of these sites.
    """

    parent_indices: Tensor
    sublattices: tuple[Sublattice, ...]
    sublattice_options: tuple[tuple[str, ...], ...]
    elements: tuple[str, ...]
    distances: Tensor

    @cached_property
    def sublattice_index(self) -> Tensor:
        """The sublattice of each site, `[s]`."""
        index = torch.zeros(len(self.parent_indices), dtype=torch.int64)
        for i, sublattice in enumerate(self.sublattices):
            index[list(sublattice.sites)] = i
        return index

    @cached_property
    def n_options(self) -> Tensor:
        """The number of options of each site, `[s]`."""
        return torch.tensor([sub.n_options for sub in self.sublattices])[self.sublattice_index]

    @cached_property
    def option_mask(self) -> Tensor:
        """Mask of the options of each site, `[s, k]` bool."""
        return torch.arange(int(self.n_options.max())) < self.n_options.unsqueeze(-1)

    @cached_property
    def option_numbers(self) -> Tensor:
        """Atomic numbers of the options, `[s, k]` int64, padded with -1."""
        rows = torch.full((len(self.sublattices), int(self.n_options.max())), -1)
        for row, symbols in zip(rows, self.sublattice_options, strict=True):
            row[: len(symbols)] = torch.tensor([SYMBOLS.index(symbol) for symbol in symbols])
        return rows[self.sublattice_index]

    @cached_property
    def has_free_composition(self) -> Tensor:
        """Mask of the sites on sublattices of free composition, `[s]` bool."""
        is_free = [sublattice.counts is None for sublattice in self.sublattices]
        return torch.tensor(is_free)[self.sublattice_index]

    def has_valid_counts(self, C: Tensor) -> Tensor:
        """Return whether decorations `[..., s]` hold the required number of each option."""
        valid = torch.ones(C.shape[:-1], dtype=torch.bool)
        for sublattice in self.sublattices:
            if sublattice.counts is not None:
                options = C[..., list(sublattice.sites)]
                counts = torch.nn.functional.one_hot(options, int(self.n_options.max())).sum(-2)
                required = torch.tensor(sublattice.counts)
                valid &= (counts[..., : sublattice.n_options] == required).all(-1)
        return valid

    def occupations_from_numbers(self, Z: Tensor | None) -> Tensor | None:
        """Return the option of each site, `[s]`, from atomic numbers `[a]`, 0 if vacant.

        None where a site holds no option of its own.
        """
        if Z is None:
            return None
        match = self.option_numbers == Z[self.parent_indices].unsqueeze(-1)
        return match.long().argmax(-1) if bool(match.any(-1).all()) else None

    def best_assignment(self, scores: Tensor) -> Tensor:
        """Return the decoration of the highest score with the required counts, `[s]`.

        `scores` is `[s, k]`; where the composition is free each site has its best option.
        """
        from scipy.optimize import linear_sum_assignment

        decoration = scores.masked_fill(~self.option_mask, -torch.inf).argmax(-1)
        for sublattice in self.sublattices:
            if sublattice.counts is None:
                continue
            sites, counts = list(sublattice.sites), torch.tensor(sublattice.counts)
            slots = torch.arange(sublattice.n_options).repeat_interleave(counts)
            _, chosen = linear_sum_assignment((-scores[sites][:, slots]).numpy())
            decoration[sites] = slots[torch.from_numpy(chosen)]
        return decoration


def find_active_sites(
    atoms: Atoms,
    species: Mapping[str, Sequence[str]],
    counts: Mapping[str, Mapping[str, int]] | None,
) -> ActiveSites:
    """Return the active sites of a parent, and replace elements that have a single option.

    Raises:
        InputError: an argument is invalid.
        SpaceError: no site is active, or every site may be vacant.
    """
    counts = counts or {}
    symbols = atoms.get_chemical_symbols()
    _check_names(symbols, species, counts)
    options = {
        symbol: check_elements(f"species[{symbol!r}]", names, vacancy=True)
        for symbol, names in species.items()
    }
    active = {symbol: names for symbol, names in options.items() if len(names) > 1}
    indices = [i for i, symbol in enumerate(symbols) if symbol in active]
    if not indices:
        raise SpaceError(error_message("species", "leave a choice", dict(species)))
    sublattices, sublattice_options = [], []
    for group, names in _group_sublattices(active, counts):
        sites = tuple(site for site, i in enumerate(indices) if symbols[i] in group)
        given = counts.get(group[0])
        parsed = None if given is None else _parse_counts(group[0], names, given, len(sites))
        sublattices.append(Sublattice(sites, len(names), parsed))
        sublattice_options.append(names)
    # an element of the parent with a single option is replaced by it
    symbols = [s if s in active else options.get(s, (s,))[0] for s in symbols]
    inactive = {symbols[i] for i in set(range(len(symbols))).difference(indices)}
    _check_not_all_vacant(inactive, sublattices, sublattice_options)
    atoms.set_chemical_symbols(symbols)
    elements = inactive.union(*active.values()) - {VACANCY}
    distances = torch.from_numpy(atoms.get_all_distances(mic=bool(atoms.pbc.any())))
    return ActiveSites(
        torch.tensor(indices),
        tuple(sublattices),
        tuple(sublattice_options),
        tuple(sorted(elements)),
        distances[indices][:, indices],
    )


def atomic_numbers_on_sites(structure: Structures, parent: Structures) -> Tensor | None:
    """Return the atomic numbers on the sites of a parent, `[a]`, 0 where vacant.

    None where two atoms share a site, or the periodic directions differ.
    """
    if not bool((structure.pbc == parent.pbc).all()):
        return None
    pbc = parent.pbc[0]
    vectors = structure.positions.unsqueeze(1) - parent.positions
    if bool(pbc.any()):
        parent_cell = _complete_cell(parent.cell[0], pbc)
        fractions = structure.positions @ _complete_cell(structure.cell[0], pbc).inverse()
        vectors = fractions.unsqueeze(1) - parent.positions @ parent_cell.inverse()
        vectors = (vectors - vectors.round() * pbc) @ parent_cell
    site = vectors.norm(dim=-1).argmin(-1)  # [atoms]
    if len(site.unique()) < len(site):
        return None
    Z = torch.zeros(len(parent.numbers), dtype=torch.int64)
    Z[site] = structure.numbers
    return Z


def _complete_cell(cell: Tensor, pbc: Tensor) -> Tensor:
    """Return a cell with a unit vector along the direction that is not periodic, `[3, 3]` Å."""
    if bool(pbc.all()):
        return cell
    axis = int((~pbc).nonzero()[0])
    normal = torch.linalg.cross(*(cell[i] for i in range(3) if i != axis))
    completed = cell.clone()
    completed[axis] = normal / normal.norm()
    return completed


def _check_names(
    symbols: list[str],
    species: Mapping[str, Sequence[str]],
    counts: Mapping[str, Mapping[str, int]],
) -> None:
    """Raise an error for options and counts of elements that the parent does not have."""
    if not isinstance(species, Mapping) or not species:
        condition = "be a mapping from elements of the parent to options"
        first = symbols[0]
        hint = f"Try {{{first!r}: [{first!r}, {'Au' if first != 'Au' else 'Cu'!r}]}}."
        raise InputError(error_message("species", condition, repr(species), hint))
    for symbol in species:
        if symbol not in symbols:
            condition = f"name elements of the parent ({', '.join(sorted(set(symbols)))})"
            raise InputError(error_message("species", condition, repr(symbol)))
    for symbol in counts:
        if symbol not in species:
            condition = "be given for elements in `species`"
            raise InputError(error_message("counts", condition, repr(symbol)))


def _group_sublattices(
    species_options: Mapping[str, tuple[str, ...]], counts: Mapping[str, object]
) -> list[tuple[list[str], tuple[str, ...]]]:
    """Return the elements of the parent that make up each sublattice, and its options.

    Elements with the same options share one where the composition is free: a symmetry may then
    map one to another.
    """
    groups: list[tuple[list[str], tuple[str, ...]]] = []
    for symbol, names in species_options.items():
        for group, options in groups:
            is_free = group[0] not in counts and symbol not in counts
            if is_free and set(options) == set(names):
                group.append(symbol)
                break
        else:
            groups.append(([symbol], names))
    return groups


def _parse_counts(
    symbol: str, options: tuple[str, ...], counts: Mapping[str, int], n_sites: int
) -> tuple[int, ...]:
    name = f"counts[{symbol!r}]"
    for option in counts:
        if option not in options:
            condition = f"name options of the site ({', '.join(options)})"
            raise InputError(error_message(name, condition, repr(option)))
    parsed = tuple(counts.get(option, 0) for option in options)
    valid = all(isinstance(count, int) and count >= 0 for count in parsed)
    if not valid or sum(parsed) != n_sites:
        condition = f"be whole numbers that sum to the {n_sites} sites"
        raise InputError(error_message(name, condition, dict(counts)))
    return parsed


def _check_not_all_vacant(
    inactive_symbols: set[str],
    sublattices: list[Sublattice],
    sublattice_options: list[tuple[str, ...]],
) -> None:
    """Raise an error if every site may be vacant."""
    for sublattice, options in zip(sublattices, sublattice_options, strict=True):
        counts, n_sites = sublattice.counts, len(sublattice.sites)
        if VACANCY not in options or (counts and counts[options.index(VACANCY)] < n_sites):
            return
    if not inactive_symbols - {VACANCY}:
        value, hint = "vacancies on every site", "Give `counts`, or a site that is never vacant."
        raise SpaceError(error_message("species", "leave at least one atom", value, hint))
