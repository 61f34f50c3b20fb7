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
    must,
)
from bostruct.spaces.clusters import moves as cluster_moves
from bostruct.spaces.clusters.packing import APART, SNUG
from bostruct.spaces.clusters.sampling import PATIENCE, ROUNDS, TRIAL, insist
from bostruct.spaces.connectivity import check_gap
from bostruct.spaces.fingerprint_distance import ROUNDING, SAME, close
from bostruct.spaces.formula import element_radii, pair_distances, parse
from bostruct.spaces.space import Move
from bostruct.spaces.surfaces import moves
from bostruct.spaces.surfaces.deposition import covered, resting, settled
from bostruct.spaces.surfaces.periodic_plane import Plane, itself, norm
from bostruct.spaces.surfaces.slab import (
    WIDEN,
    check_apart,
    check_images,
    digest,
    heights,
    read,
    room,
)
from bostruct.spaces.surfaces.slab_template import Frame
from bostruct.spaces.surfaces.surface_fingerprint import surroundings
from bostruct.structures import SYMBOLS, Structures

if TYPE_CHECKING:
    from ase import Atoms

REACH = 2.5
"""In bonds: how far atoms look when structures are compared."""

OVERLAP = 0.3
"""In bonds: atoms of a slab that are closer are a mistake."""

PACKING = 0.64
"""Part of the volume of a random heap that its spheres fill."""

BORDER = 0.1
"""In lattice vectors: atoms this far outside the cell are not wrapped into it."""

