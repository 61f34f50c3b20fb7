"""Sites with a choice: where they are, and what they may hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, must
from bostruct.spaces.alloys.decoration_enumeration import Sublattice
from bostruct.structures import SYMBOLS, Structures

if TYPE_CHECKING:
    from ase import Atoms

VACANCY = "X"
FORBIDDEN = 1e9
"""Cost of what a site may not hold, far above all others."""


@final
@dataclass(frozen=True, eq=False)
class Sites:
    """The sites with a choice, in the order of the parent.

    Attributes:
        where: `[s]` int64, their places in the parent.
        parts: the sublattices, of places among these sites.
        names: the options of each sublattice.
        elements: all elements that may occur, on other sites too, in alphabetical
            order.
        distances: `[s, s]` Å between them, the nearest images.
    """

    where: Tensor
    parts: tuple[Sublattice, ...]
    names: tuple[tuple[str, ...], ...]
    elements: tuple[str, ...]
    distances: Tensor

    @cached_property
    def part(self) -> Tensor:
        """The sublattice of each site, `[s]`."""
        found = torch.zeros(len(self.where), dtype=torch.int64)
        for place, part in enumerate(self.parts):
            found[list(part.sites)] = place
        return found

    @cached_property
    def width(self) -> Tensor:
        """The options of each site, `[s]`."""
        return torch.tensor([part.options for part in self.parts])[self.part]

    @cached_property
    def real(self) -> Tensor:
        """Whether each site has an option of each place, `[s, k]` bool."""
        return torch.arange(int(self.width.max())) < self.width.unsqueeze(-1)

    @cached_property
    def table(self) -> Tensor:
        """Atomic numbers of the options, `[s, k]` int64; -1 where there are fewer."""
        rows = torch.full((len(self.parts), int(self.width.max())), -1)
        for row, names in zip(rows, self.names, strict=True):
            numbers = [SYMBOLS.index(symbol) for symbol in names]
            row[: len(names)] = torch.tensor(numbers)
        return rows[self.part]

    @cached_property
    def free(self) -> Tensor:
        """Whether the composition of the sublattice of each site is free, `[s]`."""
        return torch.tensor([part.counts is None for part in self.parts])[self.part]

    def counted(self, C: Tensor) -> Tensor:
        """Return whether decorations `[..., s]` hold as many of each as they must."""
        found = torch.ones(C.shape[:-1], dtype=torch.bool)
        for part in self.parts:
            if part.counts is not None:
                own = C[..., list(part.sites)]
                own = torch.nn.functional.one_hot(own, int(self.width.max())).sum(-2)
                wanted = torch.tensor(part.counts)
                found &= (own[..., : part.options] == wanted).all(-1)
        return found

    def read(self, Z: Tensor | None) -> Tensor | None:
        """Return what sites hold, `[s]`, from the numbers on all `[a]`, 0 if vacant.

        None where a site holds what is no option of it.
        """
        if Z is None:
            return None
        match = self.table == Z[self.where].unsqueeze(-1)
        return match.long().argmax(-1) if bool(match.any(-1).all()) else None

    def assign(self, scores: Tensor) -> Tensor:
        """Return the decoration of the highest score with the right counts, `[s]`.

        `scores` is `[s, k]`; where the composition is free each site has its best.
        """
        from scipy.optimize import linear_sum_assignment

        found = scores.masked_fill(~self.real, -torch.inf).argmax(-1)
        for part in self.parts:
            if part.counts is None:
                continue
            sites = list(part.sites)
            slots = torch.arange(part.options).repeat_interleave(
                torch.tensor(part.counts)
            )
            cost = -scores[sites][:, slots]
            _, chosen = linear_sum_assignment(cost.numpy())
            found[sites] = slots[torch.from_numpy(chosen)]
        return found


def sublattices(
    atoms: Atoms,
    species: Mapping[str, Sequence[str]],
    counts: Mapping[str, Mapping[str, int]] | None,
) -> Sites:
    """Return the sites of a parent on which there is a choice.

    Raises:
        InputError: an argument cannot be used.
        SpaceError: there is nothing to choose, or every site may be vacant.
    """
    symbols = atoms.get_chemical_symbols()
    _check_names(symbols, species, counts)
    options = {symbol: _options(symbol, species[symbol]) for symbol in species}
    chosen = {symbol: names for symbol, names in options.items() if len(names) > 1}
    where = [i for i, symbol in enumerate(symbols) if symbol in chosen]
    if not where:
        condition = "leave a choice"
        raise SpaceError(must("species", condition, dict(species)))
    parts, named = [], []
    for symbols_of, names in _merged(chosen, counts or {}):
        sites = tuple(p for p, i in enumerate(where) if symbols[i] in symbols_of)
        given = (counts or {}).get(symbols_of[0])
        own = None
        if given is not None:
            own = _counts(symbols_of[0], names, given, len(sites))
        parts.append(Sublattice(sites, len(names), own))
        named.append(names)
    held = {options.get(s, (s,))[0] for s in symbols if s not in chosen}
    # one element of the parent with a single option is replaced by it
    for i, symbol in enumerate(symbols):
        if symbol in options and symbol not in chosen:
            symbols[i] = options[symbol][0]
    found = held | {name for names in chosen.values() for name in names}
    _check_vacant(held, parts, named)
    atoms.set_chemical_symbols(symbols)
    return Sites(
        torch.tensor(where),
        tuple(parts),
        tuple(named),
        tuple(sorted(found - {VACANCY})),
        torch.from_numpy(atoms.get_all_distances(mic=bool(atoms.pbc.any())))[where][
            :, where
        ],
    )


def occupants(one: Structures, base: Structures) -> Tensor | None:
    """Return the atomic numbers on the sites of a parent, `[a]`, 0 where vacant.

    None where two atoms share a site, or the cells repeat in different ways.
    """
    if not bool((one.pbc == base.pbc).all()):
        return None
    pbc = base.pbc[0]
    gap = one.positions.unsqueeze(1) - base.positions
    if bool(pbc.any()):
        ours, theirs = _filled(base.cell[0], pbc), _filled(one.cell[0], pbc)
        gap = one.positions @ theirs.inverse()
        gap = gap.unsqueeze(1) - base.positions @ ours.inverse()
        gap = (gap - gap.round() * pbc) @ ours
    site = gap.norm(dim=-1).argmin(-1)  # [atoms]
    if len(site.unique()) < len(site):
        return None
    Z = torch.zeros(len(base.numbers), dtype=torch.int64)
    Z[site] = one.numbers
    return Z


def _filled(cell: Tensor, pbc: Tensor) -> Tensor:
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
        raise InputError(must("species", condition, repr(species), way_out))
    for symbol in species:
        if symbol not in symbols:
            known = ", ".join(sorted(set(symbols)))
            condition = f"name elements of the parent ({known})"
            raise InputError(must("species", condition, repr(symbol)))
    for symbol in counts or {}:
        if symbol not in species:
            condition = "be given for elements in `species`"
            raise InputError(must("counts", condition, repr(symbol)))


def _merged(
    chosen: Mapping[str, tuple[str, ...]], counts: Mapping[str, object]
) -> list[tuple[list[str], tuple[str, ...]]]:
    """Return which elements of the parent make one sublattice, and its options.

    Those with the same options do where the composition is free: a symmetry may then
    map one to another.
    """
    found: list[tuple[list[str], tuple[str, ...]]] = []
    for symbol, names in chosen.items():
        for others, options in found:
            free = others[0] not in counts and symbol not in counts
            if free and set(options) == set(names):
                others.append(symbol)
                break
        else:
            found.append(([symbol], names))
    return found


def _options(symbol: str, given: Sequence[str]) -> tuple[str, ...]:
    name = f"species[{symbol!r}]"
    condition = "be different elements, or X for a vacancy"
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise InputError(must(name, condition, repr(given)))
    for one in given:
        if one not in SYMBOLS:
            raise InputError(must(name, condition, repr(one)))
    if len(set(given)) < len(given):
        raise InputError(must(name, condition, list(given)))
    return tuple(given)


def _counts(
    symbol: str, names: tuple[str, ...], given: Mapping[str, int], sites: int
) -> tuple[int, ...]:
    name = f"counts[{symbol!r}]"
    for one in given:
        if one not in names:
            condition = f"name options of the site ({', '.join(names)})"
            raise InputError(must(name, condition, repr(one)))
    found = tuple(given.get(one, 0) for one in names)
    whole = all(isinstance(count, int) and count >= 0 for count in found)
    if not whole or sum(found) != sites:
        condition = f"be whole numbers that sum to the {sites} sites"
        raise InputError(must(name, condition, dict(given)))
    return found


def _check_vacant(
    held: set[str], parts: list[Sublattice], names: list[tuple[str, ...]]
) -> None:
    """Refuse a space in which no atom may be left."""
    for part, options in zip(parts, names, strict=True):
        place = options.index(VACANCY) if VACANCY in options else None
        if place is None:
            return
        if part.counts is not None and part.counts[place] < len(part.sites):
            return
    if not held - {VACANCY}:
        condition = "leave at least one atom"
        way_out = "Give `counts`, or a site that is never vacant."
        found = "vacancies on every site"
        raise SpaceError(must("species", condition, found, way_out))
