"""Poses of one molecule on a rigid slab: where it is, how it is turned, and its torsions.

Notation
    f, a   atoms of the molecule, and of a structure
    d      coordinates: u, v, height; wx, wy, wz but for a single atom; torsions
    X      [..., d]
    P      [..., f, 3]  Å   positions of the molecule
    Q      [..., f, 3]  Å   the same along the axes of the plane, see `periodic_plane`
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, final

import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, check_shape, error_message
from bostruct.spaces.clusters.packing import CONTACT_FACTOR
from bostruct.spaces.connectivity import resolve_max_gap_factor
from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain, in_described_order
from bostruct.spaces.coordinates.rotation_vectors import BodyRotation, from_quaternions
from bostruct.spaces.coordinates.sampling import moves_inside, sample_inside
from bostruct.spaces.fingerprint_distance import RELATIVE_ROUNDING, FingerprintedStructures
from bostruct.spaces.formula import resolve_atomic_radii
from bostruct.spaces.molecules.conformers import RIGID_TOLERANCE, Conformers
from bostruct.spaces.molecules.contact_distances import contact_lengths
from bostruct.spaces.molecules.dihedral_angles import dihedral_angles
from bostruct.spaces.molecules.fragments import Fragments
from bostruct.spaces.molecules.molecule import Molecule
from bostruct.spaces.molecules.rotations import rotation_matrices
from bostruct.spaces.molecules.superposition import optimal_quaternions
from bostruct.spaces.space import Move
from bostruct.spaces.stored_structures import StoredStructures
from bostruct.spaces.surfaces.deposition import contact_height
from bostruct.spaces.surfaces.molecular_deposition import join_units
from bostruct.spaces.surfaces.periodic_plane import PeriodicPlane, displacement_norms
from bostruct.spaces.surfaces.slab import available_height, read_slab, slab_digest
from bostruct.spaces.surfaces.slab_template import SlabTemplate
from bostruct.spaces.surfaces.surface import FINGERPRINT_CUTOFF_FACTOR, N_GRID_POINTS
from bostruct.spaces.surfaces.surface_fingerprint import environment_fingerprint
from bostruct.spaces.surfaces.vacuum import (
    check_one_piece,
    find_normal_axis,
    plane_cell,
    unwrap_slab,
    widen_hint,
)
from bostruct.structures import Structures, to_ase, van_der_waals_radii

if TYPE_CHECKING:
    from ase import Atoms

MIN_DISTANCE_FACTOR = 0.7
"""Least distance of an atom of the molecule and one of the slab, in sums of their radii."""

LINEAR_TOLERANCE = 1e-5
"""Width of a linear molecule, in its length: the rounding of positions."""

N_ORIENTATIONS = 2048
"""Random orientations in which a molecule is tried beside its images."""

N_CONFORMERS = 64
"""Random conformers that tell how long a molecule becomes."""

MAX_PAIRS = 1 << 21
"""Largest number of distances computed at once."""


@final
class Pose(FingerprintedStructures):
    """All poses of one rigid molecule on a rigid slab, with chosen torsions.

    The coordinates X `[..., d]` are u and v, the place of the molecule's center in fractions of the
    lattice vectors of the surface, periodic; the height of the center above the topmost atom of the
    slab, Å; wx, wy and wz, the rotation vector in radians by which the given geometry is turned,
    which a single atom does not have; and the dihedral angles of `torsions`, radians. The center is
    the mean position of the atoms. Orientations have no singular points and no preferred one: a
    rotation vector and its equal beyond the angle π are one point, of a linear molecule all that
    turn its axis likewise.

    Args:
        molecule: the molecule with its geometry: a `Molecule`, a name in `ase.build.molecule`,
            Atoms or a file.
        on: the slab, as `Surface` takes it, or a file. All of its atoms stay where they are; to
            relax them, hand poses on to a campaign in `Surface`.
        torsions: torsions that turn, as of `Conformers`; by default none.
        height: lowest and highest height of the center in Å above the topmost atom of the slab. By
            default from where an atom comes to rest in the deepest hollow, bonds compressed by
            15 %, to where the molecule stands upright and loses contact.

    Attributes:
        molecule: the molecule.
        slab: the slab as one structure, in one piece, all atoms fixed.
        normal_axis: index of the lattice vector that leaves the plane.
        height: lowest and highest height of the center, Å.
        domain: names, bounds and periods of the coordinates.
        numbers: `[a]` int64 atomic numbers, those of the slab first.
        atomic_radii: `[a]` Å, covalent ones.

    Raises:
        InputError: an argument is invalid.
        SpaceError: the molecule touches its own images however it is turned, or there is no room.
    """

    numbers: Tensor
    atomic_radii: Tensor

    def __init__(
        self,
        molecule: object,
        *,
        on: Atoms | str | os.PathLike[str],
        torsions: str | Sequence[Sequence[int]] | Mapping[str, Sequence[int]] = (),
        height: Sequence[float] | None = None,
    ) -> None:
        self.molecule = Molecule.from_any(molecule)
        self._conformers = Conformers(self.molecule, torsions) if len(torsions) else None
        slab = read_slab(on)
        slab = replace(slab, fixed=torch.ones_like(slab.fixed))
        self.numbers = torch.cat((slab.numbers, self.molecule.numbers))
        self.atomic_radii = resolve_atomic_radii(self.numbers, None)
        bond_length = 2 * float(self.atomic_radii[: len(slab.numbers)].max())
        self.normal_axis = find_normal_axis(slab, bond_length)
        self.slab = unwrap_slab(slab, self.normal_axis)
        check_one_piece(self.slab, self.normal_axis, bond_length, None)
        self._plane = PeriodicPlane.from_cell(plane_cell(self.slab.cell[0], self.normal_axis))
        self._top = float((self.slab.positions @ self._plane.axes)[:, 2].max())
        self._templates: dict[tuple[torch.device, torch.dtype], SlabTemplate] = {}
        self._check_size()
        self.height = self._resolve_height(height)
        self.domain = self._make_domain()
        self.sample(1, torch.Generator().manual_seed(0))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_templates": {}}

    def __repr__(self) -> str:
        names = ", ".join(self.domain.names)
        return f"Pose({self.molecule.name!r}, on={self.slab.formulas()[0]!r}, {names})"

    @property
    def dimension(self) -> int:
        """The number of coordinates."""
        return len(self.domain)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random poses, uniform in place, height and orientation, `[n, d]` float64, CPU.

        Raises:
            SpaceError: atoms meet in nearly all of them.
        """
        X = sample_inside(self.domain, self.contains, n, generator)
        if len(X) < n:
            low, high = self.height
            condition = f"leave room for {self.molecule.name} between the slab and its images"
            hint = "Give a larger upper height, or repeat the slab."
            value = f"({low:.2f}, {high:.2f}) Å"
            raise SpaceError(error_message("height", condition, value, hint))
        return X

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major, differentiable in X."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, self.dimension])
        return self._template(X).decode(self._positions(X.reshape(-1, self.dimension)))

    def encode(self, structures: Structures) -> Tensor:
        """Return the coordinates of structures with the molecule on the slab, `[b, d]`.

        Atoms may stand in any image of the cell; equal atoms of the molecule in its order.

        Raises:
            InputError: a structure has another cell or other atoms, an atom of the slab has moved,
                or the molecule has other bond lengths, bond angles or dihedrals.
        """
        template = self._template(structures.positions)
        name = f"{self.slab.formulas()[0]} with {self.molecule.name} on it"
        plane = template.plane
        Q = template.encode(structures, name) @ plane.axes
        if self._fragments is not None:
            Q = join_units(Q, self._fragments, plane)
        center = Q.mean(-2)
        turned = (Q - center.unsqueeze(-2)) @ plane.axes.T
        internal = self._internal_angles(turned)
        columns = [center[:, :2] @ plane.inverse_lattice, center[:, 2:] - self._top]
        if self.domain.rotation is not None:
            q = optimal_quaternions(self._arms(internal), turned)
            columns.append(from_quaternions(q[..., 0], q[..., 1:]))
        X = self.domain.wrap(torch.cat((*columns, internal), -1))
        away = torch.linalg.vector_norm(self._turned_arms(X) - turned, dim=-1)
        if bool((away > RIGID_TOLERANCE).any()):
            condition = f"hold {self.molecule.name} with its geometry and order of atoms"
            value = f"an atom that is {float(away.max()):.2g} Å from its place"
            hint = "Make the space with that geometry of the molecule."
            raise InputError(error_message("structures", condition, value, hint))
        return X

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` is within the bounds and no atoms are too close, `[...]`.

        Those of the molecule are apart from the slab and from the molecule's own images, and of its
        own atoms those that torsions bring together, as in `Conformers`.
        """
        rows = X.detach().reshape(-1, self.dimension)
        inside = self.domain.contains(rows)
        if self._conformers is not None:
            inside &= self._conformers.contains(rows[:, -self._conformers.dimension :])
        Q = self._plane_positions(rows.nan_to_num(0.0, 0.0, 0.0))
        inside &= self._is_apart_from_slab(Q) & self._are_images_apart(Q)
        return inside.reshape(X.shape[:-1])

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` between the bounds, the rotation vector the shortest of its kind."""
        return self.domain.project(X)

    def fingerprint(self, X: Tensor) -> Tensor:
        """Return the neighbor distances of the molecule's atoms at X `[..., d]`, `[..., k]` Å.

        As those of `Surface` they are equal for poses that a symmetry of the slab maps on each
        other, and for those with equal atoms exchanged.
        """
        template = self._template(X)
        f = len(self.molecule)
        moving = self._plane_positions(X.detach())
        fixed = template.fixed_plane_positions.expand(*X.shape[:-1], -1, 3)
        cutoff = FINGERPRINT_CUTOFF_FACTOR * float(self._bond_lengths[:f].max())
        numbers = self.numbers[self._molecule_first]
        Q = torch.cat((moving, fixed), -2)
        return environment_fingerprint(Q, f, numbers, template.plane, cutoff)

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes: "crossover", "displace" and "redraw" of coordinates."""
        return moves_inside(self.domain, self.contains)

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], stored: StoredStructures | None = None
    ) -> Self:
        """Return the space with a given description and the slab that was stored.

        Raises:
            InputError: nothing was stored.
        """
        if stored is None:
            raise InputError(error_message("stored", "hold the slab", "nothing"))
        return cls(
            Molecule.from_description(description["molecule"]),
            on=to_ase(stored.structures)[0],
            torsions=in_described_order(description, "torsions"),
            height=description["height"],
        )

    def stored_structures(self) -> StoredStructures:
        """Return the slab, of which the description holds a digest."""
        return StoredStructures(self.slab)

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the space, as JSON values."""
        torsions, order = {}, {}
        if self._conformers is not None:
            torsions = self._conformers.description()["torsions"]
            order = self._conformers.domain.order_description()
        return {
            "type": "Pose",
            "molecule": self.molecule.description(),
            "slab": {
                "formula": self.slab.formulas()[0],
                "cell": self.slab.cell[0].tolist(),
                "pbc": self.slab.pbc[0].tolist(),
                "sha256": slab_digest(self.slab),
            },
            "torsions": torsions,
            "height": list(self.height),
            **order,
        }

    @property
    def _molecule_first(self) -> Tensor:
        """Indices of all atoms, those of the molecule first, `[a]`."""
        a, f = len(self.numbers), len(self.molecule)
        return torch.cat((torch.arange(a - f, a), torch.arange(a - f)))

    @cached_property
    def _bond_lengths(self) -> Tensor:
        """Sums of radii, `[a, a]` Å, the molecule first."""
        radii = self.atomic_radii[self._molecule_first]
        return radii.unsqueeze(0) + radii.unsqueeze(1)

    @cached_property
    def _image_distances(self) -> Tensor:
        """The least distances of atoms of the molecule and of its images, `[f, f]` Å."""
        molecule = self.molecule
        radii = self.atomic_radii[self._molecule_first[: len(molecule)]]
        is_free = torch.zeros(len(molecule), dtype=torch.bool)
        if len(molecule) == 1:  # an atom may be bonded to its images
            return MIN_DISTANCE_FACTOR * (radii.unsqueeze(0) + radii.unsqueeze(1))
        return contact_lengths(molecule.numbers, radii, molecule.neighbors, is_free)[1]

    @cached_property
    def _fragments(self) -> Fragments | None:
        """The molecule with its bonds, None of a single atom."""
        return None if len(self.molecule) == 1 else Fragments.from_counts([self.molecule])

    @cached_property
    def _is_linear(self) -> bool:
        """True if all atoms are in line; False of a single one, and with torsions."""
        if len(self.molecule) == 1 or self._conformers is not None:
            return False
        sizes = torch.linalg.svdvals(self.molecule.positions)
        return float(sizes[1]) <= LINEAR_TOLERANCE * float(sizes[0])

    @cached_property
    def _arm_lengths(self) -> Tensor:
        """The largest distance of each atom from the center, `[f]` Å, in any conformer."""
        internal = torch.zeros(1, 0, dtype=torch.float64)
        if self._conformers is not None:
            generator = torch.Generator().manual_seed(0)
            internal = self._conformers.sample(N_CONFORMERS, generator)
        lengths: Tensor = torch.linalg.vector_norm(self._arms(internal), dim=-1).amax(0)
        return lengths

    @property
    def _extent(self) -> float:
        """The largest distance of an atom from the center, Å."""
        return float(self._arm_lengths.max())

    def _make_domain(self) -> CoordinateDomain:
        names, low, high = ["u", "v", "height"], [0.0, 0.0, self.height[0]], [1.0, 1.0]
        high.append(self.height[1])
        periodic, rotation = [True, True, False], None
        if len(self.molecule) > 1:
            rotation = BodyRotation.of_body(3, self._axis if self._is_linear else None)
            names += ["wx", "wy", "wz"]
            low += 3 * [-math.pi]
            high += 3 * [math.pi]
            periodic += 3 * [False]
        if self._conformers is not None:
            t = self._conformers.dimension
            names += self._conformers.domain.names
            low += t * [-math.pi]
            high += t * [math.pi]
            periodic += t * [True]
        lower, upper = (torch.tensor(bound, dtype=torch.float64) for bound in (low, high))
        return CoordinateDomain(tuple(names), lower, upper, torch.tensor(periodic), rotation)

    @property
    def _axis(self) -> Tensor:
        """The direction in which the molecule is longest, `[3]`."""
        axis: Tensor = torch.linalg.svd(self.molecule.positions).Vh[0]
        return axis

    def _internal_angles(self, P: Tensor) -> Tensor:
        """Return the dihedral angles at P `[..., f, 3]`, `[..., t]`; none without torsions."""
        if self._conformers is None:
            return P.new_zeros(*P.shape[:-2], 0)
        return dihedral_angles(P, self._conformers.torsions)

    def _arms(self, internal: Tensor) -> Tensor:
        """Return positions from the center before the rotation, `[..., f, 3]` Å.

        Args:
            internal: `[..., t]` dihedral angles.
        """
        f = len(self.molecule)
        if self._conformers is None:
            arms = self.molecule.positions  # whose center is rounded
            arms = (arms - arms.mean(0)).to(internal)
            return arms.expand(*internal.shape[:-1], f, 3)
        return self._conformers.decode(internal).positions.reshape(*internal.shape[:-1], f, 3)

    def _turned_arms(self, X: Tensor) -> Tensor:
        """Return positions from the center `[..., f, 3]` Å."""
        rotation = self.domain.rotation
        if rotation is None:
            return self._arms(X[..., 3:])
        R = rotation_matrices(rotation.of(X))
        return self._arms(X[..., 6:]) @ R.transpose(-1, -2)

    def _positions(self, X: Tensor) -> Tensor:
        """Return the positions of the molecule `[..., f, 3]` Å, differentiable."""
        plane = self._template(X).plane
        center = torch.cat((X[..., :2] @ plane.lattice, X[..., 2:3] + self._top), -1)
        P: Tensor = self._turned_arms(X) + (center @ plane.axes.T).unsqueeze(-2)
        return P

    def _plane_positions(self, X: Tensor) -> Tensor:
        """Return the positions of the molecule along the axes of the plane, `[..., f, 3]` Å."""
        return self._positions(X) @ self._template(X).plane.axes

    def _is_apart_from_slab(self, Q: Tensor) -> Tensor:
        """Return whether atoms at Q `[n, f, 3]` are apart from the slab, `[n]` bool."""
        template = self._template(Q)
        f, slab = len(self.molecule), template.fixed_plane_positions
        shifts = template.contact_translations
        least = template.min_distances[:, f:].unsqueeze(-1) * (1 - self._slack(Q))
        size = max(MAX_PAIRS // (f * len(slab) * len(shifts)), 1)
        parts = []
        for chunk in Q.split(size):
            D = displacement_norms(template.plane.displacements(chunk, slab, shifts))
            parts.append((least <= D).flatten(1).all(-1))
        return torch.cat(parts) if parts else Q.new_zeros(0, dtype=torch.bool)

    def _are_images_apart(self, Q: Tensor) -> Tensor:
        """Return whether atoms at Q `[n, f, 3]` are apart from images of others, `[n]` bool.

        The molecule is in one piece, so that distances within it are those without a translation.
        """
        least = self._image_distances.to(Q) * (1 - self._slack(Q))
        plane = self._plane.to(Q.device, Q.dtype)
        reach = float(least.max()) + 2 * self._extent
        shifts = plane.translations(reach)[1:]
        shifts = torch.nn.functional.pad(shifts, (0, 1)).view(-1, 1, 1, 3)
        f = len(self.molecule)
        parts = []
        for chunk in Q.split(max(MAX_PAIRS // (3 * f * f * max(len(shifts), 1)), 1)):
            between = (chunk.unsqueeze(-2) - chunk.unsqueeze(-3)).unsqueeze(1)
            D = torch.linalg.vector_norm(between - shifts, dim=-1)
            parts.append((least <= D).flatten(1).all(-1))
        return torch.cat(parts) if parts else Q.new_zeros(0, dtype=torch.bool)

    @staticmethod
    def _slack(Q: Tensor) -> float:
        """Return the relative rounding error of distances."""
        return max(RELATIVE_ROUNDING, 8 * torch.finfo(Q.dtype).eps)

    def _check_size(self) -> None:
        """Raise an error if the molecule touches its images in every orientation.

        Raises:
            SpaceError: it does.
        """
        generator = torch.Generator().manual_seed(0)
        v = BodyRotation.of_body(0).sample(N_ORIENTATIONS, generator)
        internal = v.new_zeros(N_ORIENTATIONS, 0)
        if self._conformers is not None:
            internal = self._conformers.sample(N_ORIENTATIONS, generator)
        arms = self._arms(internal)
        if self._is_linear:  # upright, which random orientations are not
            upright = self._plane.axes[:, 2:].T * (arms[:1] @ self._axis).unsqueeze(-1)
            arms = torch.cat((upright, arms @ rotation_matrices(v).transpose(-1, -2)))
        else:
            arms = arms @ rotation_matrices(v).transpose(-1, -2)
        if bool(self._are_images_apart(arms @ self._plane.axes).any()):
            return
        length = float(self.molecule.distances.max())
        needed = length + float(self._image_distances.max())
        numbers = ["1"] * 3
        lengths = []
        for axis, spacing, vector in zip(
            ((self.normal_axis + 1) % 3, (self.normal_axis + 2) % 3),
            self._plane.line_spacings,
            self._plane.lattice,
            strict=True,
        ):
            numbers[axis] = str(math.ceil(needed / spacing))
            lengths.append(f"{float(torch.linalg.vector_norm(vector)):.2f}")
        condition = "have room beside its own images on the slab in some orientation"
        value = (
            f"{self.molecule.name}, {length:.2f} Å long, in a surface cell of "
            f"{' x '.join(lengths)} Å"
        )
        hint = f"Repeat the slab: slab = slab.repeat(({', '.join(numbers)}))."
        raise SpaceError(error_message("molecule", condition, value, hint))

    def _resolve_height(self, height: Sequence[float] | None) -> tuple[float, float]:
        """Return the lowest and the highest height of the center above the slab, Å.

        Raises:
            InputError: `height` is no range.
            SpaceError: there is no room below the end of the cell.
        """
        f = len(self.molecule)
        to_slab = self._bond_lengths[:f, f:]
        available = available_height(self.slab, self._plane, self.normal_axis, float(to_slab.max()))
        if height is None:
            low = self._lowest_height(to_slab)
            gap = resolve_max_gap_factor(None, self.molecule.numbers, None)
            contact = gap * float(to_slab.max())
            if math.isinf(gap):
                radii = van_der_waals_radii(self.numbers)
                contact = float(radii[:-f].max() + radii[-f:].max())
            high = min(self._extent + contact, available - self._extent)
            needed = float(to_slab.max())
        else:
            try:
                low, high = (float(value) for value in height)
            except (TypeError, ValueError) as error:
                condition = "be a lower and an upper height in Å above the slab"
                hint = "Such as (1.5, 4.0)."
                raise InputError(error_message("height", condition, height, hint)) from error
            if not (math.isfinite(low) and math.isfinite(high) and low < high and high > 0):
                condition = "be a finite lower height below an upper one above the slab"
                raise InputError(error_message("height", condition, (low, high), "In Å."))
            needed = high
        room = available - self._extent
        if needed > room + RELATIVE_ROUNDING * max(abs(room), self._extent):
            condition = (
                f"end {needed + self._extent:.2f} Å or more above its topmost atom, so that "
                f"{self.molecule.name} has room"
            )
            bond_length = 2 * float(self.atomic_radii[: len(self.slab.numbers)].max())
            axis, contact = self.normal_axis, float(to_slab.max())
            hint = widen_hint(self.slab, axis, bond_length, needed + self._extent, contact)
            raise SpaceError(error_message("slab", condition, f"{available:.2f} Å", hint))
        return low, high

    def _lowest_height(self, to_slab: Tensor) -> float:
        """Return a height below which the center cannot be, bonds compressed, Å.

        No atom is lower than where it rests alone; the center is their mean, and no farther from
        any than the molecule allows.
        """
        Q = self.slab.positions @ self._plane.axes
        rests = {
            lengths: contact_height(Q, Q.new_tensor(lengths), self._plane, N_GRID_POINTS)
            for lengths in {tuple(row) for row in (CONTACT_FACTOR * to_slab).tolist()}
        }
        lowest = Q.new_tensor([rests[tuple(row)] for row in (CONTACT_FACTOR * to_slab).tolist()])
        return float(torch.maximum(lowest.mean(), (lowest - self._arm_lengths).max())) - self._top

    def _template(self, like: Tensor) -> SlabTemplate:
        """Return the slab template on the device and in the dtype of `like`."""
        key = (like.device, like.dtype)
        if key not in self._templates:
            f, bond_lengths = len(self.molecule), self._bond_lengths
            self._templates[key] = SlabTemplate.from_slab(
                self.slab,
                self._plane,
                self.normal_axis,
                like,
                height_range=(self._top, self._top + self.height[1] + self._extent),
                numbers=self.numbers,
                free_first_order=self._molecule_first,
                bond_lengths=bond_lengths,
                min_distances=MIN_DISTANCE_FACTOR * bond_lengths[:f],
                max_bonding_distance=0.0,
            )
        return self._templates[key]
