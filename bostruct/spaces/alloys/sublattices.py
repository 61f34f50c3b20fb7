"""Sites with a choice: where they are, and what they may hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, error_message
from bostruct.spaces.alloys.decoration_enumeration import Sublattice
from bostruct.structures import SYMBOLS, Structures

if TYPE_CHECKING:
    from ase import Atoms

VACANCY = "X"
FORBIDDEN_COST = 1e9
"""Cost of what a site may not hold, far above all others."""


@final
@dataclass(frozen=True, eq=False)
class ActiveSites:
    """The sites with a choice, in the order of the parent.

    Attributes:
        parent_indices: `[s]` int64, their places in the parent.
        sublattices: the sublattices, of places among these sites.
        sublattice_options: the options of each sublattice.
        elements: all elements that may occur, on other sites too, in alphabetical
            order.
        distances: `[s, s]` Å between them, the nearest images.
    """

    parent_indices: Tensor
    sublattices: tuple[Sublattice, ...]
    sublattice_options: tuple[tuple[str, ...], ...]
    elements: tuple[str, ...]
    distances: Tensor

    @cached_property
    def sublattice_index(self) -> Tensor:
        """The sublattice of each site, `[s]`."""
        found = torch.zeros(len(self.parent_indices), dtype=torch.int64)
        for place, part in enumerate(self.sublattices):
            found[list(part.sites)] = place
        return found

    @cached_property
    def n_options(self) -> Tensor:
        """The options of each site, `[s]`."""
        return torch.tensor([part.n_options for part in self.sublattices])[self.sublattice_index]

    @cached_property
    def option_mask(self) -> Tensor:
        """Whether each site has an option of each place, `[s, k]` bool."""
        return torch.arange(int(self.n_options.max())) < self.n_options.unsqueeze(-1)

    @cached_property
    def option_numbers(self) -> Tensor:
        """Atomic numbers of the options, `[s, k]` int64; -1 where there are fewer."""
        rows = torch.full((len(self.sublattices), int(self.n_options.max())), -1)
        for row, names in zip(rows, self.sublattice_options, strict=True):
            numbers = [SYMBOLS.index(symbol) for symbol in names]
            row[: len(names)] = torch.tensor(numbers)
        return rows[self.sublattice_index]

    @cached_property
    def has_free_composition(self) -> Tensor:
        """Whether the composition of the sublattice of each site is free, `[s]`."""
        return torch.tensor([part.counts is None for part in self.sublattices])[
            self.sublattice_index
        ]

    def has_valid_counts(self, C: Tensor) -> Tensor:
        """Return whether decorations `[..., s]` hold as many of each as they must."""
        found = torch.ones(C.shape[:-1], dtype=torch.bool)
        for part in self.sublattices:
            if part.counts is not None:
                own = C[..., list(part.sites)]
                own = torch.nn.functional.one_hot(own, int(self.n_options.max())).sum(-2)
                wanted = torch.tensor(part.counts)
                found &= (own[..., : part.n_options] == wanted).all(-1)
        return found

    def occupations_from_numbers(self, Z: Tensor | None) -> Tensor | None:
        """Return what sites hold, `[s]`, from the numbers on all `[a]`, 0 if vacant.

        None where a site holds what is no option of it.
        """
        if Z is None:
            return None
        match = self.option_numbers == Z[self.parent_indices].unsqueeze(-1)
        return match.long().argmax(-1) if bool(match.any(-1).all()) else None

    def best_assignment(self, scores: Tensor) -> Tensor:
        """Return the decoration of the highest score with the right counts, `[s]`.

        `scores` is `[s, k]`; where the composition is free each site has its best.
        """
        from scipy.optimize import linear_sum_assignment

        found = scores.masked_fill(~self.option_mask, -torch.inf).argmax(-1)
        for part in self.sublattices:
            if part.counts is None:
                continue
            sites = list(part.sites)
            slots = torch.arange(part.n_options).repeat_interleave(torch.tensor(part.counts))
            cost = -scores[sites][:, slots]
            _, chosen = linear_sum_assignment(cost.numpy())
            found[sites] = slots[torch.from_numpy(chosen)]
        return found


def find_active_sites(
    atoms: Atoms,
    species: Mapping[str, Sequence[str]],
    counts: Mapping[str, Mapping[str, int]] | None,
) -> ActiveSites:
    """Return the sites of a parent on which there is a choice.

    Raises:
        InputError: an argument cannot be used.
        SpaceError: there is nothing to choose, or every site may be vacant.
    """
    symbols = atoms.get_chemical_symbols()
    _check_names(symbols, species, counts)
    options = {symbol: _parse_options(symbol, species[symbol]) for symbol in species}
    chosen = {symbol: names for symbol, names in options.items() if len(names) > 1}
    where = [i for i, symbol in enumerate(symbols) if symbol in chosen]
    if not where:
        condition = "leave a choice"
        raise SpaceError(error_message("species", condition, dict(species)))
    parts, named = [], []
    for symbols_of, names in _group_sublattices(chosen, counts or {}):
        sites = tuple(p for p, i in enumerate(where) if symbols[i] in symbols_of)
        given = (counts or {}).get(symbols_of[0])
        own = None
        if given is not None:
            own = _parse_counts(symbols_of[0], names, given, len(sites))
        parts.append(Sublattice(sites, len(names), own))
        named.append(names)
    held = {options.get(s, (s,))[0] for s in symbols if s not in chosen}
    # one element of the parent with a single option is replaced by it
    for i, symbol in enumerate(symbols):
        if symbol in options and symbol not in chosen:
            symbols[i] = options[symbol][0]
    found = held | {name for names in chosen.values() for name in names}
    _check_not_all_vacant(held, parts, named)
    atoms.set_chemical_symbols(symbols)
    return ActiveSites(
        torch.tensor(where),
        tuple(parts),
        tuple(named),
        tuple(sorted(found - {VACANCY})),
        torch.from_numpy(atoms.get_all_distances(mic=bool(atoms.pbc.any())))[where][:, where],
    )


def atomic_numbers_on_sites(structure: Structures, parent: Structures) -> Tensor | None:
    """Return the atomic numbers on the sites of a parent, `[a]`, 0 where vacant.

    None where two atoms share a site, or the cells repeat in different ways.
    """
    if not bool((structure.pbc == parent.pbc).all()):
        return None
    pbc = parent.pbc[0]
    gap = structure.positions.unsqueeze(1) - parent.positions
    if bool(pbc.any()):
        ours, theirs = (
            _complete_cell(parent.cell[0], pbc),
            _complete_cell(structure.cell[0], pbc),
        )
        gap = structure.positions @ theirs.inverse()
        gap = gap.unsqueeze(1) - parent.positions @ ours.inverse()
        gap = (gap - gap.round() * pbc) @ ours
    site = gap.norm(dim=-1).argmin(-1)  # [atoms]
    if len(site.unique()) < len(site):
        return None
    Z = torch.zeros(len(parent.numbers), dtype=torch.int64)
    Z[site] = structure.numbers
    return Z


def _complete_cell(cell: Tensor, pbc: Tensor) -> Tensor:
    """Return a cell with unit vectors along which it does not repeat, `[3, 3]` Å."""
    if bool(pbc.all()):
        return cell
    axis = int((~pbc).nonzero()[0])
    one, two = (cell[i] for i in range(3) if i != axis)
    filled = cell.clone()
    normal = torch.linalg.cross(one, two)
    filled[axis] = normal / normal.norm()
    return filled


def _check_names(
    symbols: list[str],
    species: Mapping[str, Sequence[str]],
    counts: Mapping[str, Mapping[str, int]] | None,
) -> None:
    """Refuse options and counts of what the parent does not have."""
    if not isinstance(species, Mapping) or not species:
        condition = "be a mapping from elements of the parent to options"
        way_out = "Try {'Cu': ['Cu', 'Au']}."
        raise InputError(error_message("species", condition, repr(species), way_out))
    for symbol in species:
        if symbol not in symbols:
            known = ", ".join(sorted(set(symbols)))
            condition = f"name elements of the parent ({known})"
            raise InputError(error_message("species", condition, repr(symbol)))
    for symbol in counts or {}:
        if symbol not in species:
            condition = "be given for elements in `species`"
            raise InputError(error_message("counts", condition, repr(symbol)))


def _group_sublattices(
    species_options: Mapping[str, tuple[str, ...]], counts: Mapping[str, object]
) -> list[tuple[list[str], tuple[str, ...]]]:
    """Return which elements of the parent make one sublattice, and its options.

    Those with the same options do where the composition is free: a symmetry may then
    map one to another.
    """
    found: list[tuple[list[str], tuple[str, ...]]] = []
    for symbol, names in species_options.items():
        for others, options in found:
            free = others[0] not in counts and symbol not in counts
            if free and set(options) == set(names):
                others.append(symbol)
                break
        else:
            found.append(([symbol], names))
    return found


def _parse_options(symbol: str, options: Sequence[str]) -> tuple[str, ...]:
    name = f"species[{symbol!r}]"
    condition = "be different elements, or X for a vacancy"
    if isinstance(options, str) or not isinstance(options, Sequence) or not options:
        raise InputError(error_message(name, condition, repr(options)))
    for one in options:
        if one not in SYMBOLS:
            raise InputError(error_message(name, condition, repr(one)))
    if len(set(options)) < len(options):
        raise InputError(error_message(name, condition, list(options)))
    return tuple(options)


def _parse_counts(
    symbol: str, options: tuple[str, ...], counts: Mapping[str, int], n_sites: int
) -> tuple[int, ...]:
    name = f"counts[{symbol!r}]"
    for one in counts:
        if one not in options:
            condition = f"name options of the site ({', '.join(options)})"
            raise InputError(error_message(name, condition, repr(one)))
    found = tuple(counts.get(one, 0) for one in options)
    whole = all(isinstance(count, int) and count >= 0 for count in found)
    if not whole or sum(found) != n_sites:
        condition = f"be whole numbers that sum to the {n_sites} sites"
        raise InputError(error_message(name, condition, dict(counts)))
    return found


def _check_not_all_vacant(
    fixed_symbols: set[str],
    sublattices: list[Sublattice],
    sublattice_options: list[tuple[str, ...]],
) -> None:
    """Refuse a space in which no atom may be left."""
    for part, options in zip(sublattices, sublattice_options, strict=True):
        place = options.index(VACANCY) if VACANCY in options else None
        if place is None:
            return
        if part.counts is not None and part.counts[place] < len(part.sites):
            return
    if not fixed_symbols - {VACANCY}:
        condition = "leave at least one atom"
        way_out = "Give `counts`, or a site that is never vacant."
        found = "vacancies on every site"
        raise SpaceError(error_message("species", condition, found, way_out))
