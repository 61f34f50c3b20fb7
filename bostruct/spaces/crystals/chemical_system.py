"""Chemical system: crystals of several compositions and sizes in one space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from inspect import signature
from typing import Any, Self, final

import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, check_positive, error_message
from bostruct.spaces.active_bounds import ActiveBound
from bostruct.spaces.crystals.crystal import Crystal
from bostruct.spaces.crystals.duplicates import composition_keys, is_same_crystal
from bostruct.spaces.crystals.formula_units import cell_formulas
from bostruct.spaces.crystals.member_arguments import member_arguments, refuse_other_arguments
from bostruct.spaces.crystals.member_moves import (
    larger_members,
    to_supercell,
    transmuted,
    transmuted_members,
)
from bostruct.spaces.crystals.padded_coordinates import PaddedCoordinates
from bostruct.spaces.random_tensors import sample_categorical, uniform
from bostruct.spaces.space import Move, Sampler
from bostruct.spaces.stored_structures import StoredStructures
from bostruct.structures import Structures
from bostruct.structures.elements import formula as formula_of


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class ChemicalSystem:
    """All crystals of several compositions, or of one composition in cells of several sizes.

    A campaign in it minimizes the energy above the convex hull, eV per atom: of one composition
    that is the energy per atom above the lowest one.

    The coordinates X `[..., d]` are the number of a member, which is a `Crystal` of one formula,
    and its own coordinates, filled with zeros; see `bostruct.spaces.crystals.padded_coordinates`.

    Args:
        system: elements joined by dashes, "Cu-Au", whose formulas are all those of up to
            `max_atoms` atoms, the elements among them; a list of formulas, as in
            ["Cu", "Cu3Au", "CuAu"]; or one formula with several `formula_units`.
        max_atoms: largest number of atoms in the cell, where elements are given.
        min_atoms: smallest number of atoms in the cell, where elements are given.
        formula_units: numbers of formula units of the formulas, as in [1, 2, 4]; a tuple of two is
            the smallest and the largest.
        bounds: lowest and highest fraction of an element, where elements are given, as in
            `{"Au": (0.0, 0.5)}`. The hull then ends at the outermost compositions that are left,
            or at reference entries of the campaign.
        volume: expected volume in Å³ per atom, or by formula as in {"Cu": 11.8, "Au": 17}; of a
            composition between elements that are given it is their mean. By default from radii.
        volume_range: smallest and largest volume, relative to the expected one, as of `Crystal`.
        pressure: pressure in eV/Å³ at which the enthalpy is sought; 1 GPa is 0.00624 eV/Å³.
        symmetry: numbers of the space groups of random crystals; a member takes those that can
            hold its atoms. By default half of the crystals have a random one.
        atomic_radii: radii in Å by element, where the covalent ones are not meant.
        min_distance: minimum distance in Å of all pairs, or by pair as in `{"O-O": 2.0}`.
        min_distance_factor: default minimum distance, as a fraction of the bond length.
        lengths: smallest and largest length in Å of lattice vectors.
        angles: smallest and largest angle of lattice vectors, degrees.
        **others: other arguments of `Crystal`, which are refused.

    Attributes:
        members: crystals of one formula each.
        numbers: `[s]` int64, atomic numbers of the elements, in rising order.
        atomic_radii: `[s]` Å.
        pressure: pressure, eV/Å³.
        coordinates: coordinates of the members in X.

    Raises:
        InputError: an argument is invalid.
        SpaceError: a volume cannot hold the atoms.
    """

    members: tuple[Crystal, ...]
    numbers: Tensor
    atomic_radii: Tensor
    pressure: float
    coordinates: PaddedCoordinates

    def __init__(
        self,
        system: str | Sequence[str],
        *,
        max_atoms: int | None = None,
        min_atoms: int = 1,
        formula_units: int | Sequence[int] | None = None,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        volume: Mapping[str, float] | float | None = None,
        volume_range: Sequence[float] | None = None,
        pressure: float = 0.0,
        symmetry: int | Sequence[int] | None = None,
        atomic_radii: Mapping[str, float] | None = None,
        min_distance: Mapping[str, float] | float | None = None,
        min_distance_factor: float = 0.7,
        lengths: Sequence[float] | None = None,
        angles: Sequence[float] | None = None,
        **others: object,
    ) -> None:
        own = [name for name in signature(ChemicalSystem).parameters if name != "others"]
        refuse_other_arguments(others, own)
        formulas = cell_formulas(system, max_atoms, min_atoms, formula_units, bounds)
        arguments = member_arguments(formulas, volume, symmetry, atomic_radii, min_distance)
        members = [
            Crystal(
                formula,
                volume_range=volume_range,
                pressure=pressure,
                min_distance_factor=min_distance_factor,
                lengths=lengths,
                angles=angles,
                **own,
            )
            for formula, own in zip(formulas, arguments, strict=True)
        ]
        self._set_members(members)

    def _set_members(self, members: Sequence[Crystal]) -> None:
        radii: dict[int, float] = {}
        for member in members:
            pairs = zip(member.numbers.tolist(), member.atomic_radii.tolist(), strict=True)
            radii |= dict(pairs)
        every = sorted(radii)
        for name, value in {
            "members": tuple(members),
            "numbers": torch.tensor(every),
            "atomic_radii": torch.tensor([radii[z] for z in every], dtype=torch.float64),
            "pressure": members[0].pressure,
            "coordinates": PaddedCoordinates(
                [member.coordinates for member in members], [member.numbers for member in members]
            ),
        }.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        first, last = self.members[0].formula, self.members[-1].formula
        return f"ChemicalSystem({len(self.members)} formulas, {first!r} to {last!r})"

    @property
    def dimension(self) -> int:
        """The number of coordinates, one more than those of the largest member."""
        return self.coordinates.dimension

    @cached_property
    def atom_counts(self) -> Tensor:
        """The number of atoms of each member, `[m]` int64."""
        return torch.tensor([len(member.numbers) for member in self.members])

    @cached_property
    def compositions(self) -> Tensor:
        """The fraction of each element in each member, `[m, s]`, in the order of `numbers`."""
        rows = [(member.numbers.unsqueeze(-1) == self.numbers) for member in self.members]
        return torch.stack([row.double().mean(0) for row in rows])

    @property
    def formulas(self) -> tuple[str, ...]:
        """The formula of each member."""
        return tuple(member.formula for member in self.members)

    def member_index(self, X: Tensor) -> Tensor:
        """Return the number of the member at X `[..., d]`, `[...]` int64."""
        return self.coordinates.index(X)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random crystals, `[n, d]` float64 on the CPU.

        Compositions take turns in random order, so that each is drawn once before any is drawn
        again. Of the sizes of a composition the larger ones are drawn more often, in proportion to
        the number of atoms: they have more structures, those of the smaller ones among them.
        """
        check_count("n", n, 0)
        return self._sample(self._draw_members(n, generator), "random", generator)

    def sample_members(self, members: Tensor, generator: torch.Generator) -> Tensor:
        """Return a random crystal of each of some members `[n]`, `[n, d]` float64 on the CPU."""
        return self._sample(members, "random", generator)

    def generators(self) -> Mapping[str, Sampler]:
        """Return the samplers of random crystals by name, those of `Crystal`."""
        names = dict.fromkeys(name for member in self.members for name in member.generators())
        return {name: partial(self._sample_named, name) for name in names}

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major; positions and cells differentiable."""
        return self.coordinates.decode(X.reshape(-1, self.dimension))

    def encode(self, structures: Structures) -> Tensor:
        """Return the coordinates of crystals, `[b, d]`, as `Crystal.encode` does.

        A crystal belongs to the member of its formula, and without one to the smallest member of
        its composition in whose cell it fits.

        Raises:
            InputError: a structure is not periodic along three directions, or no member holds it.
        """
        rows = [self._encode_one(structure) for structure in structures]
        return torch.cat(rows) if rows else structures.positions.new_zeros(0, self.dimension)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` is a crystal of its member, `[...]` bool.

        The cell is within its bounds, no atoms are too close, and coordinates beyond those of the
        member are zero.
        """
        rows = X.reshape(-1, self.dimension)
        inside = self.coordinates.is_canonical(rows)
        for m, group in self.coordinates.groups(rows):
            inside[group] &= self.members[m].contains(self.coordinates.crop(m, rows[group]))
        return inside.reshape(X.shape[:-1])

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` with the crystal of its member projected, and zeros beyond."""
        project = lambda m, x: self.members[m].project(x)  # noqa: E731
        return self._map(X.reshape(-1, self.dimension), project).reshape(X.shape)

    def is_duplicate(self, A: Tensor, B: Tensor, tolerance_scale: float = 1.0) -> Tensor:
        """Return whether A and B `[..., d]`, broadcast, are the same crystal, `[...]`.

        Cells of one composition are compared whatever their size: a primitive cell and its
        supercells are the same. `tolerance_scale` multiplies the tolerance.

        Raises:
            InputError: the scale is not positive.
        """
        check_positive("tolerance_scale", tolerance_scale, "It multiplies the tolerance.")
        return is_same_crystal(self.members, self.coordinates, A, B, tolerance_scale)

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes of crystals, by name.

        Those of `Crystal` act within a member; "transmute" makes random atoms those of another
        element, at the same number of atoms, and "supercell" repeats a crystal in the cell of a
        larger member of the same composition, where its atoms are then exchanged, or rattled.
        Where a member has no such move its crystals are rattled; where a move leaves the space, it
        returns its input, projected.
        """
        names = dict.fromkeys(name for member in self.members for name in member.moves())
        moves: dict[str, Move] = {name: partial(self._move_within, name) for name in names}
        for name in ("supercell", "transmute"):
            if any(self._targets[name]):
                moves[name] = partial(self._move_between, name)
        return dict(sorted(moves.items()))

    def active_bounds(self, x: Tensor) -> list[ActiveBound]:
        """Return the minimum distances on which the crystal at x `[d]` leans, or violates."""
        return self._member_at(x).active_bounds(self._crop_one(x))

    def volume_bound(self, x: Tensor) -> tuple[float, int] | None:
        """Return the volume on which the cell at x `[d]` leans, as `Crystal.volume_bound` does."""
        return self._member_at(x).volume_bound(self._crop_one(x))

    def cell_violation(self, x: Tensor) -> tuple[str, str] | None:
        """Return what of the cell at x `[d]` is outside its bounds and the way out, or None."""
        return self._member_at(x).cell_violation(self._crop_one(x))

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], stored: StoredStructures | None = None
    ) -> Self:
        """Return the space with a given description."""
        self = object.__new__(cls)
        members = [Crystal.from_description(member) for member in description["members"]]
        self._set_members(members)
        return self

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the space, as JSON values."""
        members = [member.description() for member in self.members]
        return {"type": "ChemicalSystem", "pressure": self.pressure, "members": members}

    @cached_property
    def _targets(self) -> dict[str, list[list[int]]]:
        """Members that each member is moved to, by the name of the move."""
        return {
            "supercell": larger_members(self.members),
            "transmute": transmuted_members(self.members),
        }

    def _member_at(self, x: Tensor) -> Crystal:
        return self.members[int(self.member_index(x))]

    def _crop_one(self, x: Tensor) -> Tensor:
        return self.coordinates.crop(int(self.member_index(x)), x)

    def _map(self, X: Tensor, function: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Return X `[n, d]` with a function of each member's own coordinates applied to them."""
        mapped = X.clone()
        for m, rows in self.coordinates.groups(X):
            own = function(m, self.coordinates.crop(m, X[rows]))
            mapped[rows] = self.coordinates.pad(m, own.to(X))
        return mapped

    def _draw_members(self, n: int, generator: torch.Generator) -> Tensor:
        own_keys = composition_keys(self.members)
        keys = list(dict.fromkeys(own_keys))
        n_cycles = -(-n // len(keys))
        order = [uniform((len(keys),), generator).argsort().cpu() for _ in range(n_cycles)]
        drawn = torch.cat(order)[:n] if order else torch.zeros(0, dtype=torch.int64)
        composition = torch.tensor([keys.index(key) for key in own_keys])
        weights = (
            self.atom_counts.double()
            .log()
            .masked_fill(composition != drawn.unsqueeze(-1), -torch.inf)
        )
        return sample_categorical(weights, generator)

    def _sample_named(self, name: str, n: int, generator: torch.Generator) -> Tensor:
        return self._sample(self._draw_members(n, generator), name, generator)

    def _sample(self, members: Tensor, name: str, generator: torch.Generator) -> Tensor:
        X = torch.zeros(len(members), self.dimension, dtype=torch.float64)
        for m in members.unique().tolist():
            rows = (members == m).nonzero().squeeze(-1)
            samplers = self.members[m].generators()
            sampler = samplers.get(name, samplers["random"])
            X[rows] = self.coordinates.pad(m, sampler(len(rows), generator))
        return X

    def _encode_one(self, structure: Structures) -> Tensor:
        numbers = structure.numbers.cpu()
        own = numbers.sort().values
        fractions = (numbers.unsqueeze(-1) == self.numbers).double().mean(0)
        alike = [
            (not torch.equal(own, member.numbers.sort().values), len(member.numbers), m)
            for m, member in enumerate(self.members)
            if torch.allclose(self.compositions[m], fractions, rtol=0.0, atol=1e-9)
        ]
        error: InputError | None = None
        for _, _, m in sorted(alike):
            try:
                return self.coordinates.pad(m, self.members[m].encode(structure))
            except InputError as refusal:
                error = refusal
        if error is not None:
            raise error
        formulas = ", ".join(member.formula for member in self.members[:4])
        condition = f"have the composition of a member, {formulas} ..."
        raise InputError(error_message("structures", condition, formula_of(numbers.tolist())))

    def _move_within(self, name: str, X: Tensor, generator: torch.Generator) -> Tensor:
        def move(m: int, x: Tensor) -> Tensor:
            moves = self.members[m].moves()
            return moves[name if name in moves else "rattle"](x, generator)

        return self._map(X, move)

    def _move_between(self, name: str, X: Tensor, generator: torch.Generator) -> Tensor:
        table, change = self._targets[name], to_supercell if name == "supercell" else transmuted
        u = uniform((len(X),), generator).tolist()
        choices = [table[m] for m in self.member_index(X).tolist()]
        target = torch.tensor(
            [own[int(v * len(own))] if own else -1 for v, own in zip(u, choices, strict=True)],
            dtype=torch.int64,
            device=X.device,
        )
        moved = self.project(X)
        for m, rows in self.coordinates.groups(X):
            for k in target[rows].unique().tolist():
                if k < 0:
                    continue
                chosen = rows[target[rows] == k]
                x = self.coordinates.crop(m, X[chosen])
                changed = change(self.members[m], self.members[k], x, generator)
                inside = self.members[k].contains(changed)
                moved[chosen[inside]] = self.coordinates.pad(k, changed[inside])
        return moved