GRID = 24
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
        radii: radii in Å by element, where the covalent ones are not meant.
        minimum_distance: Å, for all pairs, or by pair as in `{"Au-Ni": 2.0}`; a pair
            that is not given may come as close as `closeness` times its bond.
        closeness: see `minimum_distance`.
        gap: atoms further apart than so many bonds do not hold each other, and one that
            has left the slab and what lies on it is outside. By default 1.5; any where
            an element that moves makes molecules, and has no radius of its own.

    Attributes:
        slab: one structure.
        formula: as given.
        numbers: `[a]` int64, of all atoms of a structure, those of the slab first.
        radii: `[a]` Å, theirs.
        free: `[f]` int64, which of these atoms X holds, in the order of X.
        minimum: `[f, a]` Å, the minimum distance of each pair, in the order free atoms,
            then fixed ones.
        order: `[a]` int64, the atoms of a structure in that order.
        region: lowest and highest height above the topmost atom of the slab, Å.
        gap: in bonds, infinite where any is allowed.

    Raises:
        InputError: an argument cannot be used.
        SpaceError: no structure fits.
    """

    slab: Structures
    formula: str
    numbers: Tensor
    radii: Tensor
    free: Tensor
    order: Tensor
    minimum: Tensor
    region: tuple[float, float]
    gap: float

    def __init__(
        self,
        slab: Atoms | str | os.PathLike[str],
        formula: str = "",
        *,
        region: Sequence[float] | None = None,
        radii: Mapping[str, float] | None = None,
        minimum_distance: Mapping[str, float] | float | None = None,
        closeness: float = 0.7,
        gap: float | None = None,
    ) -> None:
        base = read(slab)
        added = parse(formula, least=0)
        numbers = torch.cat((base.numbers, added))
        each = element_radii(numbers, radii)
        check_positive("closeness", closeness, "It is a fraction of a bond, say 0.7.")
        if closeness > 1:
            condition = "be at most 1, the length of a bond"
            raise InputError(must("closeness", condition, closeness))
        fixed = torch.cat((base.fixed, torch.zeros_like(added, dtype=torch.bool)))
        free = (~fixed).nonzero().squeeze(-1)
        if not len(free):
            condition = "leave atoms that can move"
            got = f"a formula of {formula!r} and a slab whose atoms are all fixed"
            way_out = "Give a formula, or fix only the lower part of the slab."
            raise InputError(must("slab", condition, got, way_out))
        order = torch.cat((free, fixed.nonzero().squeeze(-1)))
        # doubled, so that the table tells how close an atom may come to its own image
        twice, radius = numbers.repeat(2), each.repeat(2)
        table = pair_distances(twice, radius, minimum_distance, closeness)
        table = table[: len(numbers), len(numbers) :]
        for name, value in {
            "slab": base,
            "formula": formula,
            "numbers": numbers,
            "radii": each,
            "free": free,
            "order": order,
            "minimum": table[order[: len(free)]][:, order],
            "gap": check_gap(gap, numbers[free], radii),
        }.items():
            object.__setattr__(self, name, value)
        self._check_slab()
        object.__setattr__(self, "region", self._region(region))
        if self._sample(TRIAL, torch.Generator().manual_seed(0), ROUNDS) is None:
            raise self._too_small()

    def __repr__(self) -> str:
        slab = self.slab.formulas()[0]
        low, high = self.region
        return f"Surface({slab!r}, {self.formula!r}, region=({low:.2f}, {high:.2f}))"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_kept"}

    @property
    def dimension(self) -> int:
        """The number of coordinates, three for each atom that moves."""
        return 3 * len(self.free)

    @cached_property
    def bond(self) -> Tensor:
        """The length of a bond of each pair, `[a, a]` Å, in the order of `order`.

        It is the sum of the radii, or a little more than the minimum distance; on the
        diagonal that of an atom with its like.
        """
        each = self.radii[self.order]
        bond = each.unsqueeze(0) + each.unsqueeze(1)
        f = len(self.free)
        bond[:f] = torch.maximum(bond[:f], 1.05 * self.minimum)
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
        X = self._sample(n, generator, PATIENCE)
        if X is None:
            raise self._too_small()
        return X

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major, differentiable in X."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, self.dimension])
        P = X.reshape(-1, len(self.free), 3)
        return self._constants(X).decoded(P)

    def encode(self, structures: Structures) -> Tensor:
        """Return the coordinates of structures on this slab, `[b, d]`.

        Their atoms may stand in any order and in any image of the cell. Those that
        lie where the slab has fixed ones are these; of the others equal ones keep
        their order. Which atoms are marked as fixed, and tags, do not matter.

        Raises:
            InputError: a structure has another cell, other atoms, or no atom where the
                slab has a fixed one.
        """
        here = self._constants(structures.positions)
        return here.encoded(structures, self._formula()).flatten(-2)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether all atoms that move are in the region, none too close.

        None may have left the slab and what lies on it, see `gap`. X is `[..., d]`, the
        result `[...]`.
        """
        here = self._constants(X)
        Q = self._inside(X)
        f, a = len(self.free), len(self.numbers)
        slack = max(ROUNDING, 8 * torch.finfo(X.dtype).eps)
        low, high = here.window
        height = Q[..., :f, 2]
        room = slack * max(abs(low), abs(high), 1.0)
        inside = ((height >= low - room) & (height <= high + room)).all(-1)
        shifts = here.near
        least = (here.minimum * (1 - slack)).unsqueeze(-1)
        D = norm(here.plane.gaps(Q[..., :f, :], Q, shifts))
        apart = (least <= D) | itself(f, a, shifts)
        allowed: Tensor = inside & apart.flatten(-3).all(-1) & here.whole(Q, self.gap)
        return allowed

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` with atoms outside the region moved to its border.

        They move along the normal only, and are not wrapped into the cell.
        """
        here = self._constants(X)
        P = self._positions(X)
        normal = here.plane.frame[:, 2]
        height = P @ normal
        change = height.clamp(*here.window) - height
        return (P + change.unsqueeze(-1) * normal).flatten(-2)

    def same(self, A: Tensor, B: Tensor, scale: float = 1.0) -> Tensor:
        """Return whether A and B `[..., d]`, broadcast, are one structure, `[...]`.

        They are if the atoms that move have the same surroundings: copies shifted,
        turned or mirrored such that the slab falls onto itself are, those with equal
        atoms exchanged, and those whose groups of atoms are several neighbors apart and
        differ only in how far. `scale` multiplies how far they may differ: below 1 is
        stricter.

        Raises:
            InputError: the scale is not positive.
        """
        check_positive("scale", scale, "It multiplies the tolerance.")
        return close(self.fingerprint(A), self.fingerprint(B), scale * self.tolerance)

    @cached_property
    def tolerance(self) -> float:
        """Å. Fingerprints of one structure differ by less everywhere."""
        return SAME * float(self.bond[: len(self.free)].mean())

    def fingerprint(self, X: Tensor) -> Tensor:
        """Return the surroundings of the atoms that move at X `[..., d]`, `[..., f]` Å.

        See `bostruct.spaces.surfaces.surface_fingerprint.surroundings`.
        """
        plane = self._constants(X).plane
        numbers = self.numbers[self.order]
        reach = REACH * float(self.bond[: len(self.free)].max())
        return surroundings(self._inside(X), len(self.free), numbers, plane, reach)

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes of what is on the slab, by name.

        "permute" (several species that move only), "rattle", "relocate", and "slide"
        (with a formula only). Where a move fails to stay in the space, it returns what
        it was given.
        """
        names = ["rattle", "relocate"]
        if self._added:
            names.append("slide")
        if len(set(self.numbers[self.free].tolist())) > 1:
            names.insert(0, "permute")
        return {name: partial(self._move, name) for name in names}

    def description(self) -> dict[str, Any]:
        """Return what identifies the space, as JSON values."""
        numbers = self.numbers.tolist()
        symbols = [SYMBOLS[number] for number in numbers]
        here = [symbols[k] for k in self.order.tolist()]
        least: dict[str, float] = {}
        for i in range(len(self.free)):
            for j, other in enumerate(here):
                least["-".join(sorted((here[i], other)))] = float(self.minimum[i, j])
        slab = self.slab
        return {
            "kind": "surface",
            "slab": {
                "formula": slab.formulas()[0],
                "cell": slab.cell[0].tolist(),
                "pbc": slab.pbc[0].tolist(),
                "fixed": int(slab.fixed.sum()),
                "sha256": digest(slab),
            },
            "formula": self.formula,
            "region": list(self.region),
            "radii": dict(sorted(zip(symbols, self.radii.tolist(), strict=True))),
            "minimum_distance": dict(sorted(least.items())),
            "gap": self.gap if math.isfinite(self.gap) else None,
        }

    def _far(self) -> float:
        """Return over how many Å atoms hold each other, at most."""
        bonds = self.gap if math.isfinite(self.gap) else 0.0
        return bonds * float(self.bond[: len(self.free)].max())

    @property
    def _added(self) -> int:
        """How many atoms the formula has."""
        return len(self.numbers) - len(self.slab.numbers)

    def _formula(self) -> str:
        return f"{self.slab.formulas()[0]} with {self.formula or 'nothing'} on it"

    def _positions(self, X: Tensor) -> Tensor:
        return X.reshape(*X.shape[:-1], len(self.free), 3)

    def _inside(self, X: Tensor) -> Tensor:
        """Return all atoms along the axes of the plane, those that move first."""
        here = self._constants(X)
        P = self._positions(X) @ here.plane.frame
        return torch.cat((P, here.level.expand(*X.shape[:-1], -1, 3)), -2)

    def _outside(self, Q: Tensor) -> Tensor:
        """Return the coordinates of the atoms that move, wrapped into the cell."""
        here = self._constants(Q)
        free = here.plane.wrapped(Q[..., : len(self.free), :], BORDER)
        return (free @ here.plane.frame.T).flatten(-2)

    def _move(self, name: str, X: Tensor, generator: torch.Generator) -> Tensor:
        here = self._constants(X)
        Q = self._inside(X)
        f, plane, bond = len(self.free), here.plane, here.bond
        if name == "permute":
            species = here.numbers[here.order[:f]]
            moved = cluster_moves.permute(Q[:, :f], species, generator)
            Q = torch.cat((moved, Q[:, f:]), 1)
        elif name == "rattle":
            moved = cluster_moves.rattle(Q[:, :f], bond[:f, :f].mean(), generator)
            Q = torch.cat((moved, Q[:, f:]), 1)
        elif name == "relocate":
            Q = moves.relocate(Q, f, bond, here.window[1], plane, generator)
        else:
            Q = moves.slide(Q, f - self._added, f, plane, generator)
        moved = self._outside(self._settled(Q))
        stays = self.contains(moved).unsqueeze(-1)
        return torch.where(stays, moved, self.project(X))

    def _settled(self, Q: Tensor) -> Tensor:
        here = self._constants(Q)
        wanted = torch.maximum(SNUG * here.bond[: len(self.free)], 1.02 * here.minimum)
        f = len(self.free)
        return settled(Q, f, wanted, here.window, here.plane, APART)

    def _sample(self, n: int, generator: torch.Generator, rounds: int) -> Tensor | None:
        """Return structures `[n, d]`, or None if some could not be made."""
        # the generator's device decides where the work is done
        start = self._start().to(generator.device)
        here = self._constants(start)
        f = len(self.free)

        def draw(count: int) -> tuple[Tensor, Tensor]:
            slab, top = f - self._added, here.window[1]
            Q = covered(count, start, slab, f, here.bond, top, here.plane, generator)
            X = self._outside(self._settled(Q))
            return X, self.contains(X)

        return insist(n, self.dimension, draw, rounds)

    def _start(self) -> Tensor:
        """Return the slab along its axes, atoms that move first, `[a, 3]` Å."""
        added = self.slab.positions.new_zeros(self._added, 3)
        P = torch.cat((self.slab.positions, added))
        return P[self.order] @ self._plane.frame

    @cached_property
    def _plane(self) -> Plane:
        return Plane.of(self.slab.cell[0])

    @cached_property
    def _heights(self) -> Tensor:
        """The heights of the atoms of the slab, Å."""
        return (self.slab.positions @ self._plane.frame)[:, 2]

    def _constants(self, like: Tensor) -> Frame:
        """Return what does not change, where `like` is and in its dtype."""
        kept: dict[tuple[torch.device, torch.dtype], Frame]
        kept = vars(self).setdefault("_kept", {})
        key = (like.device, like.dtype)
        if key not in kept:
            top, (low, high) = float(self._heights.max()), self.region
            kept[key] = Frame.of(
                self.slab,
                self._plane,
                like,
                window=(top + low, top + high),
                numbers=self.numbers,
                order=self.order,
                bond=self.bond,
                minimum=self.minimum,
                far=self._far(),
            )
        return kept[key]

    def _region(self, given: Sequence[float] | None) -> tuple[float, float]:
        """Return the lowest and highest height above the slab, Å."""
        f, slab = len(self.free), len(self.free) - self._added
        top = float(self._heights.max())
        touch = float(self.bond[:f].max())
        above = room(self.slab, self._plane, touch)
        if given is None:
            volume = self.radii[self.free[slab:]].pow(3).sum() / PACKING
            low, high = 0.0, min(touch + 2 * float(volume ** (1 / 3)), above)
            if high < touch:
                condition = f"have at least {touch:.2f} Å of vacuum above it"
                raise SpaceError(must("slab", condition, f"{above:.2f} Å", WIDEN))
            if self._added:
                low = self._lowest() - top
        else:
            low, high = heights(given)
            if high > above:
                condition = f"end at {above:.2f} Å above the slab, inside its cell"
                raise SpaceError(must("region", condition, f"{high:.2f} Å", WIDEN))
        if slab:
            under = self._heights[self.free[:slab]].min() - self.bond[:f].mean() / 2
            low = min(low, float(under) - top)
        return low, high

    def _lowest(self) -> float:
        """Return the height of the lowest place where a squeezed atom rests, Å."""
        f, start = len(self.free), len(self.free) - self._added
        Q = self.slab.positions @ self._plane.frame
        place = self.order.argsort()[: len(Q)]
        touch = SNUG * self.bond[start:f][:, place].amin(0)
        return resting(Q, touch, self._plane, GRID)

    def _check_slab(self) -> None:
        """Refuse a slab whose atoms are too close to each other or to their images."""
        f, slab = len(self.free), len(self.free) - self._added
        check_images(self._plane, float(self.minimum[:, :f].diagonal().max()))
        each = self.radii[: len(self.slab.numbers)]
        least = OVERLAP * (each.unsqueeze(0) + each.unsqueeze(1))
        place = self.order.argsort()[: len(each)]
        least[self.free[:slab]] = self.minimum[:slab][:, place]
        least = torch.maximum(least, least.T) * (1 - ROUNDING)
        check_apart(self.slab, self._plane, least)

    def _too_small(self) -> SpaceError:
        low, high = self.region
        condition = (
            f"hold {self._formula()} with minimum distances up to "
            f"{float(self.minimum.max()):.2f} Å"
        )
        got = f"({low:.2f}, {high:.2f}) Å"
        way_out = (
            "Give a higher `region`, a smaller `minimum_distance`, or a wider slab."
        )
        return SpaceError(must("region", condition, got, way_out))
