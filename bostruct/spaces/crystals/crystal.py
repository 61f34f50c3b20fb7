"""Crystals: X are fractional coordinates and the cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Self, final

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
from bostruct.spaces.active_bounds import BOUND_TOLERANCE, ActiveBound
from bostruct.spaces.clusters.moves import swap_species
from bostruct.spaces.clusters.sampling import (
    N_SAMPLE_ATTEMPTS,
    N_TRIAL_ATTEMPTS,
    N_TRIAL_SAMPLES,
    rejection_sample,
)
from bostruct.spaces.crystals import moves
from bostruct.spaces.crystals.atomic_volume import (
    contact_lengths,
    default_volume,
    resting_radii,
)
from bostruct.spaces.crystals.bounds import distance_bounds
from bostruct.spaces.crystals.cell_bounds import CellBounds
from bostruct.spaces.crystals.crystal_coordinates import CrystalCoordinates
from bostruct.spaces.crystals.crystal_fingerprint import crystal_fingerprint
from bostruct.spaces.crystals.log_strain import (
    cell_of_log_strain,
    log_strain_components,
    log_strain_matrix,
)
from bostruct.spaces.crystals.packing import (
    center_atoms,
    least_distance_ratios,
    push_apart,
    reduced,
    wrap_atoms,
)
from bostruct.spaces.crystals.sampling import (
    ACCEPTED_CONTACT_RATIO,
    contact_distances,
    random_volumes,
    sample_random,
)
from bostruct.spaces.crystals.supercells import with_atoms_of
from bostruct.spaces.crystals.symmetric_sampling import check_symmetry, sample_symmetric
from bostruct.spaces.crystals.symmetrization import symmetrize
from bostruct.spaces.crystals.wyckoff_positions import N_SPACE_GROUPS
from bostruct.spaces.fingerprint_distance import RELATIVE_ROUNDING, FingerprintedStructures
from bostruct.spaces.formula import min_pair_distances, parse_formula, resolve_atomic_radii
from bostruct.spaces.random_tensors import normal
from bostruct.spaces.space import Move, Sampler
from bostruct.spaces.stored_structures import StoredStructures, without_type
from bostruct.structures import SYMBOLS, Structures

N_SYMMETRIC_ATTEMPTS = 4
"""Number of crystals of one space group that are tried at once."""

SYMMETRY_BREAKING_STD = 0.01
"""Standard deviation of the displacements of atoms in symmetric crystals, in bond lengths."""

ACCEPTED_SYMMETRIC_RATIO = 0.8
"""Least distance of atoms of a symmetric crystal, in contact distances."""

VOLUME_RANGE = (2 / 3, 3 / 2)
"""Default range of volumes, relative to an expected one that was given."""

MAX_PRESSURE = 5.0
"""Largest pressure, eV/Å³, 800 GPa: larger numbers are meant in GPa."""

WIDE_VOLUME_RANGE = (0.5, 2.0)
"""Default range of volumes, relative to the one expected from the formula."""


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Crystal(FingerprintedStructures):
    """All crystals of one formula, periodic along three lattice vectors that vary.

    The coordinates X `[..., 3a + 6]` are lengths in Å: the fractional coordinates, atom after atom
    in the order of the formula, times the cube root of the expected volume, then six components of
    the log strain of the cell, times a length that makes gradients of atoms and cell be of one
    size. See `bostruct.spaces.crystals.crystal_coordinates` and `.log_strain`.

    Cells are known up to rotation. Atoms are centered in the cell, and equivalent to their images:
    nothing is wrapped, so that relaxations are continuous. Samples and moved crystals are in
    Minkowski-reduced cells.

    Args:
        formula: chemical formula of the cell as ASE reads it: "Si8", "Ti2O4", "(SrTiO3)2".
        formula_units: number of formulas in the cell; 2 and "TiO2" make up "(TiO2)2".
        volume: expected volume in Å³ per atom. By default from radii, right to some 10 %, see
            `bostruct.spaces.crystals.atomic_volume`; a better one saves energies.
        volume_range: smallest and largest volume, relative to the expected one; by default two
            thirds to three halves where that is given, and (0.5, 2) otherwise.
        pressure: pressure in eV/Å³ at which the enthalpy is sought, at most 5, which are 800 GPa;
            1 GPa is 0.00624 eV/Å³.
        symmetry: number of the space group of random crystals, or several from which one is drawn.
            By default half of them have a random one; searches may leave it.
        atomic_radii: radii in Å by element, where the covalent ones are not meant: two atoms that
            touch are the sum of their radii apart. Noble gases alone touch where they are close
            packed.
        min_distance: minimum distance in Å of all pairs, or by pair as in `{"O-O": 2.0}`; for a
            pair that is not given it is `min_distance_factor` times the bond length.
        min_distance_factor: default minimum distance, as a fraction of the bond length.
        lengths: smallest and largest length in Å of lattice vectors. By default those of reduced
            cells of dense crystals, see `bostruct.spaces.crystals.cell_bounds`.
        angles: smallest and largest angle of lattice vectors, degrees. Those of reduced cells lie
            between 60 and 120.

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
        angles: Sequence[float] = (40.0, 140.0),
    ) -> None:
        hint = "A campaign searches cells of one size: run one for each number of formula units."
        if check_count("formula_units", formula_units, hint=hint) > 1:
            formula = f"({formula}){formula_units}"
        numbers = parse_formula(formula, min_atoms=1)
        radii = resolve_atomic_radii(numbers, atomic_radii)
        a = len(numbers)
        if volume_range is None:
            volume_range = WIDE_VOLUME_RANGE if volume is None else VOLUME_RANGE
        volume = check_volume(volume, numbers, radii)
        if atomic_radii is None:
            radii = resting_radii(numbers, radii, volume)
        # doubled, so that the table holds the minimum distance of an atom to its own image
        distances = min_pair_distances(
            numbers.repeat(2), radii.repeat(2), min_distance, min_distance_factor
        )[:a, a:].contiguous()
        bounds = CellBounds.from_arguments(a * volume, distances, volume_range, lengths, angles)
        for name, value in {
            "formula": formula,
            "numbers": numbers,
            "volume": volume,
            "pressure": check_pressure(pressure),
            "symmetry": check_symmetry(symmetry, numbers, formula),
            "atomic_radii": radii,
            "min_distances": distances,
            "cell_bounds": bounds,
        }.items():
            object.__setattr__(self, name, value)
        self._check_feasible()

    def __repr__(self) -> str:
        return f"Crystal({self.formula!r}, volume={self.volume:.2f})"

    @property
    def dimension(self) -> int:
        """The number of coordinates, three for each atom and six for the cell."""
        return self.coordinates.dimension

    @cached_property
    def coordinates(self) -> CrystalCoordinates:
        """The coordinates of atoms and cell in X."""
        return CrystalCoordinates(len(self.numbers), len(self.numbers) * self.volume)

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
        volume = len(self.numbers) * self.volume
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
        drawn at random, and Wyckoff positions that fit the formula.
        """
        generators: dict[str, Sampler] = {"random": self.sample}
        if self.symmetry is None:
            generators["symmetric"] = self._sample_symmetric
        return generators

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major; positions and cells differentiable."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, self.dimension])
        a, device = len(self.numbers), X.device
        F, H = self.coordinates.decode(X.reshape(-1, self.dimension))
        b = len(F)
        return Structures.unchecked(
            positions=(F @ H).reshape(-1, 3),
            numbers=self.numbers.to(device).repeat(b),
            cell=H,
            pbc=torch.ones(b, 3, dtype=torch.bool, device=device),
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
        s = self.cell_bounds.clamp_log_strain(s)
        return self.coordinates.join(center_atoms(F), s)

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

        "permute" (several species only), "rattle", "shift", "splice" (of several crystals),
        "strain" and "symmetrize". Where a move leaves the space, it returns its input, projected.
        """
        names = ["rattle", "shift", "splice", "strain", "symmetrize"]
        if len(set(self.numbers.tolist())) > 1:
            names.insert(0, "permute")
        return {name: partial(self._move, name) for name in names}

    def active_bounds(self, x: Tensor) -> list[ActiveBound]:
        """Return the minimum distances on which the crystal at x `[d]` leans, or violates."""
        structure = self.decode(x.detach().cpu().double())
        return distance_bounds(structure, self.min_distances)

    def volume_bound(self, x: Tensor) -> tuple[float, int] | None:
        """Return the volume on which the cell at x `[d]` leans, Å³ per atom, and which end it is.

        It is -1 for the smallest volume and 1 for the largest; None inside the range.
        """
        _, H = self.coordinates.decode(x.detach().cpu().double())
        relative = float(torch.linalg.det(H)) / self.cell_bounds.volume
        for factor, end in zip(self.cell_bounds.volume_factors, (-1, 1), strict=True):
            if end * (relative / factor - 1) > -BOUND_TOLERANCE:
                return factor * self.volume, end
        return None

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
        return {
            "type": "Crystal",
            "formula": self.formula,
            "volume": self.volume,
            "pressure": self.pressure,
            "symmetry": None if self.symmetry is None else list(self.symmetry),
            "atomic_radii": dict(sorted(zip(symbols, self.atomic_radii.tolist(), strict=True))),
            "min_distance": dict(sorted(distances.items())),
            **self.cell_bounds.description(),
        }

    def _encode_one(self, structure: Structures) -> Tensor:
        """Return the coordinates of one crystal, `[1, d]`."""
        if not bool(structure.pbc.all()):
            value = f"{structure.formulas()[0]} with pbc={structure.pbc[0].tolist()}"
            condition = "be periodic along three lattice vectors"
            hint = "Set pbc=True, or search it as a Surface or a Cluster."
            raise InputError(error_message("structures", condition, value, hint))
        F, H = with_atoms_of(structure, self.numbers, self.formula)
        slack = max(RELATIVE_ROUNDING, 8 * torch.finfo(F.dtype).eps)
        if not bool(self.cell_bounds.contain(H, slack)):
            F, H = reduced(F, H)
        return self.coordinates.encode(F, H)

    def _move(self, name: str, X: Tensor, generator: torch.Generator) -> Tensor:
        F, s = self.coordinates.split(X)
        H = cell_of_log_strain(s, self.coordinates.length)
        numbers = self.numbers.to(X.device)
        if name == "permute":
            F = swap_species(F, numbers, generator)
        elif name == "rattle":
            F, H = moves.rattle(F, H, float(self.bond_lengths.mean()), generator)
        elif name == "shift":
            F, H = moves.shift_layers(F, H, generator)
        elif name == "splice":
            F, S = moves.cut_and_splice(F, log_strain_matrix(s), numbers, generator)
            H = cell_of_log_strain(log_strain_components(S), self.coordinates.length)
        elif name == "symmetrize":
            F, H = symmetrize(*reduced(F, H), numbers, generator)
            F = self._rattled(F, H, generator)
        else:
            F, H = moves.strain_cell(F, H, generator)
        moved = self._packed(F, H)
        return torch.where(self.contains(moved).unsqueeze(-1), moved, self.project(X))

    def _packed(self, F: Tensor, H: Tensor) -> Tensor:
        """Return X `[n, d]` of crystals in reduced cells, overlaps removed."""
        F, H = push_apart(*reduced(F, H), self.contact_distances)
        F, H = reduced(F, H)
        return self.coordinates.encode(wrap_atoms(F), H)

    def _draw_random(self, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Return random crystals `[count, d]`, and which of them are valid `[count]`."""
        volume = len(self.numbers) * self.volume
        volumes = random_volumes(count, volume, self.cell_bounds.volume_factors, generator)
        F, H = sample_random(volumes, len(self.numbers), generator)
        X = self._packed(F, H)
        F, H = self.coordinates.decode(X)
        ratios = least_distance_ratios(F, H, self.contact_distances)
        return X, self.contains(X) & (ratios >= ACCEPTED_CONTACT_RATIO)

    def _draw_symmetric(self, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Return symmetric crystals `[count, d]`, and which of them are valid `[count]`."""
        n, volume = count * N_SYMMETRIC_ATTEMPTS, len(self.numbers) * self.volume
        volumes = random_volumes(n, volume, self.cell_bounds.volume_factors, generator)
        groups = self.symmetry or range(2, N_SPACE_GROUPS + 1)
        volumes = volumes.reshape(count, N_SYMMETRIC_ATTEMPTS)
        F, H = sample_symmetric(volumes, self.numbers, groups, generator)
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
            condition += f" in space group {', '.join(map(str, self.symmetry))}"
            hint = "Give a larger `volume`, a smaller `min_distance`, or another `symmetry`."
        return SpaceError(
            error_message("volume", condition, f"{self.volume:.2f} Å³ per atom", hint)
        )


def check_pressure(pressure: float) -> float:
    """Return a pressure in eV/Å³.

    Raises:
        InputError: it is no number, or so large that GPa were meant.
    """
    is_number = isinstance(pressure, int | float) and not isinstance(pressure, bool)
    if not (is_number and math.isfinite(pressure)):
        raise InputError(error_message("pressure", "be a finite number", repr(pressure)))
    if abs(pressure) > MAX_PRESSURE:
        condition = f"be at most {MAX_PRESSURE:g} eV/Å³, which are 800 GPa"
        hint = f"If GPa are meant, pass {pressure:g} * ase.units.GPa."
        raise InputError(error_message("pressure", condition, f"{pressure:g}", hint))
    return float(pressure)


def check_volume(volume: float | None, numbers: Tensor, atomic_radii: Tensor) -> float:
    """Return the expected volume, by default that of the formula, Å³ per atom.

    Raises:
        InputError: it is not positive, or nothing is known of the crystals of an element.
    """
    if volume is None:
        volume = default_volume(numbers, atomic_radii)
        if not math.isfinite(volume):
            hint = "In Å³ per atom, as volume=15.0."
            condition = "be given where nothing is known of the crystals of an element"
            raise InputError(error_message("volume", condition, "none", hint))
    return float(check_positive("volume", volume, "It is in Å³ per atom."))
