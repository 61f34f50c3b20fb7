"""Structures to train on, to calibrate with, and to be judged by.

No structure is in two of them. What is shifted differs in kind from the training data:
other files, or what is highest or largest among the data, taken away before the rest is
dealt out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, error_message
from bostruct.structures import Structures, structure_fingerprint
from bostruct.uncertainty.calibration.scaling import MIN_POINTS

ShiftKind = Literal["energy", "size", "none"]

CALIBRATE, TEST = "calibrate", "test"
"""The sets in domain, beside the training one."""

SHIFTED_FRACTION = 0.2
"""Of the data are taken away as shifted."""

MIN_SET_SIZE = 10
"""Structures without which a set says nothing."""

DUPLICATE_TOLERANCE = 0.1
"""Å. Structures whose fingerprints differ by less are the same; see `same`."""

CHUNK_SIZE = 4096
"""Structures whose fingerprints are compared with those of the training at once."""


@final
@dataclass(frozen=True, eq=False)
class DataSplit:
    """Sets of structures that have no structure in common.

    Attributes:
        train: What models learn from.
        sets: What they are asked about: "calibrate", "test" and the shifted ones by
            name, all with energies.
        shift_note: How the shifted ones were made.
        n_duplicates: How many structures of each set are the same as one of the training.
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
        """Return how many structures each set holds, the training first."""
        held = {name: len(part) for name, part in self.sets.items()}
        return {"train": len(self.train)} | held

    def digest(self) -> str:
        """Return what the sets are known by: 16 digits of a SHA-256."""
        found = hashlib.sha256()
        for name, part in ({"train": self.train} | dict(self.sets)).items():
            found.update(name.encode())
            for value in (part.numbers, part.positions, part.cell, part.energy):
                assert value is not None
                found.update(value.detach().cpu().numpy().tobytes())
            if part.forces is not None:
                found.update(part.forces.detach().cpu().numpy().tobytes())
        return found.hexdigest()[:16]


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
    """Return data dealt out at random.

    Without `shifted`, a fifth of the data is taken away first: those of the highest
    energy per atom, beyond what the composition explains (`shift="energy"`), or the
    largest sizes (`shift="size"`). What is left is called in domain then.

    Args:
        structures: With energies, and forces where there are any.
        n_train: How many to learn from.
        n_calibrate: How many to find factors and intervals from.
        n_test: How many to judge by, at most; the rest by default.
        shifted: Sets of another kind, by name.
        shift: How to make one from the data; "none" makes none.
        seed: Of the shuffling.

    Raises:
        InputError: an energy is missing, there are too few structures, or a number or
            a name is not one that can be used.
    """
    check_count("n_train", n_train, 2)
    way_out = "Fewer do not tell how large a factor is."
    check_count("n_calibrate", n_calibrate, MIN_POINTS, way_out)
    if n_test is not None:
        check_count("n_test", n_test, MIN_SET_SIZE, "Fewer say nothing.")
    if shift not in get_args(ShiftKind):
        condition = f"be one of {', '.join(get_args(ShiftKind))}"
        raise InputError(error_message("shift", condition, repr(shift)))
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
    order = keep[_random_permutation(len(keep), seed)]
    if len(order) < n_train + n_calibrate + MIN_SET_SIZE:
        wanted = f"{n_train} to train on, {n_calibrate} to calibrate and {MIN_SET_SIZE} to test"
        found = f"{len(order)} in domain"
        way_out = "Ask for fewer with `train` and `calibrate`."
        condition = f"be enough for {wanted}"
        raise InputError(error_message("structures", condition, found, way_out))
    left = order[n_train + n_calibrate :][:n_test]
    sets = {
        CALIBRATE: structures[order[n_train : n_train + n_calibrate]],
        TEST: structures[left],
    } | others
    learnt = structures[order[:n_train]]
    same = {name: count_duplicates(learnt, part) for name, part in sets.items()}
    return DataSplit(learnt, sets, note, same)


