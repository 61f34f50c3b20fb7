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

from bostruct.campaign.atom_matching import among, order, whole
from bostruct.errors import InputError, must
from bostruct.evaluators import Evaluation, Evaluator, Failure
from bostruct.evaluators.base import check, limits
from bostruct.spaces import Discrete, Space
from bostruct.structures import SYMBOLS, Structures, from_ase, neighbors
from bostruct.structures.elements import formula
from bostruct.structures.read import listed

if TYPE_CHECKING:
    from ase import Atoms

Given: TypeAlias = (
    "Structures | Atoms | str | os.PathLike[str] "
    "| Sequence[Atoms | str | os.PathLike[str]]"
)
"""What a user may bring along."""

LEAST = 2
"""Energies without which there is nothing to fit."""

DIGITS = 6
"""Of positions in Å, energies in eV and forces in eV/Å that make two sets differ."""

MOVED = 1e-6
"""Å. An atom that has to move by more to be in the region is outside of it."""


@final
@dataclass(frozen=True, eq=False)
class Start:
    """Structures of a space that a campaign begins with.

    Attributes:
        data: `[t, d]` those that came with an energy.
        outcomes: What that is worth, t of them: absurd ones are failures, as they would
            be from the evaluator.
        X: `[s, d]` those to be evaluated first; each structure is there once.
    """

    data: Tensor
    outcomes: tuple[Evaluation | Failure, ...]
    X: Tensor

    @property
    def useful(self) -> int:
        """How many energies there will be if no evaluation fails."""
        known = sum(isinstance(outcome, Evaluation) for outcome in self.outcomes)
        return known + len(self.X)

    def description(self) -> dict[str, Any]:
        """Return what identifies the set, ready for JSON."""
        digest = hashlib.sha256()
        for x in (*self.data, *self.X):
            digest.update(_text(x))
        for outcome in self.outcomes:
            digest.update(_worth(outcome))
        return {
            "given": len(self.data),
            "evaluated": len(self.X),
            "sha256": digest.hexdigest(),
        }


def bring(
    given: Given, space: Space, evaluator: Evaluator, energies: bool = True
) -> Start:
    """Return what a user brings along, in the coordinates of a space.

    Args:
        given: Structures with or without energies, or files that ASE reads.
        space: What may be proposed.
        evaluator: Says which energies are absurd.
        energies: Whether those that came with one are data; else they are evaluated.

    Raises:
        InputError: a file cannot be read, or a structure is not one of the space; the
            message says which.
    """
    known: dict[bytes, tuple[Tensor, Evaluation | Failure]] = {}
    others: list[Tensor] = []
    for place, image in listed(given):
        structures = _structures(image, place)
        x, kept = _encoded(structures, space, place)
        outcome = _outcome(structures, kept, evaluator, place) if energies else None
        if outcome is not None:
            _check_size(structures, space, x, place)
        if outcome is None:
            others.append(x)
        else:
            known.setdefault(_text(x) + _worth(outcome), (x, outcome))
    empty = torch.zeros(0, space.dimension, dtype=torch.float64)
    pairs = list(known.values())
    data = torch.stack([x for x, _ in pairs]) if pairs else empty
    X = _once(space, others, [x for x, o in pairs if isinstance(o, Evaluation)])
    return Start(
        data=data,
        outcomes=tuple(outcome for _, outcome in pairs),
        X=torch.stack(X) if X else empty,
    )


def _structures(image: Atoms, place: str) -> Structures:
    """Return atoms as one structure; what they are bound to does not matter here."""
    free = image.copy()
    free.calc = image.calc
    free.set_constraint()
    try:
        return from_ase(free)
    except InputError as error:
        condition = "hold structures of the space"
        raise InputError(must("start", condition, f"{place}: {error}")) from error


def _encoded(
    structures: Structures, space: Space, place: str
) -> tuple[Tensor, Tensor | None]:
    """Return the coordinates `[d]`, and which atom is which in them, if that is clear.

    Raises:
        InputError: it is no structure of the space.
    """
    _check_elements(structures, space, place)
    try:
        x = space.encode(structures)[0].double().cpu()
        made = space.decode(x)
        if structures.pbc.any() and not made.pbc.any():
            structures = replace(structures, positions=whole(structures))
            x = space.encode(structures)[0].double().cpu()
            made = space.decode(x)
    except InputError as error:
        condition = "hold structures of the space"
        raise InputError(must("start", condition, f"{place}: {error}")) from error
    if not bool(space.contains(x)):
        raise InputError(_why(space, x, place))
    if isinstance(space, Discrete):
        x = space.canonical(x)
    return x, order(structures, made)


