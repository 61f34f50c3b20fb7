"""Surfaces: atoms on a slab, clusters on a support, reconstructions."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from bostruct.errors import (
    InputError,
    SpaceError,
    check_count,
    check_positive,
    check_shape,
    error_message,
)
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
    is_within_tolerance,
)
from bostruct.spaces.formula import (
    min_pair_distances,
    parse_formula,
    resolve_atomic_radii,
)
from bostruct.spaces.space import Move
from bostruct.spaces.surfaces import moves
from bostruct.spaces.surfaces.deposition import (
    contact_height,
    deposit_all,
    relax_overlaps,
)
from bostruct.spaces.surfaces.periodic_plane import (
    PeriodicPlane,
    displacement_norms,
    is_self_pair,
)
from bostruct.spaces.surfaces.slab import (
    WIDEN_HINT,
    available_height,
    check_images,
    check_region,
    check_slab_overlaps,
    read_slab,
    slab_digest,
)
from bostruct.spaces.surfaces.slab_template import SlabTemplate
from bostruct.spaces.surfaces.surface_fingerprint import environment_fingerprint
from bostruct.structures import SYMBOLS, Structures

if TYPE_CHECKING:
    from ase import Atoms

FINGERPRINT_CUTOFF_FACTOR = 2.5
"""In bonds: how far atoms look when structures are compared."""

OVERLAP_FACTOR = 0.3
"""In bonds: atoms of a slab that are closer are a mistake."""

RANDOM_PACKING_FRACTION = 0.64
"""Part of the volume of a random heap that its spheres fill."""

WRAP_MARGIN = 0.1
"""In lattice vectors: atoms this far outside the cell are not wrapped into it."""

N_GRID_POINTS = 24
"""Places along each lattice vector at which the lowest point of a surface is sought."""


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Surface:
    """All structures of some atoms on a slab that repeats in its plane.

    The coordinates X `[..., 3f]` are the positions in Å of the atoms that move: the
    free atoms of the slab in its order, then those of the formula in its order.
    Structures hold the slab in its own order, then the atoms of the formula; cell, pbc,
    fixed atoms and tags are the slab's. Positions are as good as their periodic
    images: nothing is wrapped, so that relaxations see no jumps.

    Args:
        slab: ASE's `Atoms`, periodic along the first two lattice vectors, or a file
            that ASE reads. Atoms in a `FixAtoms` constraint never move, the others do;
            without any constraint all are fixed.
        formula: what is on the slab, as ASE reads it: "Ni5", "CO", "Au6Cu7"; empty for
            the reconstruction of a slab with free atoms.
        region: lowest and highest height in Å of the atoms that move, above the topmost
            atom of the slab. By default from the lowest place that an atom from above
            reaches if bonds give way by 15 %, so that hollows and trenches count, to
            where there is room for islands of several layers. With free atoms in the
            slab it reaches down past the lowest of them. Atoms below the surface need
            a region that says so.
        atomic_radii: radii in Å by element, where the covalent ones are not meant.
        min_distance: Å, for all pairs, or by pair as in `{"Au-Ni": 2.0}`; a pair
            that is not given may come as close as `min_distance_factor` times its bond.
        min_distance_factor: see `min_distance`.
        max_gap_factor: atoms further apart than so many bonds do not hold each other, and one that
            has left the slab and what lies on it is outside. By default 1.5; any where
            an element that moves makes molecules, and has no radius of its own.

    Attributes:
        slab: one structure.
        formula: as given.
        numbers: `[a]` int64, of all atoms of a structure, those of the slab first.
        atomic_radii: `[a]` Å, theirs.
        free_indices: `[f]` int64, which of these atoms X holds, in the order of X.
        min_distances: `[f, a]` Å, the minimum distance of each pair, in the order free atoms,
            then fixed ones.
        free_first_order: `[a]` int64, the atoms of a structure in that order.
        region: lowest and highest height above the topmost atom of the slab, Å.
        max_gap_factor: in bonds, infinite where any is allowed.

    Raises:
        InputError: an argument cannot be used.
        SpaceError: no structure fits.
    """

    slab: Structures
    formula: str
    numbers: Tensor
    atomic_radii: Tensor
    free_indices: Tensor
    free_first_order: Tensor
    min_distances: Tensor
    region: tuple[float, float]
    max_gap_factor: float

    def __init__(
        self,
        slab: Atoms | str | os.PathLike[str],
        formula: str = "",
        *,
        region: Sequence[float] | None = None,
        atomic_radii: Mapping[str, float] | None = None,
        min_distance: Mapping[str, float] | float | None = None,
        min_distance_factor: float = 0.7,
        max_gap_factor: float | None = None,
    ) -> None:
        base = read_slab(slab)
        added = parse_formula(formula, min_atoms=0)
        numbers = torch.cat((base.numbers, added))
        each = resolve_atomic_radii(numbers, atomic_radii)
        check_positive(
            "min_distance_factor",
            min_distance_factor,
            "It is a fraction of a bond, say 0.7.",
        )
        if min_distance_factor > 1:
            condition = "be at most 1, the length of a bond"
            raise InputError(error_message("min_distance_factor", condition, min_distance_factor))
        fixed = torch.cat((base.fixed, torch.zeros_like(added, dtype=torch.bool)))
        free = (~fixed).nonzero().squeeze(-1)
        if not len(free):
            condition = "leave atoms that can move"
            got = f"a formula of {formula!r} and a slab whose atoms are all fixed"
            way_out = "Give a formula, or fix only the lower part of the slab."
            raise InputError(error_message("slab", condition, got, way_out))
        order = torch.cat((free, fixed.nonzero().squeeze(-1)))
        # doubled, so that the table tells how close an atom may come to its own image
        twice, radius = numbers.repeat(2), each.repeat(2)
        table = min_pair_distances(twice, radius, min_distance, min_distance_factor)
        table = table[: len(numbers), len(numbers) :]
        for name, value in {
            "slab": base,
            "formula": formula,
            "numbers": numbers,
            "atomic_radii": each,
            "free_indices": free,
            "free_first_order": order,
            "min_distances": table[order[: len(free)]][:, order],
            "max_gap_factor": resolve_max_gap_factor(max_gap_factor, numbers[free], atomic_radii),
        }.items():
            object.__setattr__(self, name, value)
        self._check_slab()
        object.__setattr__(self, "region", self._resolve_region(region))
        if (
            self._sample(N_TRIAL_SAMPLES, torch.Generator().manual_seed(0), N_TRIAL_ATTEMPTS)
            is None
        ):
            raise self._infeasible_error()

    def __repr__(self) -> str:
        slab = self.slab.formulas()[0]
        low, high = self.region
        return f"Surface({slab!r}, {self.formula!r}, region=({low:.2f}, {high:.2f}))"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_kept"}

    @property
    def dimension(self) -> int:
        """The number of coordinates, three for each atom that moves."""
        return 3 * len(self.free_indices)

    @cached_property
    def bond_lengths(self) -> Tensor:
        """The length of a bond of each pair, `[a, a]` Å, in the order of `order`.

        It is the sum of the radii, or a little more than the minimum distance; on the
        diagonal that of an atom with its like.
        """
        each = self.atomic_radii[self.free_first_order]
        bond = each.unsqueeze(0) + each.unsqueeze(1)
        f = len(self.free_indices)
        bond[:f] = torch.maximum(bond[:f], 1.05 * self.min_distances)
        bond[:, :f] = bond[:f].T
        return bond

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random structures, `[n, d]` float64 on the CPU.

        Atoms come down one after the other and stick where they touch; free atoms of
        the slab are shaken, and at times some of them come down anew.

        Raises:
            SpaceError: the region is so tight that none could be made.
        """
        check_count("n", n, 0)
        X = self._sample(n, generator, N_SAMPLE_ATTEMPTS)
        if X is None:
            raise self._infeasible_error()
        return X

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major, differentiable in X."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, self.dimension])
        P = X.reshape(-1, len(self.free_indices), 3)
        return self._template(X).decode(P)

    def encode(self, structures: Structures) -> Tensor:
        """Return the coordinates of structures on this slab, `[b, d]`.

        Their atoms may stand in any order and in any image of the cell. Those that
        lie where the slab has fixed ones are these; of the others equal ones keep
        their order. Which atoms are marked as fixed, and tags, do not matter.

        Raises:
            InputError: a structure has another cell, other atoms, or no atom where the
                slab has a fixed one.
        """
        here = self._template(structures.positions)
        return here.encode(structures, self._described_formula()).flatten(-2)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether all atoms that move are in the region, none too close.

        None may have left the slab and what lies on it, see `max_gap_factor`. X is `[..., d]`, the
        result `[...]`.
        """
        here = self._template(X)
        Q = self._to_plane_frame(X)
        f, a = len(self.free_indices), len(self.numbers)
        slack = max(RELATIVE_ROUNDING, 8 * torch.finfo(X.dtype).eps)
        low, high = here.height_range
        height = Q[..., :f, 2]
        room = slack * max(abs(low), abs(high), 1.0)
        inside = ((height >= low - room) & (height <= high + room)).all(-1)
        shifts = here.contact_translations
        least = (here.min_distances * (1 - slack)).unsqueeze(-1)
        D = displacement_norms(here.plane.displacements(Q[..., :f, :], Q, shifts))
        apart = (least <= D) | is_self_pair(f, a, shifts)
        allowed: Tensor = (
            inside & apart.flatten(-3).all(-1) & here.is_connected(Q, self.max_gap_factor)
        )
        return allowed

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` with atoms outside the region moved to its border.

        They move along the normal only, and are not wrapped into the cell.
        """
        here = self._template(X)
        P = self._positions(X)
        normal = here.plane.axes[:, 2]
        height = P @ normal
        change = height.clamp(*here.height_range) - height
        return (P + change.unsqueeze(-1) * normal).flatten(-2)

    def is_duplicate(self, A: Tensor, B: Tensor, tolerance_scale: float = 1.0) -> Tensor:
        """Return whether A and B `[..., d]`, broadcast, are one structure, `[...]`.

        They are if the atoms that move have the same surroundings: copies shifted,
        turned or mirrored such that the slab falls onto itself are, those with equal
        atoms exchanged, and those whose groups of atoms are several neighbors apart and
        differ only in how far. `tolerance_scale` multiplies how far they may differ: below 1 is
        stricter.

        Raises:
            InputError: the scale is not positive.
        """
        check_positive("tolerance_scale", tolerance_scale, "It multiplies the tolerance.")
        return is_within_tolerance(
            self.fingerprint(A),
            self.fingerprint(B),
            tolerance_scale * self.fingerprint_tolerance,
        )

    @cached_property
    def fingerprint_tolerance(self) -> float:
        """Å. Fingerprints of one structure differ by less everywhere."""
        return DUPLICATE_TOLERANCE * float(self.bond_lengths[: len(self.free_indices)].mean())

    def fingerprint(self, X: Tensor) -> Tensor:
        """Return the surroundings of the atoms that move at X `[..., d]`, `[..., f]` Å.

        See `bostruct.spaces.surfaces.surface_fingerprint.surroundings`.
        """
        plane = self._template(X).plane
        numbers = self.numbers[self.free_first_order]
        reach = FINGERPRINT_CUTOFF_FACTOR * float(self.bond_lengths[: len(self.free_indices)].max())
        return environment_fingerprint(
            self._to_plane_frame(X), len(self.free_indices), numbers, plane, reach
        )

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes of what is on the slab, by name.

        "permute" (several species that move only), "rattle", "relocate", and "slide"
        (with a formula only). Where a move fails to stay in the space, it returns what
        it was given.
        """
        names = ["rattle", "relocate"]
        if self._n_adsorbate_atoms:
            names.append("slide")
        if len(set(self.numbers[self.free_indices].tolist())) > 1:
            names.insert(0, "permute")
        return {name: partial(self._move, name) for name in names}

    def description(self) -> dict[str, Any]:
        """Return what identifies the space, as JSON values."""
        numbers = self.numbers.tolist()
        symbols = [SYMBOLS[number] for number in numbers]
        here = [symbols[k] for k in self.free_first_order.tolist()]
        least: dict[str, float] = {}
        for i in range(len(self.free_indices)):
            for j, other in enumerate(here):
                least["-".join(sorted((here[i], other)))] = float(self.min_distances[i, j])
        slab = self.slab
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
            "min_distance": dict(sorted(least.items())),
            "max_gap_factor": self.max_gap_factor if math.isfinite(self.max_gap_factor) else None,
        }

    def _max_bonding_distance(self) -> float:
        """Return over how many Å atoms hold each other, at most."""
        bonds = self.max_gap_factor if math.isfinite(self.max_gap_factor) else 0.0
        return bonds * float(self.bond_lengths[: len(self.free_indices)].max())

    @property
    def _n_adsorbate_atoms(self) -> int:
        """How many atoms the formula has."""
        return len(self.numbers) - len(self.slab.numbers)

    def _described_formula(self) -> str:
        return f"{self.slab.formulas()[0]} with {self.formula or 'nothing'} on it"

    def _positions(self, X: Tensor) -> Tensor:
        return X.reshape(*X.shape[:-1], len(self.free_indices), 3)

    def _to_plane_frame(self, X: Tensor) -> Tensor:
        """Return all atoms along the axes of the plane, those that move first."""
        here = self._template(X)
        P = self._positions(X) @ here.plane.axes
        return torch.cat((P, here.fixed_plane_positions.expand(*X.shape[:-1], -1, 3)), -2)

    def _from_plane_frame(self, Q: Tensor) -> Tensor:
        """Return the coordinates of the atoms that move, wrapped into the cell."""
        here = self._template(Q)
        free = here.plane.wrap(Q[..., : len(self.free_indices), :], WRAP_MARGIN)
        return (free @ here.plane.axes.T).flatten(-2)

    def _move(self, name: str, X: Tensor, generator: torch.Generator) -> Tensor:
        here = self._template(X)
        Q = self._to_plane_frame(X)
        f, plane, bond = len(self.free_indices), here.plane, here.bond_lengths
        if name == "permute":
            species = here.numbers[here.free_first_order[:f]]
            moved = cluster_moves.swap_species(Q[:, :f], species, generator)
            Q = torch.cat((moved, Q[:, f:]), 1)
        elif name == "rattle":
            moved = cluster_moves.rattle(Q[:, :f], bond[:f, :f].mean(), generator)
            Q = torch.cat((moved, Q[:, f:]), 1)
        elif name == "relocate":
            Q = moves.move_atom(Q, f, bond, here.height_range[1], plane, generator)
        else:
            Q = moves.slide_adsorbate(Q, f - self._n_adsorbate_atoms, f, plane, generator)
        moved = self._from_plane_frame(self._relax_overlaps(Q))
        stays = self.contains(moved).unsqueeze(-1)
        return torch.where(stays, moved, self.project(X))

    def _relax_overlaps(self, Q: Tensor) -> Tensor:
        here = self._template(Q)
        wanted = torch.maximum(
            CONTACT_FACTOR * here.bond_lengths[: len(self.free_indices)],
            1.02 * here.min_distances,
        )
        f = len(self.free_indices)
        return relax_overlaps(Q, f, wanted, here.height_range, here.plane, N_PUSH_STEPS)

    def _sample(self, n: int, generator: torch.Generator, max_attempts: int) -> Tensor | None:
        """Return structures `[n, d]`, or None if some could not be made."""
        # the generator's device decides where the work is done
        start = self._initial_positions().to(generator.device)
        here = self._template(start)
        f = len(self.free_indices)

        def draw(count: int) -> tuple[Tensor, Tensor]:
            slab, top = f - self._n_adsorbate_atoms, here.height_range[1]
            Q = deposit_all(count, start, slab, f, here.bond_lengths, top, here.plane, generator)
            X = self._from_plane_frame(self._relax_overlaps(Q))
            return X, self.contains(X)

        return rejection_sample(n, self.dimension, draw, max_attempts)

    def _initial_positions(self) -> Tensor:
        """Return the slab along its axes, atoms that move first, `[a, 3]` Å."""
        added = self.slab.positions.new_zeros(self._n_adsorbate_atoms, 3)
        P = torch.cat((self.slab.positions, added))
        return P[self.free_first_order] @ self._plane.axes

    @cached_property
    def _plane(self) -> PeriodicPlane:
        return PeriodicPlane.from_cell(self.slab.cell[0])

    @cached_property
    def _slab_heights(self) -> Tensor:
        """The heights of the atoms of the slab, Å."""
        return (self.slab.positions @ self._plane.axes)[:, 2]

    def _template(self, like: Tensor) -> SlabTemplate:
        """Return what does not change, where `like` is and in its dtype."""
        kept: dict[tuple[torch.device, torch.dtype], SlabTemplate]
        kept = vars(self).setdefault("_kept", {})
        key = (like.device, like.dtype)
        if key not in kept:
            top, (low, high) = float(self._slab_heights.max()), self.region
            kept[key] = SlabTemplate.from_slab(
                self.slab,
                self._plane,
                like,
                height_range=(top + low, top + high),
                numbers=self.numbers,
                free_first_order=self.free_first_order,
                bond_lengths=self.bond_lengths,
                min_distances=self.min_distances,
                max_bonding_distance=self._max_bonding_distance(),
            )
        return kept[key]

    def _resolve_region(self, region: Sequence[float] | None) -> tuple[float, float]:
        """Return the lowest and highest height above the slab, Å."""
        f, slab = (
            len(self.free_indices),
            len(self.free_indices) - self._n_adsorbate_atoms,
        )
        top = float(self._slab_heights.max())
        touch = float(self.bond_lengths[:f].max())
        above = available_height(self.slab, self._plane, touch)
        if region is None:
            volume = (
                self.atomic_radii[self.free_indices[slab:]].pow(3).sum() / RANDOM_PACKING_FRACTION
            )
            low, high = 0.0, min(touch + 2 * float(volume ** (1 / 3)), above)
            if high < touch:
                condition = f"have at least {touch:.2f} Å of vacuum above it"
                raise SpaceError(error_message("slab", condition, f"{above:.2f} Å", WIDEN_HINT))
            if self._n_adsorbate_atoms:
                low = self._lowest_contact_height() - top
        else:
            low, high = check_region(region)
            if high > above:
                condition = f"end at {above:.2f} Å above the slab, inside its cell"
                raise SpaceError(error_message("region", condition, f"{high:.2f} Å", WIDEN_HINT))
        if slab:
            under = (
                self._slab_heights[self.free_indices[:slab]].min()
                - self.bond_lengths[:f].mean() / 2
            )
            low = min(low, float(under) - top)
        return low, high

    def _lowest_contact_height(self) -> float:
        """Return the height of the lowest place where a squeezed atom rests, Å."""
        f, start = (
            len(self.free_indices),
            len(self.free_indices) - self._n_adsorbate_atoms,
        )
        Q = self.slab.positions @ self._plane.axes
        place = self.free_first_order.argsort()[: len(Q)]
        touch = CONTACT_FACTOR * self.bond_lengths[start:f][:, place].amin(0)
        return contact_height(Q, touch, self._plane, N_GRID_POINTS)

    def _check_slab(self) -> None:
        """Refuse a slab whose atoms are too close to each other or to their images."""
        f, slab = (
            len(self.free_indices),
            len(self.free_indices) - self._n_adsorbate_atoms,
        )
        check_images(self._plane, float(self.min_distances[:, :f].diagonal().max()))
        each = self.atomic_radii[: len(self.slab.numbers)]
        least = OVERLAP_FACTOR * (each.unsqueeze(0) + each.unsqueeze(1))
        place = self.free_first_order.argsort()[: len(each)]
        least[self.free_indices[:slab]] = self.min_distances[:slab][:, place]
        least = torch.maximum(least, least.T) * (1 - RELATIVE_ROUNDING)
        check_slab_overlaps(self.slab, self._plane, least)

    def _infeasible_error(self) -> SpaceError:
        low, high = self.region
        condition = (
            f"hold {self._described_formula()} with minimum distances up to "
            f"{float(self.min_distances.max()):.2f} Å"
        )
        got = f"({low:.2f}, {high:.2f}) Å"
        way_out = "Give a higher `region`, a smaller `min_distance`, or a wider slab."
        return SpaceError(error_message("region", condition, got, way_out))
