"""Free clusters and molecules: X are the positions of all atoms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any, Self, final

import torch
from torch import Tensor

from bostruct.errors import (
    InputError,
    SpaceError,
    check_count,
    check_shape,
    error_message,
)
from bostruct.spaces.active_bounds import ActiveBound
from bostruct.spaces.clusters import bounds, molecular_moves, moves
from bostruct.spaces.clusters.molecular_packing import (
    push_units_apart,
    relocate,
    sample_packed,
)
from bostruct.spaces.clusters.packing import (
    CONTACT_FACTOR,
    N_PUSH_STEPS,
    center_positions,
    confine_centered,
    distance_matrix,
    remove_overlaps,
)
from bostruct.spaces.clusters.sampling import (
    N_SAMPLE_ATTEMPTS,
    N_TRIAL_ATTEMPTS,
    N_TRIAL_SAMPLES,
    rejection_sample,
    sample_compact,
    sample_symmetric,
)
from bostruct.spaces.clusters.tree_sampling import has_few_neighbors, sample_trees
from bostruct.spaces.connectivity import (
    DEFAULT_MAX_GAP_FACTOR,
    is_connected,
    resolve_max_gap_factor,
)
from bostruct.spaces.fingerprint_distance import RELATIVE_ROUNDING, FingerprintedStructures
from bostruct.spaces.formula import (
    check_length,
    min_pair_distances,
    parse_formula,
    resolve_atomic_radii,
)
from bostruct.spaces.molecules import moves as unit_moves
from bostruct.spaces.molecules.bounds import bond_bounds, name_reactions
from bostruct.spaces.molecules.fragments import MAX_ORDERS, Fragments
from bostruct.spaces.molecules.whole_molecules import WholeMolecules
from bostruct.spaces.region import chain_length, packed_radius
from bostruct.spaces.space import Move, Sampler
from bostruct.spaces.stored_structures import StoredStructures, without_type
from bostruct.structures import SYMBOLS, Structures, distance_fingerprint

DEFAULT_MIN_DISTANCE_FACTOR = 0.7
"""Default minimum distance, as a fraction of the bond length."""

RELOCATION_TEMPERATURE = 2.0
"""Number of contacts that make a molecule e times less likely to be moved to another place."""

UNIT_MOVES = {
    "turn": unit_moves.turn_molecules,
    "exchange": unit_moves.exchange,
    "bend": unit_moves.bend,
    "mirror": unit_moves.mirror,
}
"""Moves of whole molecules that depend on nothing else, by name."""

ATOMIC_MOVES = {"permute_atoms": "permute", "rattle_atoms": "rattle", "relocate_atom": "relocate"}
"""Moves of atoms that may break bonds, where molecules move too, by the names they have alone."""


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Cluster(WholeMolecules, FingerprintedStructures):
    """All structures of one formula in a sphere about the origin.

    The coordinates X `[..., 3a]` are the positions in Å, atom after atom in the order of the
    formula. Samples, encoded structures and moved ones have their geometric center at the origin.
    Atoms move one by one: for molecules that stay whole use `Cluster.of`.

    Args:
        formula: chemical formula as ASE reads it: "Cu15", "Au5Cu10", "(H2O)3".
        atomic_radii: radii in Å by element, where the covalent ones are not meant: two atoms that
            touch are the sum of their radii apart. For Lennard-Jones atoms of σ = 1 Å use
            `{"Ar": 0.56}`.
        min_distance: minimum distance in Å of all pairs, or by pair as in `{"Cu-Au": 2.0}`; for a
            pair that is not given it is `min_distance_factor` times the bond length.
        radius: radius in Å of the sphere that holds all atoms; the default has room for a straight
            chain of them, see `bostruct.spaces.region`. Random clusters are sampled in a smaller
            sphere, see `sampling_radius`.
        min_distance_factor: default minimum distance, as a fraction of the bond length.
        max_gap_factor: largest distance of connected atoms, in bond lengths; a cluster that is not
            connected is outside. By default 1.5, or infinite where an element forms molecules,
            which attract each other over more, and has no custom radius.
        fragments: molecules that make up the formula, see `Cluster.of`.
        allow_reactions: True if bonds of molecules may break and form.

    Attributes:
        formula: chemical formula.
        numbers: `[a]` int64 atomic numbers.
        atomic_radii: `[a]` Å.
        min_distances: `[a, a]` Å, the minimum distance of each pair that may be bonded, zero on the
            diagonal.
        radius: radius of the sphere, Å.
        max_gap_factor: largest distance of connected atoms, in bond lengths, or infinity.
        fragments: molecules that stay whole and free atoms, None where all atoms are free.
        allow_reactions: True if bonds of molecules may break and form.

    Raises:
        InputError: an argument is invalid.
        SpaceError: no structure fits into the sphere.
    """

    formula: str
    numbers: Tensor
    atomic_radii: Tensor
    min_distances: Tensor
    radius: float
    max_gap_factor: float
    fragments: Fragments | None
    allow_reactions: bool

    def __init__(
        self,
        formula: str,
        *,
        atomic_radii: Mapping[str, float] | None = None,
        min_distance: Mapping[str, float] | float | None = None,
        radius: float | None = None,
        min_distance_factor: float = DEFAULT_MIN_DISTANCE_FACTOR,
        max_gap_factor: float | None = None,
        fragments: Fragments | None = None,
        allow_reactions: bool = False,
    ) -> None:
        numbers = parse_formula(formula)
        radii = resolve_atomic_radii(numbers, atomic_radii)
        distances = min_pair_distances(numbers, radii, min_distance, min_distance_factor)
        if radius is None:
            radius = _default_radius(radii)
            if fragments is not None:
                radius = max(radius, fragments.chain_length(radii) / 2)
        gap_factor = resolve_max_gap_factor(max_gap_factor, numbers, atomic_radii)
        if fragments is not None and max_gap_factor is None:
            gap_factor = DEFAULT_MAX_GAP_FACTOR
        for name, value in {
            "formula": formula,
            "numbers": numbers,
            "atomic_radii": radii,
            "min_distances": distances,
            "radius": float(check_length("radius", radius)),
            "max_gap_factor": gap_factor,
            "fragments": fragments,
            "allow_reactions": allow_reactions,
        }.items():
            object.__setattr__(self, name, value)
        self._check_feasible()

    @classmethod
    def of(
        cls,
        molecules: Mapping[str, int] | Sequence[Any],
        *,
        allow_reactions: bool = False,
        **arguments: Any,  # noqa: ANN401
    ) -> Self:
        """Return the space of clusters of molecules that stay whole.

        Samples and moves place, turn and bend whole molecules; a structure with a broken or a new
        bond is outside. A bond is whole between 0.8 and 1.25 times its length in the molecule that
        is given; atoms of different molecules touch at a sum of van der Waals radii, or form
        hydrogen bonds. Free atoms may bond to all that they touch. X holds the free atoms, then one
        molecule after the other.

        Args:
            molecules: counts by name, `{"H2O": 3, "Na": 1}`, or a list of molecules or of pairs of
                a molecule and its count. A molecule is a name in `ase.build.molecule`, Atoms, a
                file, or a `Molecule`, as `Molecule.from_smiles("CCO")`; an element is a free atom.
            allow_reactions: True if bonds may break and form after the start: then any structure
                without atoms too close is inside, and atoms move alone, too.
            arguments: further arguments of `Cluster`; minimum distances and gaps are those between
                molecules, gaps in contact lengths.

        Raises:
            InputError: an argument is invalid.
            SpaceError: no structure fits into the sphere.
        """
        fragments = Fragments.from_counts(molecules)
        return cls(
            fragments.formula, fragments=fragments, allow_reactions=allow_reactions, **arguments
        )

    def __repr__(self) -> str:
        if self.fragments is not None:
            return f"Cluster.of({self.fragments.name!r}, radius={self.radius:.2f})"
        return f"Cluster({self.formula!r}, radius={self.radius:.2f})"

    @property
    def dimension(self) -> int:
        """The number of coordinates, three for each atom."""
        return 3 * len(self.numbers)

    @cached_property
    def bond_lengths(self) -> Tensor:
        """The length of a bond of each pair, `[a, a]` Å, zero on the diagonal.

        It is the sum of the radii, or a little more than the minimum distance; between molecules it
        is the length of a contact.
        """
        if self.fragments is not None:
            return self.fragments.pair_tables(self.atomic_radii, self.min_distances)[0]
        sums = self.atomic_radii.unsqueeze(0) + self.atomic_radii.unsqueeze(1)
        return torch.maximum(sums, 1.05 * self.min_distances).fill_diagonal_(0.0)

    @cached_property
    def pair_limits(self) -> Tensor:
        """The least distance of each pair in a structure that is inside, `[a, a]` Å.

        It is that of `min_distances`; where molecules stay whole, larger between unbonded atoms.
        """
        if self.fragments is None or self.allow_reactions:
            return self.min_distances
        return self.fragments.pair_tables(self.atomic_radii, self.min_distances)[1]

    @cached_property
    def sampling_radius(self) -> float:
        """Radius of the sphere in which random clusters are packed, Å.

        It is far larger than a compact cluster, and at most `radius`: a sphere that holds a chain
        is almost empty.
        """
        return min(self.radius, _compact_radius(self.atomic_radii))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random clusters, `[n, d]` float64 on the CPU.

        They are compact, or trees of bonds where all elements are bonded covalently; molecules
        touch each other and are whole.

        Raises:
            SpaceError: the sphere is so small that some could not be made.
        """
        check_count("n", n, 0)
        if self.fragments is not None:
            X = rejection_sample(
                n, self.dimension, partial(self._draw_packed, generator), N_SAMPLE_ATTEMPTS
            )
            if X is None:
                raise self._infeasible_error()
            return X
        if has_few_neighbors(self.numbers):
            draw = partial(self._draw_trees, generator)
            X = rejection_sample(n, self.dimension, draw, N_TRIAL_ATTEMPTS)
            if X is not None:
                return X
        return self._sample_compact(n, generator)

    def _sample_compact(self, n: int, generator: torch.Generator) -> Tensor:
        X = self._sample(n, sample_compact, generator, N_SAMPLE_ATTEMPTS)
        if X is None:
            raise self._infeasible_error()
        return X

    def generators(self) -> Mapping[str, Sampler]:
        """Return the samplers of random clusters, by name.

        "random" is `sample`; "symmetric" clusters have a point group drawn at random; "compact" is
        there where clusters of `sample` are not compact. Of molecules there is "random" alone.
        """
        if self.fragments is not None:
            return {"random": self.sample}
        generators = {"random": self.sample, "symmetric": self._sample_symmetric}
        if has_few_neighbors(self.numbers):
            generators["compact"] = self._sample_compact
        return generators

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major, differentiable in X."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, self.dimension])
        a = len(self.numbers)
        P = X.reshape(-1, 3)
        b = P.shape[0] // a
        device = X.device
        return Structures.unchecked(
            positions=P,
            numbers=self.numbers.to(device).repeat(b),
            cell=X.new_zeros(b, 3, 3),
            pbc=torch.zeros(b, 3, dtype=torch.bool, device=device),
            index=torch.arange(b, device=device).repeat_interleave(a),
            fixed=torch.zeros(b * a, dtype=torch.bool, device=device),
            tags=torch.zeros(b * a, dtype=torch.int64, device=device),
        )

    def encode(self, structures: Structures) -> Tensor:
        """Return the coordinates of structures of this formula, `[b, d]`.

        Their atoms may stand in any order; equal atoms keep theirs. Atoms of molecules are found by
        their bonds, unless those in the order of the structure are whole, or some are broken.

        Raises:
            InputError: a structure has another formula.
        """
        a = len(self.numbers)
        numbers = self.numbers.to(structures.device)
        fits = bool((structures.counts == a).all())
        if fits:
            given = structures.numbers.reshape(-1, a)
            source = given.argsort(dim=-1, stable=True)  # [b, a]
            target = numbers.argsort(stable=True)  # [a]
            fits = bool((given.gather(-1, source) == numbers[target]).all())
        if not fits:
            formulas = ", ".join(sorted(set(structures.formulas())))
            raise InputError(error_message("structures", f"all be {self.formula}", formulas))
        order = torch.empty_like(source)
        order[:, target] = source
        P = structures.positions.reshape(-1, a, 3)
        P = P.gather(1, order.unsqueeze(-1).expand(-1, -1, 3))
        if self.fragments is not None:
            P = self._with_whole_molecules(P, self.fragments)
        return center_positions(P).flatten(-2)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether all atoms are in the sphere, connected, and none too close.

        Molecules must be whole, unless reactions are allowed. X is `[..., d]`, the result `[...]`.
        """
        P = self._positions(X)
        slack = max(RELATIVE_ROUNDING, 8 * torch.finfo(X.dtype).eps)
        inside = (torch.linalg.vector_norm(P, dim=-1) <= self.radius * (1 + slack)).all(-1)
        D = distance_matrix(P)
        apart = (self.pair_limits.to(X) * (1 - slack) <= D).flatten(-2).all(-1)
        contact_distances = self.bond_lengths + torch.eye(len(self.numbers), dtype=torch.float64)
        connected = is_connected(D, self.max_gap_factor * contact_distances.to(X))
        allowed: Tensor = inside & apart & connected
        if self.fragments is not None and not self.allow_reactions:
            allowed = allowed & self.fragments.are_bonds_whole(P)
        return allowed

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` centered, with atoms outside the sphere moved onto it.

        Centering shifts all atoms together. Minimizers of functions that do not depend on the
        position of the cluster may apply it after every step: gradients stay the same, and their
        differences have no component along the shift.
        """
        return confine_centered(self._positions(X), self.radius).flatten(-2)

    def molecule_violation(self, x: Tensor) -> str | None:
        """Return which bond is broken or new at x `[d]`, None if all molecules are whole."""
        if self.fragments is None or self.allow_reactions:
            return None
        P = self._positions(x)
        return self.fragments.violation(P, distance_matrix(P), self.pair_limits)

    def fingerprint(self, X: Tensor) -> Tensor:
        """Return the fingerprint at X `[..., d]`, `[..., f]` Å.

        It is that of rotated, mirrored and shifted copies, too, and of those with equal atoms
        exchanged. See `bostruct.structures.distance_fingerprint`.
        """
        return distance_fingerprint(distance_matrix(self._positions(X)), self.numbers)

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes of clusters, by name.

        "permute" (several species only), "rattle", "relocate", "splice" (of several clusters) and
        "twist". Molecules move as a whole; they also "turn", "exchange" with unlike ones, "bend" by
        torsions and "mirror", and atoms move alone where reactions are allowed. Where a move leaves
        the space, it returns its input, projected.
        """
        if self.fragments is not None:
            return {name: partial(self._move_units, name) for name in self._unit_move_names()}
        names = ["rattle", "relocate", "splice", "twist"]
        if len(set(self.numbers.tolist())) > 1:
            names.insert(0, "permute")
        return {name: partial(self._move, name) for name in names}

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], stored: StoredStructures | None = None
    ) -> Self:
        """Return the space with a given description."""
        arguments = without_type(description)
        if "fragments" in arguments:
            arguments["fragments"] = Fragments.from_description(arguments["fragments"])
        return cls(**arguments)

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the space, as JSON values."""
        symbols = [SYMBOLS[number] for number in self.numbers.tolist()]
        molecular: dict[str, Any] = {}
        if self.fragments is not None:
            molecular["fragments"] = self.fragments.description()
            molecular["allow_reactions"] = self.allow_reactions
        return {
            "type": "Cluster",
            "formula": self.formula,
            "atomic_radii": dict(sorted(zip(symbols, self.atomic_radii.tolist(), strict=True))),
            "min_distance": self._pair_values(self.min_distances),
            "radius": self.radius,
            "max_gap_factor": self.max_gap_factor if math.isfinite(self.max_gap_factor) else None,
            **molecular,
        }

    def with_region_of(self, description: Mapping[str, Any]) -> Self:
        """Return this space with the radius of a description, if that is an earlier default.

        In earlier versions the default was `sampling_radius`. A radius that was given stays.
        """
        stored, earlier = description.get("radius"), _compact_radius(self.atomic_radii)
        is_earlier = isinstance(stored, float) and math.isclose(stored, earlier)
        if self.fragments is not None:  # earlier versions had none
            return self
        if not (is_earlier and self.radius == _default_radius(self.atomic_radii)):
            return self
        return type(self)(**without_type({**self.description(), "radius": stored}))

    def with_radii(self, atomic_radii: Mapping[str, float]) -> Self:
        """Return this space with other radii of some elements, Å.

        Minimum distances that are the default fraction of a bond, and a radius of the sphere that
        is the default of any version, follow; others stay as they were given.

        Raises:
            InputError: a radius is not positive, or its element does not occur.
            SpaceError: no structure fits into the sphere.
        """
        described = self.description()
        radii = {**described["atomic_radii"], **atomic_radii}
        scaled = resolve_atomic_radii(self.numbers, radii)
        default, other = (
            DEFAULT_MIN_DISTANCE_FACTOR * (r.unsqueeze(0) + r.unsqueeze(1))
            for r in (self.atomic_radii, scaled)
        )
        follows = torch.isclose(self.min_distances, default, rtol=RELATIVE_ROUNDING, atol=0)
        distances = torch.where(follows, other, self.min_distances)
        defaults = (_default_radius, _compact_radius)
        is_default = (math.isclose(self.radius, radius(self.atomic_radii)) for radius in defaults)
        radius = max(self.radius, _default_radius(scaled)) if any(is_default) else self.radius
        min_distance = self._pair_values(distances)
        arguments = {"atomic_radii": radii, "min_distance": min_distance, "radius": radius}
        return self.from_description({**described, **arguments})

    def active_bounds(self, x: Tensor) -> list[ActiveBound]:
        """Return the bounds on which the structure at x `[d]` leans or that it violates."""
        P, numbers = self._positions(x.detach().cpu().double()), self.numbers
        gap = bounds.gap_bound(P, self.bond_lengths, self.max_gap_factor, numbers)
        sphere = bounds.sphere_bound(P, self.radius)
        distances = bounds.distance_bounds(P, self.pair_limits, numbers)
        if self.fragments is not None and not self.allow_reactions:
            distances = name_reactions(distances, self._pair_values(self.min_distances))
            distances += bond_bounds(P, self.fragments, torch.arange(len(P)))
        return [*distances, *(bound for bound in (gap, sphere) if bound is not None)]

    def _pair_values(self, values: Tensor) -> dict[str, float]:
        """Return values `[a, a]` of pairs of atoms by the elements of the pair, sorted."""
        numbers = self.numbers.tolist()
        by_pair = {
            bounds.pair_name(first, numbers[j]): float(values[i, j])
            for i, first in enumerate(numbers)
            for j in range(i)
        }
        return dict(sorted(by_pair.items()))

    def _positions(self, X: Tensor) -> Tensor:
        return X.reshape(*X.shape[:-1], len(self.numbers), 3)

    def _move(self, name: str, X: Tensor, generator: torch.Generator) -> Tensor:
        P = self._positions(X)
        bonds = self.bond_lengths.to(X)
        if name == "permute":
            moved = moves.swap_species(P, self.numbers.to(X.device), generator)
        elif name == "rattle":
            a = len(self.numbers)
            moved = moves.rattle(P, bonds.sum() / (a * (a - 1)), generator)
        elif name == "relocate":
            moved = moves.move_atom(P, bonds, self.radius, generator)
        elif name == "splice":
            moved = moves.cut_and_splice(P, self.numbers.to(X.device), generator)
        else:
            moved = moves.twist(P, generator)
        distances = torch.maximum(CONTACT_FACTOR * bonds, 1.02 * self.min_distances.to(X))
        moved = remove_overlaps(center_positions(moved), distances, self.radius, N_PUSH_STEPS)
        moved = moved.flatten(-2)
        return torch.where(self.contains(moved).unsqueeze(-1), moved, self.project(X))

    def _unit_move_names(self) -> list[str]:
        """Return the moves of whole molecules that can change something."""
        fragments = self.fragments
        assert fragments is not None
        names = ["rattle"]
        if len(fragments.units) > 1:
            names += ["turn", "relocate", "splice", "twist"]
        for name in fragments.move_names():
            if len(fragments.units) > 1 or name != "mirror":  # a mirrored cluster is the same one
                names.append(name)
        if self.allow_reactions:
            several = len(set(self.numbers.tolist())) > 1
            names += [name for name in ATOMIC_MOVES if several or name != "permute_atoms"]
        return names

    def _move_units(self, name: str, X: Tensor, generator: torch.Generator) -> Tensor:
        fragments = self.fragments
        assert fragments is not None
        if name in ATOMIC_MOVES:
            return self._move(ATOMIC_MOVES[name], X, generator)
        P, lengths = self._positions(X), self.bond_lengths
        if name == "rattle":
            moved = unit_moves.rattle(P, fragments, float(self._mean_contact), generator)
        elif name == "relocate":
            moved = relocate(P, fragments, lengths, RELOCATION_TEMPERATURE, generator)
        elif name in ("splice", "twist"):
            move = {"splice": molecular_moves.cut_and_splice, "twist": molecular_moves.twist}[name]
            moved = move(P, fragments, generator)
        else:
            moved = UNIT_MOVES[name](P, fragments, generator)
        limits = torch.maximum(CONTACT_FACTOR * lengths, 1.02 * self.pair_limits)
        moved = push_units_apart(center_positions(moved), fragments, limits, N_PUSH_STEPS)
        moved = center_positions(moved).flatten(-2)
        return torch.where(self.contains(moved).unsqueeze(-1), moved, self.project(X))

    @cached_property
    def _mean_contact(self) -> Tensor:
        """The mean length of contacts between molecules, or of bonds within a single one, Å."""
        assert self.fragments is not None
        between = ~self.fragments.is_same_unit
        return self.bond_lengths[between if bool(between.any()) else ~between].mean()

    def _draw_packed(self, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        assert self.fragments is not None
        P = sample_packed(count, self.fragments, self.bond_lengths, generator)
        X = P.flatten(-2)
        return X, self.contains(X)

    def _with_whole_molecules(self, P: Tensor, fragments: Fragments) -> Tensor:
        """Return positions `[b, a, 3]` with the atoms of each molecule bonded, if they can be.

        Of several ways to tell molecules and free atoms apart it is one that is inside.
        """
        numbers, rows = self.numbers.tolist(), []
        for p in P:
            orders = [torch.arange(len(numbers)).tolist()]
            if not self._is_whole_inside(p, fragments):
                found = fragments.match_atoms(numbers, distance_matrix(p.detach()).cpu())
                orders = [*islice(found, MAX_ORDERS), *orders]
                is_whole = bool(fragments.are_bonds_whole(p.detach()))
                orders = [orders[-1], *orders[:-1]] if is_whole else orders
            fitting = (order for order in orders if self._is_whole_inside(p[order], fragments))
            rows.append(p[next(fitting, orders[0])])
        return torch.stack(rows) if rows else P

    def _is_whole_inside(self, p: Tensor, fragments: Fragments) -> bool:
        """Return whether molecules at `[a, 3]` are whole and the structure is inside."""
        p = center_positions(p.detach())
        return bool(fragments.are_bonds_whole(p)) and bool(self.contains(p.flatten()))

    def _sample_symmetric(self, n: int, generator: torch.Generator) -> Tensor:
        """Return symmetric clusters `[n, d]`, or any where some could not be made."""
        sampler = partial(sample_symmetric, numbers=self.numbers)
        X = self._sample(n, sampler, generator, N_TRIAL_ATTEMPTS)
        return self._sample_compact(n, generator) if X is None else X

    def _draw_trees(self, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        X = sample_trees(count, self.numbers, self.bond_lengths, generator).flatten(-2)
        return X, self.contains(X)

    def _sample(
        self,
        n: int,
        sampler: Callable[..., tuple[Tensor, Tensor]],
        generator: torch.Generator,
        max_attempts: int,
    ) -> Tensor | None:
        """Return clusters `[n, d]` of a sampler, or None if some could not be made."""

        def draw(count: int) -> tuple[Tensor, Tensor]:
            P, connected = sampler(
                count,
                bond_lengths=self.bond_lengths,
                radius=self.sampling_radius,
                generator=generator,
            )
            X = P.flatten(-2)
            return X, connected & self.contains(X)

        return rejection_sample(n, self.dimension, draw, max_attempts)

    def _check_feasible(self) -> None:
        """Raise an error if the sphere cannot hold the atoms."""
        generator = torch.Generator().manual_seed(0)
        if self.fragments is not None:
            draw = partial(self._draw_packed, generator)
            trial_X = rejection_sample(N_TRIAL_SAMPLES, self.dimension, draw, N_SAMPLE_ATTEMPTS)
            if trial_X is None:
                raise self._infeasible_error()
            return
        trial = (N_TRIAL_SAMPLES, sample_compact, generator, N_TRIAL_ATTEMPTS)
        if self.min_distances.max() > 2 * self.radius or self._sample(*trial) is None:
            raise self._infeasible_error()

    def _infeasible_error(self) -> SpaceError:
        largest = float(self.pair_limits.max())
        held = self.formula if self.fragments is None else self.fragments.name
        condition = f"be large enough for {held} with minimum distances up to {largest:.2f} Å"
        hint = "Give a larger `radius`, or a smaller `min_distance`."
        if self.max_gap_factor < 1:
            hint = f"With max_gap_factor={self.max_gap_factor} atoms that touch are apart: try 1.5."
        return SpaceError(error_message("radius", condition, f"{self.radius:.2f} Å", hint))


def _compact_radius(atomic_radii: Tensor) -> float:
    """Return the radius of a sphere far larger than a compact cluster of the atoms, Å."""
    return float(2 * atomic_radii.max() + 1.2 * packed_radius(atomic_radii))


def _default_radius(atomic_radii: Tensor) -> float:
    """Return the radius of a sphere that holds straight chains too, Å."""
    return max(_compact_radius(atomic_radii), chain_length(atomic_radii) / 2)