def _check_elements(structures: Structures, space: Space, place: str) -> None:
    """Refuse a structure that is made of something else.

    Raises:
        InputError: it is.
    """
    wanted, found = sorted(space.numbers.tolist()), sorted(structures.numbers.tolist())
    if isinstance(space, Discrete):
        strange = sorted(set(found) - set(wanted))
        if strange:
            condition = f"hold structures of {', '.join(SYMBOLS[z] for z in wanted)}"
            value = f"{', '.join(SYMBOLS[z] for z in strange)} in {place}"
            raise InputError(must("start", condition, value))
    elif wanted != found:
        condition = f"hold structures of {formula(wanted)}"
        raise InputError(must("start", condition, f"{formula(found)}, {place}"))


def _check_size(structures: Structures, space: Space, x: Tensor, place: str) -> None:
    """Refuse an energy of another cell than the one that the space has for it.

    Raises:
        InputError: it is.
    """
    given, made = len(structures.numbers), len(space.decode(x).numbers)
    if given != made:
        condition = f"have energies of the cells of the space, here of {made} atoms"
        value = f"one of {given} atoms, {place}"
        way_out = "Reduce it with its energy, or leave the energy out."
        raise InputError(must("start", condition, value, way_out))


def _why(space: Space, x: Tensor, place: str) -> str:
    """Return why a structure is not in the space."""
    if isinstance(space, Discrete):
        return must("start", "hold members of the space", place)
    made = space.decode(x)
    off = float((space.decode(space.project(x)).positions - made.positions).abs().max())
    if off > MOVED:
        way_out = "Give the space a larger region, or leave it out."
        condition = "hold structures in the region of the space"
        return must("start", condition, f"one {off:.2g} Å outside, {place}", way_out)
    way_out = "Give the space a smaller `minimum_distance`, or leave it out."
    return must(
        "start", "hold no atoms too close", _closest(space, made, place), way_out
    )


def _closest(space: Space, made: Structures, place: str) -> str:
    """Return the two atoms that are closest for their size, and how close."""
    radii = space.radii.to(made.positions)
    near = neighbors(made, 2 * float(radii.max()))
    if not len(near.center):
        return place
    gaps = near.vectors(made.positions, made.cell).norm(dim=-1)
    worst = int((gaps / (radii[near.center] + radii[near.other])).argmin())
    pair = sorted((int(near.center[worst]), int(near.other[worst])))
    one, two = (SYMBOLS[int(made.numbers[i])] for i in pair)
    return f"{one} and {two} {float(gaps[worst]):.2f} Å apart, {place}"


def _outcome(
    structures: Structures, kept: Tensor | None, evaluator: Evaluator, place: str
) -> Evaluation | Failure | None:
    """Return what the energy that came with a structure is worth; None without one."""
    if structures.energy is None or bool(structures.energy.isnan().any()):
        return None
    forces = structures.forces
    if forces is not None:
        if kept is None:
            condition = "keep its atoms in the places that the space has for them"
            way_out = "Leave out its forces."
            raise InputError(must("start", condition, place, way_out))
        forces = forces[kept]
    found = Evaluation(float(structures.energy), forces, provenance={"start": place})
    return check(found, len(structures.positions), **limits(evaluator))


def _once(space: Space, others: Sequence[Tensor], known: list[Tensor]) -> list[Tensor]:
    """Return the structures that are neither known nor the same as one before."""
    taken: list[Tensor] = []
    for x in others:
        if not among(space, x, [*known, *taken]):
            taken.append(x)
    return taken


def _text(values: Tensor) -> bytes:
    rounded = [round(value, DIGITS) + 0.0 for value in values.flatten().tolist()]
    return json.dumps(rounded).encode()


def _worth(outcome: Evaluation | Failure) -> bytes:
    if isinstance(outcome, Failure):
        return outcome.reason.encode()
    forces = b"" if outcome.forces is None else _text(outcome.forces)
    return _text(torch.tensor([outcome.energy], dtype=torch.float64)) + forces
