"""Decorations of a lattice: X say what is on each site of a parent structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, check_positive, check_shape, must
from bostruct.spaces.alloys import moves
from bostruct.spaces.alloys.decoration_enumeration import Coloring
from bostruct.spaces.alloys.parent_lattice import parent_atoms
from bostruct.spaces.alloys.site_permutations import permutations
from bostruct.spaces.alloys.sublattices import Sites, occupants, sublattices
from bostruct.spaces.composition_properties import Known, composition
from bostruct.spaces.formula import element_radii
from bostruct.spaces.space import CHUNK, NEAR, Move, alike, check_range, empty, spans
from bostruct.structures import SYMBOLS, Structures, from_ase

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

LISTED = 1 << 31
"""Products of a decoration with a symmetry; a space of more is not listed."""

CODES = ("integer", "onehot")


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Lattice:
    """All ways to fill the sites of a parent structure, symmetry apart.

    A space of `bostruct.spaces.space.Discrete`. Decorations that a symmetry of the
    parent maps onto each other are one: `canonical` gives the first of them in the
    order of words, and samples, moves and encoded structures are canonical. Samples
    are uniform over what is different, by construction.

    Symmetries are those that keep the cell. In one less symmetric than its lattice, as
    2×1×1 cubes, an ordering that fits in two orientations counts twice; 2×2×2 cells
    and `Orderings` know no such.

    X `[..., d]` has one number a site, the place of what it holds among the site's
    options, or with `code="onehot"` one number an option, 1 for what it holds. Only
    sites with a choice have coordinates.

    Args:
        parent: the sites, from ASE or pymatgen: a crystal, a slab or a cluster.
        species: the options of all sites on which the parent has one element, by that
            element: `{"Ni": ["Ni", "Al"], "O": ["O", "X"]}`. X is a vacancy. Other
            sites keep what they have.
        counts: how many of each are on the sites of one of these elements,
            `{"Ni": {"Ni": 8, "Al": 8}}`; where not given the composition is free.
        code: "integer" or "onehot".
        volumes: Å³ of an atom by element, where the mass density is to be known. The
            parent's cell is not changed.
        price: of a kilogram by element, which makes the price known.

    Attributes:
        parent: the sites.
        numbers: `[k]` int64, elements that may occur.
        radii: `[k]` Å.
        sites: sites with a choice, and their options.
        coloring: their decorations and symmetries.
        code: as given.

    Raises:
        InputError: an argument cannot be used.
        SpaceError: there is nothing to choose, or every site may be vacant.
    """

    parent: Atoms
    numbers: Tensor
    radii: Tensor
    sites: Sites
    coloring: Coloring
    code: str
    facts: Known

    def __init__(
        self,
        parent: Atoms | Structure,
        species: Mapping[str, Sequence[str]],
        *,
        counts: Mapping[str, Mapping[str, int]] | None = None,
        code: str = "integer",
        volumes: Mapping[str, float] | None = None,
        price: Mapping[str, float] | None = None,
    ) -> None:
        if code not in CODES:
            condition = f"be one of {', '.join(CODES)}"
            raise InputError(must("code", condition, repr(code)))
        atoms = parent_atoms(parent)
        sites = sublattices(atoms, species, counts)
        kinds = np.array(atoms.get_atomic_numbers())
        kinds[sites.where.numpy()] = -1 - sites.part.numpy()
        P = permutations(atoms, kinds)
        # symmetries of the sites that have a choice
        place = torch.full((len(atoms),), -1)
        place[sites.where] = torch.arange(len(sites.where))
        P = place[P[:, sites.where]].unique(dim=0)
        elements = sites.elements
        numbers = torch.tensor([SYMBOLS.index(symbol) for symbol in elements])
        for name, value in {
            "parent": atoms,
            "numbers": numbers,
            "radii": element_radii(numbers, None),
            "sites": sites,
            "coloring": Coloring(sites.parts, P),
            "code": code,
            "facts": Known(elements, price, volumes),
        }.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        found = self.parent.get_chemical_formula()
        return f"Lattice({found}, {len(self.sites.where)} sites with a choice)"

    @property
    def dimension(self) -> int:
        """The number of sites with a choice, or of all their options together."""
        width = self.sites.width
        return len(width) if self.code == "integer" else int(width.sum())

    @property
    def count(self) -> int:
        """How many different decorations there are, by Burnside's lemma."""
        return self.coloring.size

    @property
    def size(self) -> int | None:
        """The same where they can be listed, else None."""
        work = self.coloring.labelings * len(self.coloring.P)
        return self.count if work <= LISTED else None

    def rows(self, start: int, stop: int) -> Tensor:
        """Return decorations `start` to `stop` of the list, `[stop - start, d]`.

        Raises:
            SpaceError: there are too many to list.
            InputError: there are no such decorations.
        """
        check_range(self.size, start, stop)
        return self._coordinates(self._list[start:stop].long())

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        """Yield all different decorations, at most `size` at a time, `[·, d]`."""
        for start, stop in spans(self.size, size):
            yield self.rows(start, stop)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return decorations uniform over what is different, `[n, d]` float64."""
        check_count("n", n, 0)
        if not n:
            return empty(self.dimension)
        C = self.coloring.sample(n, generator)
        return self._coordinates(self.coloring.canonical(C))

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major; no gradient flows."""
        Z = self._atomic(self.codes(X))  # [n, a]
        n, a = Z.shape
        held = Z > 0
        base = from_ase(self.parent).to(dtype=X.dtype)
        found = Structures.unchecked(
            positions=base.positions.expand(n, a, 3)[held],
            numbers=Z[held],
            cell=base.cell.repeat(n, 1, 1),
            pbc=base.pbc.repeat(n, 1),
            index=torch.arange(n).unsqueeze(-1).expand(n, a)[held],
            fixed=torch.zeros(int(held.sum()), dtype=torch.bool),
            tags=torch.zeros(int(held.sum()), dtype=torch.int64),
        )
        return found.to(X.device)

    def encode(self, structures: Structures) -> Tensor:
        """Return the coordinates of structures on this lattice, canonical, `[b, d]`.

        Atoms belong to the nearest site, in fractions of the cell where there is one;
        a site without one is vacant.

        Raises:
            InputError: a structure is no decoration of the space.
        """
        base = from_ase(self.parent)
        rows = []
        for one in structures.to("cpu", torch.float64).split():
            Z = occupants(one, base)
            C = self.sites.read(Z)
            if C is None or not bool(self._allowed(C)):
                condition = "be decorations of this lattice"
                raise InputError(must("structures", condition, one.formulas()[0]))
            rows.append(C)
        C = self.coloring.canonical(torch.stack(rows))
        return self._coordinates(C).to(structures.device, structures.dtype)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` is a decoration of the space, `[...]`."""
        flat = X.detach().reshape(-1, self.dimension).double().cpu()
        C = self._round(flat.nan_to_num(-1.0))
        near = ((self._coordinates(C) - flat).abs() < NEAR).all(-1)
        return (near & self._allowed(C)).reshape(X.shape[:-1]).to(X.device)

    def project(self, X: Tensor) -> Tensor:
        """Return the decoration nearest to X `[..., d]`, not canonical."""
        return self._coordinates(self.codes(X)).reshape(X.shape).to(X)

    def canonical(self, X: Tensor) -> Tensor:
        """Return the first decoration equal to X by symmetry, `[..., d]`."""
        C = self.coloring.canonical(self.codes(X))
        return self._coordinates(C).reshape(X.shape).to(X)

    def same(self, A: Tensor, B: Tensor, scale: float = 1.0) -> Tensor:
        """Return whether a symmetry maps A to B `[..., d]`, broadcast, `[...]`.

        Raises:
            InputError: the scale is not positive.
        """
        check_positive("scale", scale, "Decorations are the same or not.")
        return alike(self.canonical(A), self.canonical(B))

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes of decorations, by name.

        "block" exchanges what is around one site with what is around another, "swap"
        exchanges two unlike sites, and "flip", where a composition is free, changes
        one. What they return is canonical.
        """
        names = ["block", "swap"]
        if any(part.counts is None for part in self.sites.parts):
            names.insert(1, "flip")
        return {name: partial(self._move, name) for name in names}

    def neighbors(self, x: Tensor) -> Tensor:
        """Return all different decorations one change from x `[d]`, `[m, d]`.

        A change is a flip of one site where the composition is free, else a swap of
        two.
        """
        check_shape("x", x, [self.dimension])
        C = self.coloring.canonical(self.codes(x))
        near = moves.around(C[0], self.sites)
        near = self.coloring.canonical(near).unique(dim=0) if len(near) else near
        near = near[(near != C).any(-1)]
        return self._coordinates(near).to(x)

    def fractions(self, X: Tensor) -> Tensor:
        """Return the share of each element in the atoms at X `[..., d]`, `[..., k]`."""
        Z = self._atomic(self.codes(X))
        held = Z > 0
        index = torch.arange(len(Z)).unsqueeze(-1).expand(Z.shape)[held]
        found = composition(Z[held], index, len(Z), self.numbers)
        return found.reshape(*X.shape[:-1], -1).to(X)

    def known(self, X: Tensor) -> dict[str, Tensor]:
        """Return what is exactly known at X `[..., d]`, each `[...]`.

        "x_Cu" and the like; "price" per kilogram and "density" in g/cm³ where prices
        and volumes were given.
        """
        return self.facts.at(self.fractions(X))

    def description(self) -> dict[str, Any]:
        """Return what identifies the space, as JSON values."""
        parts = zip(self.sites.parts, self.sites.names, strict=True)
        return {
            "kind": "lattice",
            "numbers": self.parent.get_atomic_numbers().tolist(),
            "positions": self.parent.get_positions().tolist(),
            "cell": self.parent.cell.array.tolist(),
            "pbc": self.parent.pbc.tolist(),
            "sites": [
                {
                    "sites": self.sites.where[list(part.sites)].tolist(),
                    "species": list(names),
                    "counts": None if part.counts is None else list(part.counts),
                }
                for part, names in parts
            ],
            "code": self.code,
            **self.facts.description(),
        }

    def codes(self, X: Tensor) -> Tensor:
        """Return what each site holds at X `[..., d]`, `[n, s]` int64 on the CPU.

        Where X is no decoration it is the nearest one.
        """
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, self.dimension])
        flat = X.detach().reshape(-1, self.dimension).double().cpu().nan_to_num(0.0)
        C = self._round(flat)
        for row in (~self._allowed(C)).nonzero().flatten().tolist():
            C[row] = self.sites.assign(self._scores(flat[row]))
        return C

    @cached_property
    def _list(self) -> Tensor:
        """All canonical decorations, `[size, s]` uint8."""
        found = []
        for labels in self.coloring.labels():
            kept = self.coloring.leading(labels)
            found.append(labels[kept].to(torch.uint8))
        return torch.cat(found)

    def _move(self, name: str, X: Tensor, generator: torch.Generator) -> Tensor:
        if not len(X):
            return X.clone()
        C = getattr(moves, name)(self.codes(X), self.sites, generator)
        return self._coordinates(self.coloring.canonical(C)).to(X)

    def _coordinates(self, C: Tensor) -> Tensor:
        """Return decorations `[n, s]` as X, `[n, d]` float64."""
        if self.code == "integer":
            return C.double()
        hot = torch.nn.functional.one_hot(C, int(self.sites.width.max()))
        return hot[:, self.sites.real].double()

    def _scores(self, X: Tensor) -> Tensor:
        """Return how well options suit sites at X `[..., d]`, `[..., s, k]`."""
        k = int(self.sites.width.max())
        if self.code == "integer":
            return -(X.unsqueeze(-1) - torch.arange(k)).square()
        scores = torch.full((*X.shape[:-1], *self.sites.real.shape), -torch.inf)
        scores = scores.double()
        scores[..., self.sites.real] = X
        return scores

    def _round(self, X: Tensor) -> Tensor:
        """Return the best option of each site at X `[n, d]`, `[n, s]`."""
        scores = self._scores(X).masked_fill(~self.sites.real, -torch.inf)
        return scores.argmax(-1)

    def _allowed(self, C: Tensor) -> Tensor:
        """Return whether decorations `[..., s]` hold as many of each as they must."""
        return self.sites.counted(C)

    def _atomic(self, C: Tensor) -> Tensor:
        """Return the atomic numbers on all sites, 0 where vacant, `[n, a]`."""
        Z = torch.from_numpy(np.array(self.parent.get_atomic_numbers())).long()
        Z = Z.repeat(len(C), 1)
        Z[:, self.sites.where] = self.sites.table.gather(1, C.T).T
        return Z
