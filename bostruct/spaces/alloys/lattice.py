"""Lattices: X are the species on each site of a parent structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import (
    InputError,
    check_choice,
    check_count,
    check_shape,
    error_message,
)
from bostruct.spaces.alloys import moves
from bostruct.spaces.alloys.decoration_enumeration import DecorationEnumerator
from bostruct.spaces.alloys.parent_lattice import parent_atoms
from bostruct.spaces.alloys.site_permutations import symmetry_permutations
from bostruct.spaces.alloys.sublattices import (
    ActiveSites,
    atomic_numbers_on_sites,
    find_active_sites,
)
from bostruct.spaces.composition_properties import CompositionProperties
from bostruct.spaces.formula import resolve_atomic_radii
from bostruct.spaces.space import (
    MEMBER_TOLERANCE,
    EnumerableMembers,
    Move,
    check_member_range,
)
from bostruct.spaces.stored_structures import StoredStructures
from bostruct.structures import SYMBOLS, Structures, from_ase

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

MAX_LISTING_WORK = 1 << 31
"""Largest number of decorations times symmetries of a space that can be enumerated."""

ENCODINGS = ("integer", "onehot")


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Lattice(EnumerableMembers):
    """All decorations of the sites of a parent structure, up to symmetry.

    It is a `DiscreteSpace`. Decorations that a symmetry of the parent maps onto each other are one
    member: `canonical` gives the lexicographically first of them, and samples, moves and encoded
    structures are canonical. Samples are uniform over the different members, by construction.

    Symmetries are those that keep the cell. In a cell less symmetric than its lattice, as 2×1×1
    cubes, an ordering that fits in two orientations counts twice; not so in 2×2×2 cells and in
    `Orderings`.

    X `[..., d]` has one number per active site, the index of its species among the site's options,
    or with `encoding="onehot"` one number per option, 1 for the species present.

    Args:
        parent: structure of the sites, from ASE or pymatgen: a crystal, a slab or a cluster. Its
            tags and fixed atoms are those of all structures.
        species: options of all sites on which the parent has one element, by that element:
            `{"Ni": ["Ni", "Al"], "O": ["O", "X"]}`. X is a vacancy. Other sites keep their element.
        counts: number of sites with each option, by element of the parent,
            `{"Ni": {"Ni": 8, "Al": 8}}`; where not given the composition is free.
        encoding: "integer" or "onehot".
        volumes: volume of an atom by element, Å³, which makes the mass density known. The parent's
            cell is not changed.
        price: price of a kilogram by element, which makes the price known.

    Attributes:
        parent: structure of the sites.
        numbers: `[k]` int64, elements that may occur.
        atomic_radii: `[k]` Å.
        active_sites: sites that may hold several species, and their options.
        enumerator: decorations of these sites, and their symmetries.
        encoding: "integer" or "onehot".

    Raises:
        InputError: an argument is invalid.
        SpaceError: no site is active, or every site may be vacant.
    """

    parent: Atoms
    numbers: Tensor
    atomic_radii: Tensor
    active_sites: ActiveSites
    enumerator: DecorationEnumerator
    encoding: str
    composition_properties: CompositionProperties

    def __init__(
        self,
        parent: Atoms | Structure,
        species: Mapping[str, Sequence[str]],
        *,
        counts: Mapping[str, Mapping[str, int]] | None = None,
        encoding: str = "integer",
        volumes: Mapping[str, float] | None = None,
        price: Mapping[str, float] | None = None,
    ) -> None:
        check_choice("encoding", encoding, ENCODINGS)
        atoms = parent_atoms(parent)
        sites = find_active_sites(atoms, species, counts)
        kinds = np.array(atoms.get_atomic_numbers())
        kinds[sites.parent_indices.numpy()] = -1 - sites.sublattice_index.numpy()
        active_index = torch.full((len(atoms),), -1)
        active_index[sites.parent_indices] = torch.arange(len(sites.parent_indices))
        P = active_index[symmetry_permutations(atoms, kinds)[:, sites.parent_indices]].unique(dim=0)
        numbers = torch.tensor([SYMBOLS.index(symbol) for symbol in sites.elements])
        for name, value in {
            "parent": atoms,
            "numbers": numbers,
            "atomic_radii": resolve_atomic_radii(numbers, None),
            "active_sites": sites,
            "enumerator": DecorationEnumerator(sites.sublattices, P),
            "encoding": encoding,
            "composition_properties": CompositionProperties(sites.elements, price, volumes),
        }.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        formula = self.parent.get_chemical_formula()
        return f"Lattice({formula}, {len(self.active_sites.parent_indices)} sites with a choice)"

    @property
    def dimension(self) -> int:
        """The number of active sites, or of all their options together."""
        n_options = self.active_sites.n_options
        return len(n_options) if self.encoding == "integer" else int(n_options.sum())

    @property
    def n_decorations(self) -> int:
        """The number of different decorations, by Burnside's lemma."""
        return self.enumerator.n_distinct

    @property
    def size(self) -> int | None:
        """The number of different decorations, or None where they are too many to enumerate."""
        work = self.enumerator.n_decorations * len(self.enumerator.permutations)
        return self.n_decorations if work <= MAX_LISTING_WORK else None

    def members(self, start: int, stop: int) -> Tensor:
        """Return canonical decorations `start` to `stop`, `[stop - start, d]`.

        Raises:
            SpaceError: there are too many to enumerate.
            InputError: there are no such decorations.
        """
        check_member_range(self.size, start, stop)
        return self._coordinates(self._canonical_decorations[start:stop].long())

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return canonical decorations, all equally probable, `[n, d]` float64."""
        C = self.enumerator.sample(check_count("n", n, 0), generator)
        return self._coordinates(self.enumerator.canonical(C))

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major; no gradient flows."""
        Z = self._atomic_numbers(self.occupations(X))  # [n, a]
        n, a = Z.shape
        occupied = Z > 0
        base = from_ase(self.parent).to(dtype=X.dtype)
        return Structures.unchecked(
            positions=base.positions.expand(n, a, 3)[occupied],
            numbers=Z[occupied],
            cell=base.cell.repeat(n, 1, 1),
            pbc=base.pbc.repeat(n, 1),
            index=torch.arange(n).unsqueeze(-1).expand(n, a)[occupied],
            fixed=base.fixed.expand(n, a)[occupied],
            tags=base.tags.expand(n, a)[occupied],
        ).to(X.device)

    def encode(self, structures: Structures) -> Tensor:
        """Return the canonical coordinates of structures on this lattice, `[b, d]`.

        Atoms belong to the nearest site, in fractional coordinates where there is a cell; a site
        without an atom is vacant.

        Raises:
            InputError: a structure is no decoration of the space.
        """
        base = from_ase(self.parent)
        rows = []
        for structure in structures.to("cpu", torch.float64).split():
            Z = atomic_numbers_on_sites(structure, base)
            C = self.active_sites.occupations_from_numbers(Z)
            if C is None or not bool(self.active_sites.has_valid_counts(C)):
                condition, value = "be decorations of this lattice", structure.formulas()[0]
                raise InputError(error_message("structures", condition, value))
            rows.append(C)
        C = self.enumerator.canonical(torch.stack(rows))
        return self._coordinates(C).to(structures.device, structures.dtype)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` is a decoration of the space, `[...]` bool."""
        flat = X.detach().reshape(-1, self.dimension).double().cpu()
        C = self._nearest_options(flat.nan_to_num(-1.0))
        near = ((self._coordinates(C) - flat).abs() < MEMBER_TOLERANCE).all(-1)
        return (near & self.active_sites.has_valid_counts(C)).reshape(X.shape[:-1]).to(X.device)

    def project(self, X: Tensor) -> Tensor:
        """Return the decoration nearest to X `[..., d]`, not canonical."""
        return self._coordinates(self.occupations(X)).reshape(X.shape).to(X)

    def canonical(self, X: Tensor) -> Tensor:
        """Return the first decoration equivalent to X by symmetry, `[..., d]`."""
        C = self.enumerator.canonical(self.occupations(X))
        return self._coordinates(C).reshape(X.shape).to(X)

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes of decorations, by name.

        "block" exchanges the neighborhoods of two sites, "swap" exchanges two unlike sites, and
        "flip", where a composition is free, changes one site. Their results are canonical.
        """
        names = ["block", "swap"]
        if bool(self.active_sites.has_free_composition.any()):
            names.insert(1, "flip")
        return {name: partial(self._move, name) for name in names}

    def neighbors(self, x: Tensor) -> Tensor:
        """Return all other members one change from x `[d]`, `[m, d]`.

        A change is a flip of one site where the composition is free, else a swap of two.
        """
        check_shape("x", x, [self.dimension])
        C = self.enumerator.canonical(self.occupations(x))
        near = moves.neighbor_decorations(C[0], self.active_sites)
        near = self.enumerator.canonical(near).unique(dim=0) if len(near) else near
        near = near[(near != C).any(-1)]
        return self._coordinates(near).to(x)

    def composition(self, X: Tensor) -> Tensor:
        """Return the fraction of each element among the atoms at X `[..., d]`, `[..., k]`."""
        Z = self._atomic_numbers(self.occupations(X))
        counts = (Z.unsqueeze(-1) == self.numbers).sum(1).double()  # [n, k]
        fractions = counts / (Z > 0).sum(-1, keepdim=True).clamp(min=1)
        return fractions.reshape(*X.shape[:-1], -1).to(X)

    def exact_properties(self, X: Tensor) -> dict[str, Tensor]:
        """Return the properties at X `[..., d]` that need no evaluation, each `[...]`.

        "x_Cu" and the like; "price" per kilogram and "density" in g/cm³ where the space has prices
        and volumes.
        """
        return self.composition_properties.evaluate(self.composition(X))

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], stored: StoredStructures | None = None
    ) -> Self:
        """Return the space with a given description."""
        from ase import Atoms as ASEAtoms
        from ase.constraints import FixAtoms

        names = ("numbers", "positions", "cell", "pbc")
        parent = ASEAtoms(**{name: description[name] for name in names})
        parent.set_tags(description.get("tags", 0))
        parent.set_constraint(FixAtoms(mask=description.get("fixed", [])))
        symbols = parent.get_chemical_symbols()
        groups = {symbols[group["sites"][0]]: group for group in description["sites"]}
        return cls(
            parent,
            {symbol: group["species"] for symbol, group in groups.items()},
            counts={
                symbol: dict(zip(group["species"], group["counts"], strict=True))
                for symbol, group in groups.items()
                if group["counts"] is not None
            },
            encoding=description["encoding"],
            volumes=description["volumes"],
            price=description["price"],
        )

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the space, as JSON values."""
        sites, base = self.active_sites, from_ase(self.parent)
        marks = {"fixed": base.fixed.tolist(), "tags": base.tags.tolist()}
        return {
            "type": "Lattice",
            "numbers": self.parent.get_atomic_numbers().tolist(),
            "positions": self.parent.get_positions().tolist(),
            "cell": self.parent.cell.array.tolist(),
            "pbc": self.parent.pbc.tolist(),
            "sites": [
                {
                    "sites": sites.parent_indices[list(sublattice.sites)].tolist(),
                    "species": list(options),
                    "counts": None if sublattice.counts is None else list(sublattice.counts),
                }
                for sublattice, options in zip(
                    sites.sublattices, sites.sublattice_options, strict=True
                )
            ],
            "encoding": self.encoding,
            **{name: values for name, values in marks.items() if any(values)},
            **self.composition_properties.description(),
        }

    def occupations(self, X: Tensor) -> Tensor:
        """Return the option on each active site at X `[..., d]`, `[n, s]` int64 on the CPU.

        Where X is no decoration it is the nearest one.
        """
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, self.dimension])
        flat = X.detach().reshape(-1, self.dimension).double().cpu().nan_to_num(0.0)
        C = self._nearest_options(flat)
        for row in (~self.active_sites.has_valid_counts(C)).nonzero().flatten().tolist():
            C[row] = self.active_sites.best_assignment(self._option_scores(flat[row]))
        return C

    @cached_property
    def _canonical_decorations(self) -> Tensor:
        """All canonical decorations, `[size, s]` uint8."""
        chunks = self.enumerator.iter_decorations()
        return torch.cat([C[self.enumerator.is_canonical(C)].to(torch.uint8) for C in chunks])

    def _move(self, name: str, X: Tensor, generator: torch.Generator) -> Tensor:
        C = getattr(moves, name)(self.occupations(X), self.active_sites, generator)
        return self._coordinates(self.enumerator.canonical(C)).to(X)

    def _coordinates(self, C: Tensor) -> Tensor:
        """Return decorations `[n, s]` as X, `[n, d]` float64."""
        if self.encoding == "integer":
            return C.double()
        one_hot = torch.nn.functional.one_hot(C, int(self.active_sites.n_options.max()))
        return one_hot[:, self.active_sites.option_mask].double()

    def _option_scores(self, X: Tensor) -> Tensor:
        """Return scores of all options at X `[..., d]`, larger is nearer, `[..., s, k]`."""
        k = int(self.active_sites.n_options.max())
        if self.encoding == "integer":
            return -(X.unsqueeze(-1) - torch.arange(k)).square()
        mask = self.active_sites.option_mask
        scores = torch.full((*X.shape[:-1], *mask.shape), -torch.inf, dtype=torch.float64)
        scores[..., mask] = X
        return scores

    def _nearest_options(self, X: Tensor) -> Tensor:
        """Return the best option of each site at X `[n, d]`, `[n, s]`."""
        scores = self._option_scores(X).masked_fill(~self.active_sites.option_mask, -torch.inf)
        return scores.argmax(-1)

    def _atomic_numbers(self, C: Tensor) -> Tensor:
        """Return the atomic numbers on all sites, 0 where vacant, `[n, a]`."""
        Z = torch.from_numpy(np.array(self.parent.get_atomic_numbers())).long()
        Z = Z.repeat(len(C), 1)
        Z[:, self.active_sites.parent_indices] = self.active_sites.option_numbers.gather(1, C.T).T
        return Z