def count_duplicates(train: Structures, other: Structures) -> int:
    """Return how many of `other` are the same as a structure of `train`."""
    found = 0
    mine = _indices_by_formula(train)
    for key, members in _indices_by_formula(other).items():
        if key not in mine:
            continue
        there = structure_fingerprint(train[mine[key]])
        for start in range(0, len(members), CHUNK_SIZE):
            here = structure_fingerprint(other[members[start : start + CHUNK_SIZE]])
            apart = torch.cdist(here, there, p=torch.inf)
            found += int((apart.amin(-1) < DUPLICATE_TOLERANCE).sum())
    return found


def _indices_by_formula(structures: Structures) -> dict[tuple[str, bool], list[int]]:
    """Return where structures stand that can be compared with each other."""
    found: dict[tuple[str, bool], list[int]] = {}
    pbc = structures.pbc.any(-1).tolist()
    for i, key in enumerate(zip(structures.formulas(), pbc, strict=True)):
        found.setdefault(key, []).append(i)
    return found


def _take_shifted(structures: Structures, shift: ShiftKind) -> tuple[Tensor, Tensor, str, str]:
    """Return what stays, what is shifted, its name, and how that was decided."""
    b = len(structures)
    every = torch.arange(b)
    if shift == "none":
        return every, every[:0], "", "no shifted set"
    counts = structures.counts
    if shift == "energy":
        height = _energy_above_composition_fit(structures)
        order = height.argsort(stable=True)
        edge = b - max(MIN_SET_SIZE, round(SHIFTED_FRACTION * b))
        if edge <= 0:
            condition = f"be more than {MIN_SET_SIZE} for a shifted set"
            raise InputError(error_message("structures", condition, b))
        limit = float(height[order[edge]])
        note = (
            f"high energy: the {b - edge} of {b} structures that lie highest, "
            f"{1000 * limit:.0f} meV/atom and more above the mean of their composition"
        )
        return order[:edge].sort().values, order[edge:], "high energy", note
    sizes, held = counts.unique(return_counts=True)
    if len(sizes) == 1:
        condition = "have different sizes for `shift` size"
        found = f"{int(sizes[0])} atoms each"
        raise InputError(error_message("structures", condition, found, "Take energy."))
    above = held.flip(0).cumsum(0).flip(0)  # structures of each size and larger ones
    enough = (above >= max(MIN_SET_SIZE, SHIFTED_FRACTION * b)).nonzero().flatten()
    place = max(1, int(enough[-1]) if len(enough) else 1)
    away = counts >= sizes[place]
    if int(away.sum()) < MIN_SET_SIZE:
        condition = f"have {MIN_SET_SIZE} that are larger than others for `shift` size"
        raise InputError(error_message("structures", condition, int(away.sum())))
    note = f"large: the {int(away.sum())} of {b} structures of {int(sizes[place])} and more atoms"
    return every[~away], every[away], "large", note


def _energy_above_composition_fit(structures: Structures) -> Tensor:
    """Return energies per atom less those that the composition explains, `[b]` eV."""
    assert structures.energy is not None
    species = structures.numbers.unique()
    rows = (structures.numbers.unsqueeze(-1) == species).to(structures.energy)
    counts = rows.new_zeros(len(structures), len(species))
    counts = counts.index_add(0, structures.index, rows)
    energy = structures.energy.unsqueeze(-1)
    left: Tensor = energy - counts @ (torch.linalg.pinv(counts) @ energy)
    return left.squeeze(-1) / structures.counts


def _random_permutation(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _check_has_energies(name: str, structures: Structures) -> None:
    energy = structures.energy
    missing = len(structures)
    if energy is not None:
        missing = int((~energy.isfinite()).sum())
    if missing or not len(structures):
        found = f"{missing} of {len(structures)} without"
        way_out = "ASE reads them as `energy` and `forces`; leave out those that failed."
        raise InputError(error_message(name, "have energies", found, way_out))
