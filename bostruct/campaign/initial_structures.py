"""The structures that a user brings along.

Those with an energy are data, never evaluated; the others are evaluated first. They are
put into the coordinates of the space when the campaign is made, so that what does not
belong to it is refused before anything is paid for.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, final

import torch
from torch import Tensor

from bostruct.campaign.atom_matching import is_duplicate, match_atoms, unwrap
from bostruct.errors import InputError, error_message
from bostruct.evaluators import Evaluation, Evaluator, Failure
from bostruct.evaluators.base import check_evaluation, evaluation_limits
from bostruct.spaces import DiscreteSpace, Space
from bostruct.structures import SYMBOLS, Structures, build_neighbor_list, from_ase
from bostruct.structures.elements import formula
from bostruct.structures.read import read_images

if TYPE_CHECKING:
    from ase import Atoms

StructuresLike: TypeAlias = (
    "Structures | Atoms | str | os.PathLike[str] | Sequence[Atoms | str | os.PathLike[str]]"
)
"""What a user may bring along."""

MIN_ENERGIES = 2
"""Energies without which there is nothing to fit."""

DIGEST_DECIMALS = 6
"""Of positions in Å, energies in eV and forces in eV/Å that make two sets differ."""

REGION_TOLERANCE = 1e-6
"""Å. An atom that has to move by more to be in the region is outside of it."""


@final
@dataclass(frozen=True, eq=False)
class InitialData:
    """Structures of a space that a campaign begins with.

    Attributes:
        X_evaluated: `[t, d]` those that came with an energy.
        results: What that is worth, t of them: absurd ones are failures, as they would
            be from the evaluator.
        X_unevaluated: `[s, d]` those to be evaluated first; each structure is there once.
    """

    X_evaluated: Tensor
    results: tuple[Evaluation | Failure, ...]
    X_unevaluated: Tensor

    @property
    def n_energies(self) -> int:
        """How many energies there will be if no evaluation fails."""
        known = sum(isinstance(outcome, Evaluation) for outcome in self.results)
        return known + len(self.X_unevaluated)

    def description(self) -> dict[str, Any]:
        """Return what identifies the set, ready for JSON."""
        digest = hashlib.sha256()
        for x in (*self.X_evaluated, *self.X_unevaluated):
            digest.update(_rounded_bytes(x))
        for outcome in self.results:
            digest.update(_result_bytes(outcome))
        return {
            "given": len(self.X_evaluated),
            "evaluated": len(self.X_unevaluated),
            "sha256": digest.hexdigest(),
        }


def read_initial_structures(
    structures: StructuresLike,
    space: Space,
    evaluator: Evaluator,
    use_energies: bool = True,
) -> InitialData:
    """Return what a user brings along, in the coordinates of a space.

    Args:
        structures: Structures with or without energies, or files that ASE reads.
        space: What may be proposed.
        evaluator: Says which energies are absurd.
        use_energies: Whether those that came with one are data; else they are evaluated.

    Raises:
        InputError: a file cannot be read, or a structure is not one of the space; the
            message says which.
    """
    known: dict[bytes, tuple[Tensor, Evaluation | Failure]] = {}
    others: list[Tensor] = []
    for place, image in read_images(structures):
        structures = _unconstrained_structure(image, place)
        x, kept = _encode(structures, space, place)
        outcome = _initial_result(structures, kept, evaluator, place) if use_energies else None
        if outcome is not None:
            _check_size(structures, space, x, place)
        if outcome is None:
            others.append(x)
        else:
            known.setdefault(_rounded_bytes(x) + _result_bytes(outcome), (x, outcome))
    empty = torch.zeros(0, space.dimension, dtype=torch.float64)
    pairs = list(known.values())
    data = torch.stack([x for x, _ in pairs]) if pairs else empty
    X = _unique_structures(space, others, [x for x, o in pairs if isinstance(o, Evaluation)])
    return InitialData(
        X_evaluated=data,
        results=tuple(outcome for _, outcome in pairs),
        X_unevaluated=torch.stack(X) if X else empty,
    )


def _unconstrained_structure(image: Atoms, label: str) -> Structures:
    """Return atoms as one structure; what they are bound to does not matter here."""
    free = image.copy()
    free.calc = image.calc
    free.set_constraint()
    try:
        return from_ase(free)
    except InputError as error:
        condition = "hold structures of the space"
        raise InputError(error_message("start", condition, f"{label}: {error}")) from error


def _encode(structures: Structures, space: Space, label: str) -> tuple[Tensor, Tensor | None]:
    """Return the coordinates `[d]`, and which atom is which in them, if that is clear.

    Raises:
        InputError: it is no structure of the space.
    """
    _check_elements(structures, space, label)
    try:
        x = space.encode(structures)[0].double().cpu()
        made = space.decode(x)
        if structures.pbc.any() and not made.pbc.any():
            structures = replace(structures, positions=unwrap(structures))
            x = space.encode(structures)[0].double().cpu()
            made = space.decode(x)
    except InputError as error:
        condition = "hold structures of the space"
        raise InputError(error_message("start", condition, f"{label}: {error}")) from error
    if not bool(space.contains(x)):
        raise InputError(_not_contained_message(space, x, label))
    if isinstance(space, DiscreteSpace):
        x = space.canonical(x)
    return x, match_atoms(structures, made)


def _check_elements(structures: Structures, space: Space, label: str) -> None:
    """Refuse a structure that is made of something else.

    Raises:
        InputError: it is.
    """
    wanted, found = sorted(space.numbers.tolist()), sorted(structures.numbers.tolist())
    if isinstance(space, DiscreteSpace):
        strange = sorted(set(found) - set(wanted))
        if strange:
            condition = f"hold structures of {', '.join(SYMBOLS[z] for z in wanted)}"
            value = f"{', '.join(SYMBOLS[z] for z in strange)} in {label}"
            raise InputError(error_message("start", condition, value))
    elif wanted != found:
        condition = f"hold structures of {formula(wanted)}"
        raise InputError(error_message("start", condition, f"{formula(found)}, {label}"))


def _check_size(structures: Structures, space: Space, x: Tensor, label: str) -> None:
    """Refuse an energy of another cell than the one that the space has for it.

    Raises:
        InputError: it is.
    """
    given, made = len(structures.numbers), len(space.decode(x).numbers)
    if given != made:
        condition = f"have energies of the cells of the space, here of {made} atoms"
        value = f"one of {given} atoms, {label}"
        way_out = "Reduce it with its energy, or leave the energy out."
        raise InputError(error_message("start", condition, value, way_out))


def _not_contained_message(space: Space, x: Tensor, label: str) -> str:
    """Return why a structure is not in the space."""
    if isinstance(space, DiscreteSpace):
        return error_message("start", "hold members of the space", label)
    made = space.decode(x)
    off = float((space.decode(space.project(x)).positions - made.positions).abs().max())
    if off > REGION_TOLERANCE:
        way_out = "Give the space a larger region, or leave it out."
        condition = "hold structures in the region of the space"
        return error_message("start", condition, f"one {off:.2g} Å outside, {label}", way_out)
    way_out = "Give the space a smaller `minimum_distance`, or leave it out."
    return error_message(
        "start",
        "hold no atoms too close",
        _closest_pair_message(space, made, label),
        way_out,
    )


def _closest_pair_message(space: Space, structure: Structures, label: str) -> str:
    """Return the two atoms that are closest for their size, and how close."""
    radii = space.atomic_radii.to(structure.positions)
    near = build_neighbor_list(structure, 2 * float(radii.max()))
    if not len(near.center):
        return label
    gaps = near.vectors(structure.positions, structure.cell).norm(dim=-1)
    worst = int((gaps / (radii[near.center] + radii[near.neighbor])).argmin())
    pair = sorted((int(near.center[worst]), int(near.neighbor[worst])))
    one, two = (SYMBOLS[int(structure.numbers[i])] for i in pair)
    return f"{one} and {two} {float(gaps[worst]):.2f} Å apart, {label}"


def _initial_result(
    structures: Structures, atom_order: Tensor | None, evaluator: Evaluator, label: str
) -> Evaluation | Failure | None:
    """Return what the energy that came with a structure is worth; None without one."""
    if structures.energy is None or bool(structures.energy.isnan().any()):
        return None
    forces = structures.forces
    if forces is not None:
        if atom_order is None:
            condition = "keep its atoms in the places that the space has for them"
            way_out = "Leave out its forces."
            raise InputError(error_message("start", condition, label, way_out))
        forces = forces[atom_order]
    found = Evaluation(float(structures.energy), forces, provenance={"start": label})
    return check_evaluation(found, len(structures.positions), **evaluation_limits(evaluator))


def _unique_structures(
    space: Space, X: Sequence[Tensor], X_evaluated: list[Tensor]
) -> list[Tensor]:
    """Return the structures that are neither known nor the same as one before."""
    taken: list[Tensor] = []
    for x in X:
        if not is_duplicate(space, x, [*X_evaluated, *taken]):
            taken.append(x)
    return taken


def _rounded_bytes(values: Tensor) -> bytes:
    rounded = [round(value, DIGEST_DECIMALS) + 0.0 for value in values.flatten().tolist()]
    return json.dumps(rounded).encode()


def _result_bytes(result: Evaluation | Failure) -> bytes:
    if isinstance(result, Failure):
        return result.reason.encode()
    forces = b"" if result.forces is None else _rounded_bytes(result.forces)
    return _rounded_bytes(torch.tensor([result.energy], dtype=torch.float64)) + forces
