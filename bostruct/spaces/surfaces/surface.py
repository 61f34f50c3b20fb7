"""Surfaces: atoms on a slab, clusters on a support, reconstructions."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self, final

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
from bostruct.spaces.clusters import moves as cluster_moves
from bostruct.spaces.clusters.packing import CONTACT_FACTOR, N_PUSH_STEPS
from bostruct.spaces.clusters.sampling import (
    N_SAMPLE_ATTEMPTS,
    N_TRIAL_ATTEMPTS,
    N_TRIAL_SAMPLES,
    rejection_sample,
)
from bostruct.spaces.connectivity import resolve_max_gap_factor
from bostruct.spaces.fingerprint_distance import (
    DUPLICATE_TOLERANCE,
    RELATIVE_ROUNDING,
    FingerprintedStructures,
)
from bostruct.spaces.formula import min_pair_distances, parse_formula, resolve_atomic_radii
from bostruct.spaces.molecules.bounds import bond_bounds, name_reactions
from bostruct.spaces.molecules.fragments import Fragments
from bostruct.spaces.molecules.molecule import Molecule
from bostruct.spaces.molecules.whole_molecules import WholeMolecules
from bostruct.spaces.region import chain_length, packed_radius
from bostruct.spaces.space import Move
from bostruct.spaces.stored_structures import StoredStructures, without_type
from bostruct.spaces.surfaces import bounds, moves
from bostruct.spaces.surfaces.adsorbed_molecules import (
    find_molecules,
    image_distances,
    least_volume,
    move_molecules,
    touching_lengths,
)
from bostruct.spaces.surfaces.deposition import contact_height, deposit_all, relax_overlaps
from bostruct.spaces.surfaces.molecular_deposition import (
    deposit_molecules,
    push_units_apart,
    wrap_units,
)
from bostruct.spaces.surfaces.periodic_plane import PeriodicPlane, displacement_norms, is_self_pair
from bostruct.spaces.surfaces.slab import (
    available_height,
    check_images,
    check_region,
    check_slab_overlaps,
    read_slab,
    slab_digest,
)
from bostruct.spaces.surfaces.slab_template import SlabTemplate
from bostruct.spaces.surfaces.surface_fingerprint import environment_fingerprint
from bostruct.spaces.surfaces.vacuum import (
    check_fixed_side,
    check_one_piece,
    find_normal_axis,
    plane_cell,
    unwrap_slab,
    widen_hint,
)
from bostruct.structures import (
    SYMBOLS,
    Structures,
    to_ase,
)

if TYPE_CHECKING:
    from ase import Atoms

FINGERPRINT_CUTOFF_FACTOR = 2.5
"""Cutoff of the fingerprint, in bond lengths."""

OVERLAP_FACTOR = 0.3
"""Distance below which atoms of a slab overlap, in bond lengths."""

WRAP_MARGIN = 0.1
"""Distance from the cell, in lattice vectors, within which atoms are not wrapped into it."""

N_GRID_POINTS = 24
"""Number of grid points along each lattice vector for the lowest contact height."""

ATOMIC_MOVES = {"permute_atoms": "permute", "rattle_atoms": "rattle", "relocate_atom": "relocate"}
"""Moves of atoms that may break bonds, where molecules move too, by the names they have alone."""


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Surface(WholeMolecules, FingerprintedStructures):
    """All structures of some atoms on a slab that is periodic in its plane.

    The coordinates X `[..., 3f]` are the positions in Å of the atoms that move: the free atoms of
    the slab in its order, then those of the formula in its order, then those of the molecules, one
    after the other. Structures hold the slab in its own order, then the other atoms; cell, pbc,
    fixed atoms, tags, initial moments and charges are the slab's.
    Positions are equivalent to their periodic images: nothing is wrapped, so that relaxations are
    continuous.

    Args:
        slab: ASE's `Atoms`, periodic along two or three lattice vectors, or a file that ASE reads.
            The surface looks along the lattice vector along which the slab is not periodic; of a
            slab that is periodic along all, along the one with the vacuum. A slab that the border
            of its cell cuts is put together. Atoms in a `FixAtoms` constraint never move, the
            others do; without any constraint all are fixed.
        formula: formula of the atoms on the slab, as ASE reads it: "Ni5", "CO", "Au6Cu7"; empty for
            the reconstruction of a slab with free atoms. They move one by one, and may be bonded
            to each other, to the slab and to molecules.
        molecules: molecules on the slab that stay whole, beside or without a formula: a list as in
            `["CO", atoms]`, pairs with counts, or counts by name as in `{"H2O": 3}`. A molecule is
            a name in `ase.build.molecule`, Atoms, a file, or a `Molecule`. Samples and moves place,
            turn and bend whole molecules; a structure in which a bond is not between 0.8 and 1.25
            times as long as in the molecule that is given, or atoms of different molecules are
            bonded, is outside. Bonds to the slab are allowed.
        allow_reactions: True if bonds of molecules may break and form after the start.
        region: lowest and highest height in Å of the atoms that move, above the topmost atom of the
            slab. By default from the lowest position that an atom from above reaches if bonds are
            compressed by 15 %, so that hollows and trenches count, to where there is room for
            islands of several layers and for an upright chain of the formula, or to where the cell
            ends. With free atoms in the slab it reaches down past the lowest of them. Atoms below
            the surface need an explicit region. Random structures are sampled below
            `sampling_height`.
        atomic_radii: radii in Å by element, where the covalent ones are not meant.
        min_distance: minimum distance in Å of all pairs, or by pair as in `{"Au-Ni": 2.0}`; for a
            pair that is not given it is `min_distance_factor` times the bond length.
        min_distance_factor: default minimum distance, as a fraction of the bond length.
        max_gap_factor: largest distance of connected atoms, in bond lengths; a structure with an
            atom that is not connected to the slab is outside. By default 1.5, or infinite where an
            element that moves forms molecules, and has no custom radius.

    Attributes:
        slab: the slab as one structure, in one piece.
        normal_axis: index of the lattice vector that leaves the plane, 2 if it is the third one.
        formula: formula of the atoms on the slab.
        numbers: `[a]` int64 atomic numbers of all atoms of a structure, those of the slab first.
        atomic_radii: `[a]` Å, in the order of `numbers`.
        free_indices: `[f]` int64 indices of the atoms that move, in the order of X.
        free_first_order: `[a]` int64 indices of all atoms, those that move first.
        min_distances: `[f, a]` Å, the minimum distance of each pair, in `free_first_order`.
        region: lowest and highest height above the topmost atom of the slab, Å.
        max_gap_factor: largest distance of connected atoms, in bond lengths, or infinity.
        fragments: molecules and free atoms that move, in the order of X; None without molecules.
        allow_reactions: True if bonds of molecules may break and form.

    Raises:
        InputError: an argument is invalid.
        SpaceError: no structure fits into the region.
    """

    slab: Structures
    normal_axis: int
    formula: str
    numbers: Tensor
    atomic_radii: Tensor
    free_indices: Tensor
    free_first_order: Tensor
    min_distances: Tensor
    region: tuple[float, float]
    max_gap_factor: float
    fragments: Fragments | None
    allow_reactions: bool
    _atomic_min_distances: Tensor

    def __init__(
        self,
        slab: Atoms | str | os.PathLike[str],
        formula: str = "",
        *,
        molecules: Mapping[str, int] | Sequence[Any] | None = None,
        allow_reactions: bool = False,
        region: Sequence[float] | None = None,
        atomic_radii: Mapping[str, float] | None = None,
        min_distance: Mapping[str, float] | float | None = None,
        min_distance_factor: float = 0.7,
        max_gap_factor: float | None = None,
    ) -> None:
        slab_structure = read_slab(slab)
        added = parse_formula(formula, min_atoms=0)
        fragments = None
        if molecules is not None:
            alone = Fragments.from_counts(molecules)
            formula += Fragments.free_formula(alone.free_numbers)
            added = torch.cat((added, alone.numbers))
            movable = slab_structure.numbers[~slab_structure.fixed]
            free_atoms = torch.cat((movable, parse_formula(formula, min_atoms=0)))
            fragments = Fragments(free_atoms, alone.molecules, alone.counts)
        numbers = torch.cat((slab_structure.numbers, added))
        radii = resolve_atomic_radii(numbers, atomic_radii)
        # doubled, so that the table holds the minimum distance of an atom to its own image
        distances = min_pair_distances(
            numbers.repeat(2), radii.repeat(2), min_distance, min_distance_factor
        )[: len(numbers), len(numbers) :]
        fixed = torch.cat((slab_structure.fixed, torch.zeros_like(added, dtype=torch.bool)))
        free = (~fixed).nonzero().squeeze(-1)
        if not len(free):
            arguments = f"a formula of {formula!r} and a slab whose atoms are all fixed"
            hint = "Give a formula or molecules, or fix only the lower part of the slab."
            raise InputError(error_message("slab", "leave atoms that can move", arguments, hint))
        bond_length = 2 * float(radii[: len(slab_structure.numbers)].max())
        normal_axis = find_normal_axis(slab_structure, bond_length)
        slab_structure = unwrap_slab(slab_structure, normal_axis)
        order = torch.cat((free, fixed.nonzero().squeeze(-1)))
        distances = distances[free][:, order]
        object.__setattr__(self, "_atomic_min_distances", distances.clone())
        if fragments is not None and not allow_reactions:
            f, own_images = len(free), distances.diagonal()
            limits = fragments.pair_tables(radii[free], distances[:, :f])[1]
            distances[:, :f] = limits + torch.diag(own_images)
        for name, value in {
            "slab": slab_structure,
            "normal_axis": normal_axis,
            "formula": formula,
            "numbers": numbers,
            "atomic_radii": radii,
            "free_indices": free,
            "free_first_order": order,
            "min_distances": distances,
            "fragments": fragments,
            "allow_reactions": allow_reactions,
            "max_gap_factor": resolve_max_gap_factor(max_gap_factor, numbers[free], atomic_radii),
        }.items():
            object.__setattr__(self, name, value)
        self._check_slab()
        check_one_piece(slab_structure, normal_axis, bond_length, max_gap_factor)
        check_fixed_side(slab_structure, normal_axis, bond_length)
        object.__setattr__(self, "region", self._resolve_region(region))
        if fragments is not None:
            self._check_volume(fragments)
        generator = torch.Generator().manual_seed(0)
        if self._sample(N_TRIAL_SAMPLES, generator, N_TRIAL_ATTEMPTS) is None:
            raise self._infeasible_error()

    def __repr__(self) -> str:
        slab = self.slab.formulas()[0]
        low, high = self.region
        held = repr(self.formula)
        if self.fragments is not None:
            held = f"molecules={self._molecules_name()!r}"
        return f"Surface({slab!r}, {held}, region=({low:.2f}, {high:.2f}))"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_kept"}

    @property
    def dimension(self) -> int:
        """The number of coordinates, three for each atom that moves."""
        return 3 * self._n_free

    @cached_property
    def bond_lengths(self) -> Tensor:
        """The length of a bond of each pair, `[a, a]` Å, in `free_first_order`.

        It is the sum of the radii, or a little more than the minimum distance; on the diagonal it
        is the bond length of two equal atoms, between molecules the length of a contact.
        """
        radii = self.atomic_radii[self.free_first_order]
        lengths = radii.unsqueeze(0) + radii.unsqueeze(1)
        f = self._n_free
        lengths[:f] = torch.maximum(lengths[:f], 1.05 * self.min_distances)
        if self.fragments is not None:
            radii, limits = radii[:f], self._atomic_min_distances[:, :f]
            contacts = self.fragments.pair_tables(radii, limits)[0]
            lengths[:f, :f] = contacts + torch.diag(lengths.diagonal()[:f])
        lengths[:, :f] = lengths[:f].T.clone()
        return lengths

    @property
    def sampling_height(self) -> float:
        """Height above the slab below which random structures are sampled, Å.

        It has room for islands of several layers, and is at most that of `region`.
        """
        return min(self.region[1], self._compact_height)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random structures, `[n, d]` float64 on the CPU.

        Atoms come down one after the other and stick where they touch; free atoms of the slab are
        displaced, and sometimes some of them are removed and come down again. Molecules come down
        whole, turned at random.

        Raises:
            SpaceError: the region is so small that some could not be made.
        """
        check_count("n", n, 0)
        X = self._sample(n, generator, N_SAMPLE_ATTEMPTS)
        if X is None:
            raise self._infeasible_error()
        return X

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major, differentiable in X."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, self.dimension])
        return self._template(X).decode(X.reshape(-1, self._n_free, 3))

    def encode(self, structures: Structures) -> Tensor:
        """Return the coordinates of structures on this slab, `[b, d]`.

        Their atoms may stand in any order and in any image of the cell. Atoms at the positions of
        fixed ones of the slab are taken as these; of the others equal ones keep their order. Atoms
        of molecules are found by their bonds, unless those in the order of the structure are whole,
        or some are broken. Marks of fixed atoms, and tags, do not matter.

        Raises:
            InputError: a structure has another cell, other atoms, or no atom where the slab has a
                fixed one.
        """
        template = self._template(structures.positions)
        P = template.encode(structures, self._described_formula())
        if self.fragments is not None:
            P = self._with_whole_molecules(P, self.fragments)
        return P.flatten(-2)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether all atoms that move are in the region, connected, and none too close.

        All must be connected to the slab, see `max_gap_factor`, and molecules whole, unless
        reactions are allowed. X is `[..., d]`, the result `[...]`.
        """
        template = self._template(X)
        Q = self._to_plane_frame(X)
        f, a = self._n_free, len(self.numbers)
        slack = max(RELATIVE_ROUNDING, 8 * torch.finfo(X.dtype).eps)
        low, high = template.height_range
        height = Q[..., :f, 2]
        margin = slack * max(abs(low), abs(high), 1.0)
        inside = ((height >= low - margin) & (height <= high + margin)).all(-1)
        shifts = template.contact_translations
        min_distances = (template.min_distances * (1 - slack)).unsqueeze(-1)
        D = displacement_norms(template.plane.displacements(Q[..., :f, :], Q, shifts))
        apart = ((min_distances <= D) | is_self_pair(f, a, shifts)).flatten(-3).all(-1)
        allowed: Tensor = inside & apart & template.is_connected(Q, self.max_gap_factor)
        if self.fragments is not None and not self.allow_reactions:
            allowed = allowed & self.fragments.are_bonds_whole(self._positions(X))
        return allowed

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` with atoms outside the region moved to its border.

        They move along the normal only, and are not wrapped into the cell.
        """
        template = self._template(X)
        P = self._positions(X)
        normal = template.plane.axes[:, 2]
        height = P @ normal
        change = height.clamp(*template.height_range) - height
        return (P + change.unsqueeze(-1) * normal).flatten(-2)

    def molecule_violation(self, x: Tensor) -> str | None:
        """Return which bond is broken or new at x `[d]`, None if all molecules are whole."""
        if self.fragments is None or self.allow_reactions:
            return None
        P = self._positions(x)
        reach = float(self.min_distances.max())
        D = image_distances(P @ self._template(x).plane.axes, self._template(x).plane, reach)
        return self.fragments.violation(P, D, self.min_distances[:, : self._n_free].to(P))

    @cached_property
    def fingerprint_tolerance(self) -> float:
        """Largest difference between the fingerprints of duplicates, Å."""
        return DUPLICATE_TOLERANCE * float(self.bond_lengths[: self._n_free].mean())

    def fingerprint(self, X: Tensor) -> Tensor:
        """Return the neighbor distances of the atoms that move at X `[..., d]`, `[..., f]` Å.

        It is equal where the atoms that move have the same environments: for copies shifted,
        rotated or mirrored such that the slab is mapped onto itself, those with equal atoms
        exchanged, and those whose groups of atoms are several neighbors apart and differ only in
        their distance. See `bostruct.spaces.surfaces.surface_fingerprint.environment_fingerprint`.
        """
        plane = self._template(X).plane
        numbers = self.numbers[self.free_first_order]
        cutoff = FINGERPRINT_CUTOFF_FACTOR * float(self.bond_lengths[: self._n_free].max())
        Q = self._to_plane_frame(X)
        return environment_fingerprint(Q, self._n_free, numbers, plane, cutoff)

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes of the atoms that move, by name.

        "permute" (several species that move only), "rattle", "relocate", and "slide" (with a
        formula only). Molecules move as a whole; they also "turn", "exchange" with unlike ones,
        "bend" by torsions and "mirror", and atoms move alone where reactions are allowed. Where a
        move leaves the space, it returns its input, projected.
        """
        if self.fragments is not None:
            names = ["rattle", "relocate", "slide", "turn", *self.fragments.move_names()]
            if self.allow_reactions:
                several = len(set(self.numbers[self.free_indices].tolist())) > 1
                names += [name for name in ATOMIC_MOVES if several or name != "permute_atoms"]
            return {name: partial(self._move_units, name) for name in names}
        names = ["rattle", "relocate"]
        if self._n_adsorbate_atoms:
            names.append("slide")
        if len(set(self.numbers[self.free_indices].tolist())) > 1:
            names.insert(0, "permute")
        return {name: partial(self._move, name) for name in names}

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], stored: StoredStructures | None = None
    ) -> Self:
        """Return the space with a given description and the slab that was stored.

        Raises:
            InputError: nothing was stored.
        """
        from ase.constraints import FixAtoms

        if stored is None:
            raise InputError(error_message("stored", "hold the slab", "nothing"))
        slab = to_ase(stored.structures)[0]
        # An empty constraint: without any all atoms would be fixed.
        slab.set_constraint(FixAtoms(stored.structures.fixed.nonzero().flatten().tolist()))
        arguments = {**without_type(description), "slab": slab}
        if "molecules" in arguments:
            items = arguments["molecules"]
            arguments["molecules"] = [(Molecule.from_description(m), m["count"]) for m in items]
        return cls(**arguments)

    def stored_structures(self) -> StoredStructures:
        """Return the slab, of which the description holds a digest."""
        return StoredStructures(self.slab)

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the space, as JSON values."""
        symbols = [SYMBOLS[number] for number in self.numbers.tolist()]
        ordered = [symbols[k] for k in self.free_first_order.tolist()]
        min_distance = {
            "-".join(sorted((ordered[i], other))): float(self._atomic_min_distances[i, j])
            for i in range(self._n_free)
            for j, other in enumerate(ordered)
        }
        slab, molecular = self.slab, {}
        if self.fragments is not None:
            molecular["molecules"] = self.fragments.description()["molecules"]
            molecular["allow_reactions"] = self.allow_reactions
        return {
            "type": "Surface",
            "slab": {
                "formula": slab.formulas()[0],
                "cell": slab.cell[0].tolist(),
                "pbc": slab.pbc[0].tolist(),
                "fixed": int(slab.fixed.sum()),
                "sha256": slab_digest(slab),
            },
            "formula": self.formula,
            "region": list(self.region),
            "atomic_radii": dict(sorted(zip(symbols, self.atomic_radii.tolist(), strict=True))),
            "min_distance": dict(sorted(min_distance.items())),
            "max_gap_factor": self.max_gap_factor if math.isfinite(self.max_gap_factor) else None,
            **molecular,
        }

    @property
    def _n_free(self) -> int:
        """The number f of atoms that move."""
        return len(self.free_indices)

    @property
    def _n_adsorbate_atoms(self) -> int:
        """The number of atoms in the formula."""
        return len(self.numbers) - len(self.slab.numbers)

    @property
    def _adsorbate_radii(self) -> Tensor:
        """The radii of the atoms of the formula, Å."""
        return self.atomic_radii[len(self.slab.numbers) :]

    @property
    def _contact_distance(self) -> float:
        """The largest bond length of an atom that moves, Å."""
        return float(self.bond_lengths[: self._n_free].max())

    @property
    def _available_height(self) -> float:
        """The height above the slab at which its cell ends, Å."""
        return available_height(self.slab, self._plane, self.normal_axis, self._contact_distance)

    @property
    def _compact_height(self) -> float:
        """The height above the slab of islands of several layers, Å."""
        return self._contact_distance + 2 * packed_radius(self._adsorbate_radii)

    @property
    def _chain_height(self) -> float:
        """The height above the slab of islands and of an upright chain, Å."""
        chain = self._contact_distance + chain_length(self._adsorbate_radii)
        return max(self._compact_height, chain)

    def with_region_of(self, description: Mapping[str, Any]) -> Self:
        """Return this space with the region of a description, if that is an earlier default.

        In earlier versions the default had no room for upright chains. A region that was given
        stays.
        """
        if self.fragments is not None:  # earlier versions had none
            return self
        available = self._available_height
        earlier = (self.region[0], min(self._compact_height, available))
        is_default = self.region[1] == min(self._chain_height, available)
        stored = description.get("region")
        if not is_default or not isinstance(stored, list) or len(stored) != 2:
            return self
        if not all(map(math.isclose, stored, earlier)):
            return self
        space = copy(self)
        object.__setattr__(space, "region", tuple(stored))
        return space

    def active_bounds(self, x: Tensor) -> list[ActiveBound]:
        """Return the bounds on which the structure at x `[d]` leans or that it violates."""
        x = x.detach().cpu().double()
        template, Q = self._template(x), self._to_plane_frame(x)
        heights = Q[: self._n_free, 2] - self._slab_heights.max()
        distances = bounds.distance_bounds(Q, template)
        if self.fragments is not None and not self.allow_reactions:
            distances = name_reactions(distances, self.description()["min_distance"])
            P = self._positions(x)
            distances += bond_bounds(P, self.fragments, self.free_indices)
        return [*distances, *bounds.height_bounds(heights, self.region, template)]

    def _described_formula(self) -> str:
        held = self.formula or "nothing"
        if self.fragments is not None:
            held = self._molecules_name()
        return f"{self.slab.formulas()[0]} with {held} on it"

    def _molecules_name(self) -> str:
        """Return molecules and atoms of the formula, as in "CO + H"."""
        assert self.fragments is not None
        added = parse_formula(self.formula, min_atoms=0)
        return Fragments(added, self.fragments.molecules, self.fragments.counts).name

    def _positions(self, X: Tensor) -> Tensor:
        return X.reshape(*X.shape[:-1], self._n_free, 3)

    def _to_plane_frame(self, X: Tensor) -> Tensor:
        """Return all atoms along the axes of the plane, those that move first."""
        template = self._template(X)
        P = self._positions(X) @ template.plane.axes
        return torch.cat((P, template.fixed_plane_positions.expand(*X.shape[:-1], -1, 3)), -2)

    def _from_plane_frame(self, Q: Tensor) -> Tensor:
        """Return the coordinates of the atoms that move, wrapped into the cell."""
        plane = self._template(Q).plane
        if self.fragments is not None:
            moving = wrap_units(Q[..., : self._n_free, :], self.fragments, plane, WRAP_MARGIN)
            return (moving @ plane.axes.T).flatten(-2)
        return (plane.wrap(Q[..., : self._n_free, :], WRAP_MARGIN) @ plane.axes.T).flatten(-2)

    def _move(self, name: str, X: Tensor, generator: torch.Generator) -> Tensor:
        template = self._template(X)
        Q = self._to_plane_frame(X)
        f, plane, bonds = self._n_free, template.plane, template.bond_lengths
        if name == "permute":
            species = template.numbers[template.free_first_order[:f]]
            moved = cluster_moves.swap_species(Q[:, :f], species, generator)
            Q = torch.cat((moved, Q[:, f:]), 1)
        elif name == "rattle":
            moved = cluster_moves.rattle(Q[:, :f], bonds[:f, :f].mean(), generator)
            Q = torch.cat((moved, Q[:, f:]), 1)
        elif name == "relocate":
            Q = moves.move_atom(Q, f, bonds, template.height_range[1], plane, generator)
        else:
            Q = moves.slide_adsorbate(Q, f - self._n_adsorbate_atoms, f, plane, generator)
        moved = self._from_plane_frame(self._relax_overlaps(Q))
        return torch.where(self.contains(moved).unsqueeze(-1), moved, self.project(X))

    def _move_units(self, name: str, X: Tensor, generator: torch.Generator) -> Tensor:
        fragments = self.fragments
        assert fragments is not None
        if name in ATOMIC_MOVES:
            return self._move(ATOMIC_MOVES[name], X, generator)
        template, far = self._template(X), self._far_lengths.to(X)
        Q = self._to_plane_frame(X)
        n = self._n_adsorbate_atoms
        Q = move_molecules(name, Q, fragments, template, far, n, generator)
        moved = self._from_plane_frame(self._relax_overlaps(Q))
        return torch.where(self.contains(moved).unsqueeze(-1), moved, self.project(X))

    def _with_whole_molecules(self, P: Tensor, fragments: Fragments) -> Tensor:
        """Return positions `[b, f, 3]` Å, with the atoms of each molecule bonded where they can be.

        Molecules are in one piece.
        """
        plane = self._template(P).plane
        reach = float(self.bond_lengths.max())

        def is_inside(q: Tensor) -> bool:
            return bool(self.contains((q.detach() @ plane.axes.T).flatten()))

        rows = [find_molecules(q, fragments, plane, reach, is_inside) for q in P @ plane.axes]
        return torch.stack(rows) @ plane.axes.T if rows else P

    def _relax_overlaps(self, Q: Tensor, max_height: float = math.inf) -> Tensor:
        template, f = self._template(Q), self._n_free
        distances = torch.maximum(
            CONTACT_FACTOR * template.bond_lengths[:f], 1.02 * template.min_distances
        )
        low, high = template.height_range
        heights = (low, min(high, max_height))
        if self.fragments is not None:
            args = (distances, heights, template.plane, N_PUSH_STEPS)
            return push_units_apart(Q, self.fragments, *args)
        return relax_overlaps(Q, f, distances, heights, template.plane, N_PUSH_STEPS)

    def _sample(self, n: int, generator: torch.Generator, max_attempts: int) -> Tensor | None:
        """Return structures `[n, d]`, or None if some could not be made."""
        # on the device of the generator: the slab along its axes, atoms that move first
        added = self.slab.positions.new_zeros(self._n_adsorbate_atoms, 3)
        P = torch.cat((self.slab.positions, added))
        Q = (P[self.free_first_order] @ self._plane.axes).to(generator.device)
        template = self._template(Q)
        max_height = float(self._slab_heights.max()) + self.sampling_height
        args = (template.bond_lengths, max_height, template.plane, generator)

        def draw(count: int) -> tuple[Tensor, Tensor]:
            deposited = self._deposit(count, Q, *args)
            X = self._from_plane_frame(self._relax_overlaps(deposited, max_height))
            return X, self.contains(X)

        return rejection_sample(n, self.dimension, draw, max_attempts)

    def _deposit(
        self,
        count: int,
        Q: Tensor,
        bond_lengths: Tensor,
        max_height: float,
        plane: PeriodicPlane,
        generator: torch.Generator,
    ) -> Tensor:
        """Return random structures `[count, a, 3]` Å, first of free atoms, then with molecules."""
        f, fragments = self._n_free, self.fragments
        n_slab_free = f - self._n_adsorbate_atoms
        args = (max_height, plane, generator)
        if fragments is None:
            return deposit_all(count, Q, n_slab_free, f, bond_lengths, *args)
        k = len(fragments.free_numbers)
        without = torch.cat((torch.arange(k), torch.arange(f, len(Q)))).to(Q.device)
        bonds = bond_lengths[without][:, without]
        atoms = deposit_all(count, Q[without], n_slab_free, k, bonds, *args)
        unplaced = Q[k:f].expand(count, -1, -1)
        deposited = torch.cat((atoms[:, :k], unplaced, atoms[:, k:]), 1)
        far = self._far_lengths.to(Q)
        return deposit_molecules(deposited, fragments, bond_lengths, far, *args)

    @cached_property
    def _far_lengths(self) -> Tensor:
        """Distances at which atoms of molecules touch all without a bond, `[a, a]` Å.

        In `free_first_order`; of other pairs they are the bond lengths.
        """
        assert self.fragments is not None
        order = self.free_first_order
        numbers, radii = self.numbers[order], self.atomic_radii[order]
        return touching_lengths(self.fragments, numbers, radii, self.bond_lengths)

    @cached_property
    def _plane(self) -> PeriodicPlane:
        return PeriodicPlane.from_cell(plane_cell(self.slab.cell[0], self.normal_axis))

    @cached_property
    def _slab_heights(self) -> Tensor:
        """The heights of the atoms of the slab, Å."""
        return (self.slab.positions @ self._plane.axes)[:, 2]

    def _template(self, like: Tensor) -> SlabTemplate:
        """Return the slab template on the device and in the dtype of `like`."""
        kept: dict[tuple[torch.device, torch.dtype], SlabTemplate]
        kept = vars(self).setdefault("_kept", {})
        key = (like.device, like.dtype)
        if key not in kept:
            top, (low, high) = float(self._slab_heights.max()), self.region
            bonds = self.max_gap_factor if math.isfinite(self.max_gap_factor) else 0.0
            kept[key] = SlabTemplate.from_slab(
                self.slab,
                self._plane,
                self.normal_axis,
                like,
                height_range=(top + low, top + high),
                numbers=self.numbers,
                free_first_order=self.free_first_order,
                bond_lengths=self.bond_lengths,
                min_distances=self.min_distances,
                max_bonding_distance=bonds * float(self.bond_lengths[: self._n_free].max()),
            )
        return kept[key]

    def _resolve_region(self, region: Sequence[float] | None) -> tuple[float, float]:
        """Return the lowest and highest height above the slab, Å."""
        f, n_slab_free = self._n_free, self._n_free - self._n_adsorbate_atoms
        top = float(self._slab_heights.max())
        contact, available = self._contact_distance, self._available_height
        if region is None:
            low, high = 0.0, min(self._chain_height, available)
            if high < contact:
                condition = f"have at least {contact:.2f} Å of vacuum above it"
                hint = self._widen_hint(contact, contact)
                raise SpaceError(error_message("slab", condition, f"{available:.2f} Å", hint))
            if self._n_adsorbate_atoms:
                low = self._lowest_contact_height() - top
        else:
            low, high = check_region(region)
            if high > available:
                condition = f"end at {available:.2f} Å above the slab, inside its cell"
                hint = self._widen_hint(high, contact)
                raise SpaceError(error_message("region", condition, f"{high:.2f} Å", hint))
        if n_slab_free:
            lowest = self._slab_heights[self.free_indices[:n_slab_free]].min()
            low = min(low, float(lowest - self.bond_lengths[:f].mean() / 2) - top)
        return low, high

    def _widen_hint(self, height: float, contact: float) -> str:
        """Return the sentence that says how to make room up to a height above the slab, Å."""
        bond_length = 2 * float(self.atomic_radii[: len(self.slab.numbers)].max())
        return widen_hint(self.slab, self.normal_axis, bond_length, height, contact)

    def _lowest_contact_height(self) -> float:
        """Return the height of the lowest position where an atom rests, bonds compressed, Å."""
        f = self._n_free
        Q = self.slab.positions @ self._plane.axes
        slab_atoms = self.free_first_order.argsort()[: len(Q)]
        lengths = self.bond_lengths[f - self._n_adsorbate_atoms : f][:, slab_atoms]
        contact = CONTACT_FACTOR * lengths.amin(0)
        return contact_height(Q, contact, self._plane, N_GRID_POINTS)

    def _check_slab(self) -> None:
        """Raise an error if atoms of the slab are too close to each other or to their images."""
        f, n_slab_free = self._n_free, self._n_free - self._n_adsorbate_atoms
        check_images(
            self._plane, self.normal_axis, float(self.min_distances[:, :f].diagonal().max())
        )
        radii = self.atomic_radii[: len(self.slab.numbers)]
        distances = OVERLAP_FACTOR * (radii.unsqueeze(0) + radii.unsqueeze(1))
        slab_atoms = self.free_first_order.argsort()[: len(radii)]
        distances[self.free_indices[:n_slab_free]] = self.min_distances[:n_slab_free][:, slab_atoms]
        distances = torch.maximum(distances, distances.T) * (1 - RELATIVE_ROUNDING)
        check_slab_overlaps(self.slab, self._plane, distances)

    def _check_volume(self, fragments: Fragments) -> None:
        """Raise an error if molecules, compressed in contact, do not fit into the region."""
        low, high = self.region
        needed, radius = least_volume(fragments, self.atomic_radii[self.free_indices])
        height = min(high, self.sampling_height) - low + 2 * radius
        area = float(torch.linalg.det(self._plane.lattice).abs())
        if needed > area * height:
            held = self._molecules_name()
            condition = f"have room for {held}, {needed:.0f} Å³ if packed as in a crystal"
            value = f"({low:.2f}, {high:.2f}) Å, {area * height:.0f} Å³"
            hint = "Give fewer molecules, or repeat the slab."
            raise SpaceError(error_message("region", condition, value, hint))

    def _infeasible_error(self) -> SpaceError:
        low, high = self.region
        largest = float(self.min_distances.max())
        condition = f"hold {self._described_formula()} with minimum distances up to {largest:.2f} Å"
        hint = "Give a higher `region`, a smaller `min_distance`, or a wider slab."
        if self.max_gap_factor < 1:
            hint = f"With max_gap_factor={self.max_gap_factor} atoms that touch are apart: try 1.5."
        return SpaceError(error_message("region", condition, f"({low:.2f}, {high:.2f}) Å", hint))
