"""Crystals: X are fractional coordinates and the cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
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
from bostruct.spaces.active_bounds import BOUND_TOLERANCE, ActiveBound
from bostruct.spaces.clusters.moves import swap_species
from bostruct.spaces.clusters.sampling import (
    N_SAMPLE_ATTEMPTS,
    N_TRIAL_ATTEMPTS,
    N_TRIAL_SAMPLES,
    rejection_sample,
)
from bostruct.spaces.crystals import moves
from bostruct.spaces.crystals.atomic_volume import contact_lengths, resting_radii
from bostruct.spaces.crystals.bounds import distance_bounds, thickness_bounds
from bostruct.spaces.crystals.cell_arguments import (
    check_cell_arguments,
    check_pressure,
    resolve_bounds,
    resolve_freedom,
)
from bostruct.spaces.crystals.cell_bounds import CellBounds
from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.cell_setting import describe_freedom, in_setting_of
from bostruct.spaces.crystals.crystal_coordinates import CrystalCoordinates
from bostruct.spaces.crystals.crystal_fingerprint import crystal_fingerprint
from bostruct.spaces.crystals.layer import (
    CRYSTAL,
    LAYER,
    is_layer,
    layer_packing_volume,
    oriented_layer,
)
from bostruct.spaces.crystals.log_strain import (
    cell_of_log_strain,
    log_strain_components,
    log_strain_matrix,
)
from bostruct.spaces.crystals.packing import center_atoms, least_distance_ratios
from bostruct.spaces.crystals.sampling import (
    ACCEPTED_CONTACT_RATIO,
    contact_distances,
    random_volumes,
    sample_random,
)
from bostruct.spaces.crystals.soft_modes import softmutate
from bostruct.spaces.crystals.supercells import with_atoms_of
from bostruct.spaces.crystals.symmetric_sampling import check_symmetry, sample_symmetric
from bostruct.spaces.crystals.symmetrization import (
    exact_operations,
    layer_operations,
    symmetrize,
)
from bostruct.spaces.crystals.wyckoff_positions import N_LAYER_GROUPS, N_SPACE_GROUPS
from bostruct.spaces.fingerprint_distance import RELATIVE_ROUNDING, FingerprintedStructures
from bostruct.spaces.formula import min_pair_distances, parse_formula, resolve_atomic_radii
from bostruct.spaces.random_tensors import normal
from bostruct.spaces.space import Move, Sampler
from bostruct.spaces.stored_structures import StoredStructures, without_type
from bostruct.spaces.thickness_window import ThicknessWindow
from bostruct.structures import SYMBOLS, Structures

N_SYMMETRIC_ATTEMPTS = 4
"""Number of crystals of one space group that are tried at once."""

N_SYMMETRIZATIONS = 3
"""Number of operations of symmetry that random crystals of a given cell are offered."""

SYMMETRY_BREAKING_STD = 0.01
"""Standard deviation of the displacements of atoms in symmetric crystals, in bond lengths."""

ACCEPTED_SYMMETRIC_RATIO = 0.8
"""Least distance of atoms of a symmetric crystal, in contact distances."""


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Crystal(FingerprintedStructures):
    """All crystals of one formula, periodic along three lattice vectors that vary.

    The coordinates X `[..., 3a + 6]` are lengths in Å: the fractional coordinates, atom after atom
    in the order of the formula, times the cube root of the expected volume, then six components of
    the log strain of the cell, times a length that makes gradients of atoms and cell be of one
    size. Of a given cell, or of layers, there are fewer components. See
    `bostruct.spaces.crystals.crystal_coordinates` and `.log_strain`.

    Cells are known up to rotation; a given one keeps its axes. Atoms are centered in the cell, and
    equivalent to their images: nothing is wrapped, so that relaxations are continuous. Samples and
    moved crystals are in Minkowski-reduced cells.

    Args:
        formula: chemical formula of the cell as ASE reads it: "Si8", "Ti2O4", "(SrTiO3)2".
        formula_units: number of formulas in the cell; 2 and "TiO2" make up "(TiO2)2".
        volume: expected volume in Å³ per atom. By default from radii, right to some 10 %, see
            `bostruct.spaces.crystals.atomic_volume`; a better one saves energies.
        volume_range: smallest and largest volume, relative to the expected one; by default two
            thirds to three halves where that is given, and (0.5, 2) otherwise.
        pressure: pressure in eV/Å³ at which the enthalpy is sought, at most 5, which are 800 GPa;
            1 GPa is 0.00624 eV/Å³.
        symmetry: number of the space group of random crystals, or layer group of layers, or several
            from which one is drawn.
            By default half of them have a random one; searches may leave it.
        atomic_radii: radii in Å by element, where the covalent ones are not meant: two atoms that
            touch are the sum of their radii apart. Noble gases alone touch where they are close
            packed.
        min_distance: minimum distance in Å of all pairs, or by pair as in `{"O-O": 2.0}`; for a
            pair that is not given it is `min_distance_factor` times the bond length.
        min_distance_factor: default minimum distance, as a fraction of the bond length.
        lengths: smallest and largest length in Å of lattice vectors. By default those of reduced
            cells of dense crystals, see `bostruct.spaces.crystals.cell_bounds`.
        angles: smallest and largest angle of lattice vectors, degrees, by default 40 and 140.
            Those of reduced cells lie between 60 and 120.
        cell: cell of all crystals, whose atoms alone move: lattice vectors in Å as rows, lengths
            and angles, or `ase.Atoms` in it; of layers the first two lattice vectors count. By
            default cells vary.
        variable: "none", or "volume" for a given cell that swells and shrinks, in its shape.
        periodic: (True, True, False) for layers: two lattice vectors vary in the plane, and
            `volume_range` is one of areas.
        area: expected area of layers in Å² per atom. The default is a guess between those of a flat
            layer and of the largest thickness.
        thickness: largest difference in Å of the heights of the atoms of layers; by default 1.5
            times the cube root of the volume of an atom.
        vacuum: distance in Å between a layer and its image, for calculators that need a cell; by
            default eight such lengths.

    Attributes:
        formula: chemical formula.
        numbers: `[a]` int64 atomic numbers.
        volume: expected volume per atom, Å³.
        pressure: pressure, eV/Å³.
        symmetry: numbers of the space groups of random crystals, or None.
        atomic_radii: `[a]` Å.
        min_distances: `[a, a]` Å, the minimum distance of each pair, that of an atom and its own
            images on the diagonal.
        cell_bounds: bounds on volume, lengths and angles.
        freedom: strains by which cells vary.

    Raises:
        InputError: an argument is invalid.
        SpaceError: the volume cannot hold the atoms.
    """

    formula: str
    numbers: Tensor
    volume: float
    pressure: float
    symmetry: tuple[int, ...] | None
    atomic_radii: Tensor
    min_distances: Tensor
    cell_bounds: CellBounds
    freedom: CellFreedom

    def __init__(
        self,
        formula: str,
        *,
        formula_units: int = 1,
        volume: float | None = None,
        volume_range: Sequence[float] | None = None,
        pressure: float = 0.0,
        symmetry: int | Sequence[int] | None = None,
        atomic_radii: Mapping[str, float] | None = None,
        min_distance: Mapping[str, float] | float | None = None,
        min_distance_factor: float = 0.7,
        lengths: Sequence[float] | None = None,
        angles: Sequence[float] | None = None,
        cell: Any = None,  # noqa: ANN401 - ASE
        variable: str | None = None,
        periodic: Sequence[bool] = CRYSTAL,
        area: float | None = None,
        thickness: float | None = None,
        vacuum: float | None = None,
    ) -> None:
        given = {
            **{"volume": volume, "volume_range": volume_range, "pressure": pressure or None},
            **{"symmetry": symmetry, "lengths": lengths, "angles": angles, "cell": cell},
            **{"variable": variable, "area": area, "thickness": thickness, "vacuum": vacuum},
        }
        in_plane = is_layer(periodic)
        check_cell_arguments({k for k, v in given.items() if v is not None}, in_plane, variable)
        if not isinstance(formula, str) and isinstance(formula, Sequence):
            hint = f"ChemicalSystem({list(formula)!r}) searches several."
            raise InputError(error_message("formula", "be one formula", repr(formula), hint))
        hint = f"ChemicalSystem({formula!r}, formula_units=[1, 2]) searches cells of several sizes."
        if check_count("formula_units", formula_units, hint=hint) > 1:
            formula = f"({formula}){formula_units}"
        numbers = parse_formula(formula, min_atoms=1)
        radii = resolve_atomic_radii(numbers, atomic_radii)
        freedom, expected = resolve_freedom(
            numbers,
            radii,
            volume=volume,
            cell=cell,
            variable=variable,
            in_plane=in_plane,
            area=area,
            thickness=thickness,
            vacuum=vacuum,
        )
        if atomic_radii is None:
            radii = resting_radii(numbers, radii, expected)
        a = len(numbers)
        # doubled, so that the table holds the minimum distance of an atom to its own image
        distances = min_pair_distances(
            numbers.repeat(2), radii.repeat(2), min_distance, min_distance_factor
        )[:a, a:].contiguous()
        bounds = resolve_bounds(
            freedom,
            distances,
            is_expected=not (volume is None and area is None and cell is None),
            volume_range=volume_range,
            lengths=lengths,
            angles=angles,
        )
        for name, value in {
            "formula": formula,
            "numbers": numbers,
            "volume": expected,
            "pressure": check_pressure(pressure),
            "symmetry": check_symmetry(symmetry, numbers, formula, in_plane),
            "atomic_radii": radii,
            "min_distances": distances,
            "cell_bounds": bounds,
            "freedom": freedom,
        }.items():
            object.__setattr__(self, name, value)
        self._check_feasible()

    def __repr__(self) -> str:
        return f"Crystal({self.formula!r}, volume={self.volume:.2f})"

    @property
    def dimension(self) -> int:
        """The number of coordinates, three for each atom and those of the cell."""
        return self.coordinates.dimension

    @cached_property
    def coordinates(self) -> CrystalCoordinates:
        """The coordinates of atoms and cell in X."""
        return CrystalCoordinates(len(self.numbers), self.freedom)

    @property
    def n_cell_coordinates(self) -> int:
        """The number of coordinates of the cell: 0 where it is fixed, 6 where all of it varies."""
        return self.freedom.n_coordinates

    @cached_property
    def bond_lengths(self) -> Tensor:
        """The length of a bond of each pair, `[a, a]` Å, those of equal atoms on the diagonal.

        It is the sum of the radii, or a little more than the minimum distance.
        """
        sums = self.atomic_radii.unsqueeze(0) + self.atomic_radii.unsqueeze(1)
        return torch.maximum(sums, 1.05 * self.min_distances)

    @cached_property
    def contact_distances(self) -> Tensor:
        """The distances to which atoms of samples and moved crystals are pushed apart, `[a, a]` Å.

        Like ions are kept further apart than the sum of their covalent radii.
        """
        lengths = contact_lengths(self.numbers, self.atomic_radii, self.volume)
        a, volume = len(self.numbers), self.freedom.volume
        if self.freedom.is_layer:
            volume = layer_packing_volume(self.freedom, a)
        return contact_distances(lengths, self.min_distances, volume)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random crystals, `[n, d]` float64 on the CPU.

        Those of a space with a `symmetry` have one of these space groups, but for displacements by
        a hundredth of a bond: a relaxation never breaks a symmetry, and would end on a saddle
        point.

        Raises:
            SpaceError: the volume is so small, or the symmetry such, that some could not be made.
        """
        check_count("n", n, 0)
        draw = self._draw_random if self.symmetry is None else self._draw_symmetric
        X = self._sample(n, draw, generator, N_SAMPLE_ATTEMPTS)
        if X is None:
            raise self._infeasible_error()
        return X

    def generators(self) -> Mapping[str, Sampler]:
        """Return the samplers of random crystals, by name.

        "random" is `sample`; where no `symmetry` is given, "symmetric" crystals have a space group
        drawn at random, and Wyckoff positions that fit the formula; in a given cell they have some
        operations of its lattice.
        """
        generators: dict[str, Sampler] = {"random": self.sample}
        if self.symmetry is None:
            is_free = self.freedom.varies_shape
            generators["symmetric"] = (
                self._sample_symmetric if is_free else self._sample_symmetrized
            )
        return generators

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major; positions and cells differentiable."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, self.dimension])
        a, device = len(self.numbers), X.device
        F, H = self.coordinates.decode(X.reshape(-1, self.dimension))
        b, H = len(F), self.freedom.to_frame(H)
        repeats = LAYER if self.freedom.is_layer else CRYSTAL
        return Structures.unchecked(
            positions=(F @ H).reshape(-1, 3),
            numbers=self.numbers.to(device).repeat(b),
            cell=H,
            pbc=torch.tensor([repeats], device=device).repeat(b, 1),
            index=torch.arange(b, device=device).repeat_interleave(a),
            fixed=torch.zeros(b * a, dtype=torch.bool, device=device),
            tags=torch.zeros(b * a, dtype=torch.int64, device=device),
        )

    def encode(self, structures: Structures) -> Tensor:
        """Return the coordinates of crystals of this formula, `[b, d]`.

        Cells may be in any orientation and left-handed, and atoms may stand in any order; equal
        atoms keep theirs. A crystal given in another number of formula units is brought to this one
        if its primitive cell allows it. A cell outside the bounds is reduced.

        Raises:
            InputError: a structure is not periodic along three directions, or has another formula.
        """
        rows = [self._encode_one(structure) for structure in structures]
        return torch.cat(rows) if rows else structures.positions.new_zeros(0, self.dimension)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether the cell is within its bounds and no atoms are too close, `[...]` bool.

        X is `[..., d]`. All periodic images count.
        """
        F, H = self.coordinates.decode(X.reshape(-1, self.dimension))
        slack = max(RELATIVE_ROUNDING, 8 * torch.finfo(X.dtype).eps)
        allowed = self.cell_bounds.contain(H, slack) & F.isfinite().all(-1).all(-1)
        allowed &= self.freedom.is_confined(F, slack)
        rows = allowed.nonzero().squeeze(-1)
        apart = least_distance_ratios(F[rows], H[rows], self.min_distances) >= 1 - slack
        allowed[rows] = apart
        return allowed.reshape(X.shape[:-1])

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` with atoms centered, and volume and distortion within bounds.

        Atoms shift all together. Minimizers may apply it after every step: gradients stay the same,
        and their differences have no component along the shift.
        """
        F, s = self.coordinates.split(X)
        s = self.cell_bounds.clamp_log_strain(s, self.freedom)
        return self.coordinates.join(center_atoms(self.freedom.confine(F)), s)

    def fingerprint(self, X: Tensor) -> Tensor:
        """Return the fingerprint at X `[..., d]`, `[..., f]` Å.

        It is that of all cells and orientations, of shifted and mirrored copies, and of those with
        equal atoms exchanged. See `bostruct.spaces.crystals.crystal_fingerprint`.
        """
        F, H = self.coordinates.decode(X.reshape(-1, self.dimension))
        fingerprints = crystal_fingerprint(F, H, self.numbers, self.volume)
        return fingerprints.reshape(*X.shape[:-1], fingerprints.shape[-1])

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes of crystals, by name.

        "permute" (several species only), "rattle", "shift", "softmutate" (several atoms only),
        "splice" (of several crystals), "strain" and "symmetrize". Where a move leaves the space, it
        returns its input, projected.
        """
        names = ["rattle", "shift", "softmutate", "splice", "strain", "symmetrize"]
        if self.freedom.kind == "none":
            names.remove("strain")
        if len(self.numbers) == 1:
            names.remove("softmutate")
        if len(set(self.numbers.tolist())) > 1:
            names.insert(0, "permute")
        return {name: partial(self._move, name) for name in names}

    def active_bounds(self, x: Tensor) -> list[ActiveBound]:
        """Return the minimum distances and thickness on which the crystal at x `[d]` leans."""
        structure = self.decode(x.detach().cpu().double())
        found = distance_bounds(structure, self.min_distances)
        if self.freedom.is_layer:
            found += thickness_bounds(structure, self.freedom.thickness)
        return found

    def volume_bound(self, x: Tensor) -> tuple[float, int] | None:
        """Return the volume on which the cell at x `[d]` leans, Å³ per atom, and which end it is.

        It is -1 for the smallest volume and 1 for the largest; None inside the range.
        """
        if self.freedom.kind == "none" or self.freedom.is_layer:
            return None
        _, H = self.coordinates.decode(x.detach().cpu().double())
        relative = float(torch.linalg.det(H)) / self.cell_bounds.volume
        for factor, end in zip(self.cell_bounds.volume_factors, (-1, 1), strict=True):
            if end * (relative / factor - 1) > -BOUND_TOLERANCE:
                return factor * self.volume, end
        return None

    def thickness_window(self, x: Tensor) -> ThicknessWindow | None:
        """Return the heights to which the layer at x `[d]` may relax; None of other crystals."""
        if not self.freedom.is_layer:
            return None
        window = ThicknessWindow(len(self.numbers), self.freedom.thickness, 0.0)
        low, high = window.heights(x).aminmax()
        return replace(window, middle=float(low + high) / 2)

    def cell_violation(self, x: Tensor) -> tuple[str, str] | None:
        """Return what of the cell at x `[d]` is outside its bounds and the way out, or None."""
        _, H = self.coordinates.decode(x.detach().cpu().double())
        return self.cell_bounds.violation(H, len(self.numbers))

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], stored: StoredStructures | None = None
    ) -> Self:
        """Return the space with a given description."""
        return cls(**without_type(description))

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the space, as JSON values."""
        symbols = [SYMBOLS[number] for number in self.numbers.tolist()]
        distances = {
            "-".join(sorted((first, second))): float(self.min_distances[i, j])
            for i, first in enumerate(symbols)
            for j, second in enumerate(symbols)
        }
        description = {
            "type": "Crystal",
            "formula": self.formula,
            "volume": self.volume,
            "pressure": self.pressure,
            "symmetry": None if self.symmetry is None else list(self.symmetry),
            "atomic_radii": dict(sorted(zip(symbols, self.atomic_radii.tolist(), strict=True))),
            "min_distance": dict(sorted(distances.items())),
            **self.cell_bounds.description(),
        }
        return description | describe_freedom(self.freedom, len(symbols))

    def _encode_one(self, structure: Structures) -> Tensor:
        """Return the coordinates of one crystal, `[1, d]`."""
        freedom = self.freedom
        if freedom.is_layer:
            structure = oriented_layer(structure, float(freedom.cell[2, 2]))
        elif not bool(structure.pbc.all()):
            value = f"{structure.formulas()[0]} with pbc={structure.pbc[0].tolist()}"
            condition = "be periodic along three lattice vectors"
            hint = "Set pbc=True, or search it as a Surface or a Cluster."
            raise InputError(error_message("structures", condition, value, hint))
        any_units = freedom.kind == "all"
        F, H = with_atoms_of(structure, self.numbers, self.formula, any_units)
        if not freedom.varies_shape:
            any_volume = freedom.kind == "volume"
            found = in_setting_of(F, H, freedom.cell, any_volume, freedom.is_layer)
            if found is None:
                value = f"{structure.formulas()[0]} in a cell of another shape or size"
                hint = "Leave it out, or give the space its `cell`."
                condition = "be in the cell of the space"
                raise InputError(error_message("structures", condition, value, hint))
            F, H = found
        slack = max(RELATIVE_ROUNDING, 8 * torch.finfo(F.dtype).eps)
        if not bool(self.cell_bounds.contain(H, slack)):
            F, H = freedom.reduced(F, H)
        return self.coordinates.encode(F, H)

    def _move(self, name: str, X: Tensor, generator: torch.Generator) -> Tensor:
        F, s = self.coordinates.split(X)
        H = cell_of_log_strain(s, self.coordinates.length)
        numbers = self.numbers.to(X.device)
        freedom = self.freedom
        if name == "permute":
            F = swap_species(F, numbers, generator)
        elif name == "rattle":
            F, H = moves.rattle(F, H, float(self.bond_lengths.mean()), generator)
        elif name == "shift":
            F, H = moves.shift_layers(F, H, freedom, generator)
        elif name == "softmutate":
            structures = self.decode(X)
            u = softmutate(structures, self.bond_lengths, generator)
            F = F + u @ torch.linalg.inv(structures.cell)
        elif name == "splice":
            F, S = moves.cut_and_splice(F, log_strain_matrix(s), numbers, freedom, generator)
            H = cell_of_log_strain(log_strain_components(S), self.coordinates.length)
        elif name == "symmetrize":
            operations = self._operations
            F, H = symmetrize(*freedom.reduced(F, H), numbers, generator, operations)
            F = self._rattled(F, H, generator)
        else:
            F, H = moves.strain_cell(F, H, freedom, generator)
        moved = self._packed(F, H)
        return torch.where(self.contains(moved).unsqueeze(-1), moved, self.project(X))

    @cached_property
    def _operations(self) -> Tensor | None:
        """The operations that lattices may have, `[g, 3, 3]`; None for all."""
        if self.freedom.kind == "all":
            return None
        if self.freedom.varies_shape:
            return layer_operations()
        return exact_operations(self.freedom.cell, self.freedom.is_layer)

    def _packed(self, F: Tensor, H: Tensor) -> Tensor:
        """Return X `[n, d]` of crystals in reduced cells, overlaps removed."""
        freedom = self.freedom
        F, H = freedom.reduced(*freedom.conform(F, H))
        F, H = freedom.reduced(*freedom.push_apart(F, H, self.contact_distances))
        return self.coordinates.encode(freedom.confine(freedom.wrapped(F)), H)

    def _draw_random(self, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Return random crystals `[count, d]`, and which of them are valid `[count]`."""
        volume = self.freedom.volume
        volumes = random_volumes(count, volume, self.cell_bounds.volume_factors, generator)
        F, H = sample_random(volumes, len(self.numbers), self.freedom, generator)
        X = self._packed(F, H)
        F, H = self.coordinates.decode(X)
        ratios = least_distance_ratios(F, H, self.contact_distances)
        return X, self.contains(X) & (ratios >= ACCEPTED_CONTACT_RATIO)

    def _draw_symmetric(self, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Return symmetric crystals `[count, d]`, and which of them are valid `[count]`."""
        n, volume = count * N_SYMMETRIC_ATTEMPTS, self.freedom.volume
        volumes = random_volumes(n, volume, self.cell_bounds.volume_factors, generator)
        last = N_LAYER_GROUPS if self.freedom.is_layer else N_SPACE_GROUPS
        groups = self.symmetry or range(2, last + 1)
        volumes = volumes.reshape(count, N_SYMMETRIC_ATTEMPTS)
        F, H = sample_symmetric(volumes, self.numbers, groups, self.freedom, generator)
        F, H = self.coordinates.decode(self._packed(F.flatten(0, 1), H.flatten(0, 1)))
        X = self.coordinates.encode(self._rattled(F, H, generator), H)
        ratios = least_distance_ratios(F, H, self.contact_distances)
        valid = self.contains(X) & (ratios >= ACCEPTED_SYMMETRIC_RATIO)
        X, valid = X.unflatten(0, (count, -1)), valid.unflatten(0, (count, -1))
        first = valid.int().argmax(-1)
        rows = torch.arange(count, device=X.device)
        return X[rows, first], valid[rows, first]

    def _rattled(self, F: Tensor, H: Tensor, generator: torch.Generator) -> Tensor:
        """Return fractional coordinates of symmetric crystals with their symmetry broken."""
        noise = SYMMETRY_BREAKING_STD * float(self.bond_lengths.mean())
        change = noise * normal(tuple(F.shape), generator).to(F)
        rattled: Tensor = F + change @ torch.linalg.inv(H)
        return rattled

    def _sample_symmetric(self, n: int, generator: torch.Generator) -> Tensor:
        """Return symmetric crystals `[n, d]`, or any where some could not be made."""
        X = self._sample(n, self._draw_symmetric, generator, N_TRIAL_ATTEMPTS)
        return self.sample(n, generator) if X is None else X

    def _sample_symmetrized(self, n: int, generator: torch.Generator) -> Tensor:
        """Return crystals `[n, d]` of one cell with some operations of its lattice."""
        X = self.sample(n, generator)
        for _ in range(N_SYMMETRIZATIONS):
            X = self._move("symmetrize", X, generator)
        return X

    def _sample(
        self,
        n: int,
        draw: Callable[[torch.Generator, int], tuple[Tensor, Tensor]],
        generator: torch.Generator,
        max_attempts: int,
    ) -> Tensor | None:
        """Return n crystals `[n, d]`, or None if some could not be made."""
        return rejection_sample(n, self.dimension, partial(draw, generator), max_attempts)

    def _check_feasible(self) -> None:
        """Raise an error if no crystals can be sampled."""
        generator = torch.Generator().manual_seed(0)
        draw = self._draw_random if self.symmetry is None else self._draw_symmetric
        if self._sample(N_TRIAL_SAMPLES, draw, generator, N_TRIAL_ATTEMPTS) is None:
            raise self._infeasible_error()

    def _infeasible_error(self) -> SpaceError:
        largest = float(self.min_distances.max())
        condition = (
            f"be large enough for {self.formula} with minimum distances up to {largest:.2f} Å"
        )
        hint = "Give a larger `volume`, a smaller `min_distance`, or wider `lengths` and `angles`."
        if self.symmetry is not None:
            kind = "layer" if self.freedom.is_layer else "space"
            condition += f" in {kind} group {', '.join(map(str, self.symmetry))}"
            hint = "Give a larger `volume`, a smaller `min_distance`, or another `symmetry`."
        name, value = "volume", f"{self.volume:.2f} Å³ per atom"
        thicker = ""
        if self.freedom.is_layer:
            name, value = "area", f"{self.freedom.edge**2 / len(self.numbers):.2f} Å² per atom"
            hint, thicker = hint.replace("`volume`", "`area` or `thickness`"), " or `thickness`"
        if self.freedom.kind == "none":
            name, hint = "cell", f"Give a larger `cell`{thicker}, or a smaller `min_distance`."
        return SpaceError(error_message(name, condition, value, hint))
