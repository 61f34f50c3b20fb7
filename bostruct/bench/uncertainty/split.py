"""Disjoint training, calibration, test and shifted sets of structures.

A shifted set comes from another distribution than the training set: from other files, or the
highest or largest structures, taken away before the others are split at random (dataset shift,
Ovadia et al., NeurIPS 2019).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from torch import Tensor

from bostruct.errors import InputError, check_choice, check_count, error_message
from bostruct.structures import Structures, structure_fingerprint
from bostruct.structures.composition_residuals import species_counts
from bostruct.uncertainty.calibration.scaling import MIN_POINTS

ShiftKind = Literal["energy", "size", "none"]

CALIBRATE, TEST = "calibrate", "test"
"""Names of the sets in domain, beside the training set."""

SHIFTED_FRACTION = 0.2
"""Fraction of the structures that is taken for a shifted set."""

MIN_SET_SIZE = 10
"""Smallest number of structures of a test or shifted set."""

DUPLICATE_TOLERANCE = 0.1
"""Largest difference of the fingerprints of duplicates, Å."""

CHUNK_SIZE = 4096
"""Number of structures compared with the training set at once."""


@final
@dataclass(frozen=True, eq=False)
class DataSplit:
    """Disjoint sets of structures with energies.

    Attributes:
        train: Training set.
        sets: Other sets by name: "calibrate", "test" and the shifted ones.
        shift_note: Origin of the shifted sets.
        n_duplicates: Number of structures of each set that are duplicates of training structures.
    """

    train: Structures
    sets: Mapping[str, Structures]
    shift_note: str
    n_duplicates: Mapping[str, int]

    @property
    def shifted_names(self) -> list[str]:
        """Names of the shifted sets."""
        return [name for name in self.sets if name not in (CALIBRATE, TEST)]

    def sizes(self) -> dict[str, int]:
        """Return the number of structures of each set, the training set first."""
        return {name: len(structures) for name, structures in self._all_sets().items()}

    def digest(self) -> str:
        """Return 16 digits of a SHA-256 of all sets."""
        digest = hashlib.sha256()
        for name, part in self._all_sets().items():
            digest.update(name.encode())
            assert part.energy is not None
            for value in (part.numbers, part.positions, part.cell, part.energy, part.forces):
                if value is not None:
                    digest.update(value.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _all_sets(self) -> dict[str, Structures]:
        return {"train": self.train, **self.sets}


def split_structures(
    structures: Structures,
    *,
    n_train: int = 100,
    n_calibrate: int = 100,
    n_test: int | None = None,
    shifted: Mapping[str, Structures] | None = None,
    shift: ShiftKind = "energy",
    seed: int = 0,
) -> DataSplit:
    """Return structures split at random.

    Without `shifted`, a fifth of the structures is taken away first as the shifted set: those of
    the highest energy per atom above a fit to the composition (`shift="energy"`), or the largest
    ones (`shift="size"`). The others are in domain.

    Args:
        structures: Structures with energies, and with forces where they are known.
        n_train: Number of training structures.
        n_calibrate: Number of calibration structures.
        n_test: Largest number of test structures; None for all others.
        shifted: Sets from another distribution, by name; None to take one from `structures`.
        shift: Kind of the shifted set taken from `structures`; "none" takes none.
        seed: Random seed.

    Raises:
        InputError: an energy is missing, there are too few structures, or a number or a name is
            invalid.
    """
    check_count("n_train", n_train, 2)
    way_out = "A calibration factor from fewer is too uncertain."
    check_count("n_calibrate", n_calibrate, MIN_POINTS, way_out)
    if n_test is not None:
        check_count("n_test", n_test, MIN_SET_SIZE, "Scores of fewer are too uncertain.")
    check_choice("shift", shift, get_args(ShiftKind))
    _check_has_energies("structures", structures)
    others = dict(shifted or {})
    for name, part in others.items():
        if name in (CALIBRATE, TEST, "train"):
            condition = "have other names than train, calibrate and test"
            raise InputError(error_message("shifted", condition, repr(name)))
        _check_has_energies(f"shifted {name}", part)
        if len(part) < MIN_SET_SIZE:
            condition = f"hold at least {MIN_SET_SIZE} structures"
            raise InputError(error_message(f"shifted {name}", condition, len(part)))
    keep, note = torch.arange(len(structures)), f"shifted: {', '.join(others)}, given"
    if not others:
        keep, away, name, note = _take_shifted(structures, shift)
        if name:
            others[name] = structures[away]
    order = keep[torch.randperm(len(keep), generator=torch.Generator().manual_seed(seed))]
    if len(order) < n_train + n_calibrate + MIN_SET_SIZE:
        condition = (
            f"be enough for {n_train} to train on, {n_calibrate} to calibrate and "
            f"{MIN_SET_SIZE} to test"
        )
        way_out = "Lower `n_train` or `n_calibrate`."
        value = f"{len(order)} in domain"
        raise InputError(error_message("structures", condition, value, way_out))
    sets = {
        CALIBRATE: structures[order[n_train : n_train + n_calibrate]],
        TEST: structures[order[n_train + n_calibrate :][:n_test]],
    } | others
    train = structures[order[:n_train]]
    n_duplicates = {name: count_duplicates(train, part) for name, part in sets.items()}
    return DataSplit(train, sets, note, n_duplicates)


def count_duplicates(train: Structures, other: Structures) -> int:
    """Return the number of structures of `other` that are duplicates of one of `train`."""
    count = 0
    train_indices = _indices_by_formula(train)
    for key, indices in _indices_by_formula(other).items():
        if key not in train_indices:
            continue
        train_fingerprints = structure_fingerprint(train[train_indices[key]])
        for start in range(0, len(indices), CHUNK_SIZE):
            fingerprints = structure_fingerprint(other[indices[start : start + CHUNK_SIZE]])
            distance = torch.cdist(fingerprints, train_fingerprints, p=torch.inf)
            count += int((distance.amin(-1) < DUPLICATE_TOLERANCE).sum())
    return count


def _indices_by_formula(structures: Structures) -> dict[tuple[str, bool], list[int]]:
    """Return the indices of structures by formula and periodicity."""
    indices: dict[tuple[str, bool], list[int]] = {}
    pbc = structures.pbc.any(-1).tolist()
    for i, key in enumerate(zip(structures.formulas(), pbc, strict=True)):
        indices.setdefault(key, []).append(i)
    return indices


def _take_shifted(structures: Structures, shift: ShiftKind) -> tuple[Tensor, Tensor, str, str]:
    """Return the indices in domain and of the shifted set, its name, and a note on its origin."""
    b = len(structures)
    every = torch.arange(b)
    if shift == "none":
        return every, every[:0], "", "no shifted set"
    counts = structures.counts
    if shift == "energy":
        above = _energy_above_composition_fit(structures)
        order = above.argsort(stable=True)
        edge = b - max(MIN_SET_SIZE, round(SHIFTED_FRACTION * b))
        if edge <= 0:
            condition = f"be more than {MIN_SET_SIZE} for a shifted set"
            raise InputError(error_message("structures", condition, b))
        limit = float(above[order[edge]])
        note = (
            f"high energy: the {b - edge} of {b} structures that lie highest, "
            f"{1000 * limit:.0f} meV/atom and more above the mean of their composition"
        )
        return order[:edge].sort().values, order[edge:], "high energy", note
    sizes, n_of_size = counts.unique(return_counts=True)
    if len(sizes) == 1:
        condition = "have different sizes for `shift` size"
        value = f"{int(sizes[0])} atoms each"
        raise InputError(error_message("structures", condition, value, "Take energy."))
    n_at_least = n_of_size.flip(0).cumsum(0).flip(0)
    enough = (n_at_least >= max(MIN_SET_SIZE, SHIFTED_FRACTION * b)).nonzero().flatten()
    size = sizes[max(1, int(enough[-1]) if len(enough) else 1)]
    away = counts >= size
    n_shifted = int(away.sum())
    if n_shifted < MIN_SET_SIZE:
        condition = f"have {MIN_SET_SIZE} that are larger than others for `shift` size"
        raise InputError(error_message("structures", condition, n_shifted))
    note = f"large: the {n_shifted} of {b} structures of {int(size)} and more atoms"
    return every[~away], every[away], "large", note


def _energy_above_composition_fit(structures: Structures) -> Tensor:
    """Return energies per atom above a linear fit to the composition, `[b]` eV."""
    assert structures.energy is not None
    species, index = structures.numbers.unique(return_inverse=True)
    counts = species_counts(structures, index, len(species)).to(structures.energy)
    energy = structures.energy.unsqueeze(-1)
    above: Tensor = energy - counts @ (torch.linalg.pinv(counts) @ energy)
    return above.squeeze(-1) / structures.counts


def _check_has_energies(name: str, structures: Structures) -> None:
    energy = structures.energy
    missing = len(structures)
    if energy is not None:
        missing = int((~energy.isfinite()).sum())
    if missing or not len(structures):
        value = f"{missing} of {len(structures)} without"
        way_out = "ASE reads them as `energy` and `forces`; leave out those that failed."
        raise InputError(error_message(name, "have energies", value, way_out))
