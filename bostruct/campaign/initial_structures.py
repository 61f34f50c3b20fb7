"""Initial structures supplied by the user, with or without energies.

Those with an energy are initial data, never evaluated; the others are evaluated first. They are
encoded in the coordinates of the space when the campaign is created, so that a structure outside
the space is refused before any evaluation.
"""

from __future__ import annotations

import hashlib
import json
import math
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
from bostruct.structures import SYMBOLS, Structures, build_neighbor_list, from_ase, to_ase
from bostruct.structures.elements import formula
from bostruct.structures.read import read_images

if TYPE_CHECKING:
    from ase import Atoms

StructuresLike: TypeAlias = (
    "Structures | Atoms | str | os.PathLike[str] | Sequence[Atoms | str | os.PathLike[str]]"
)
"""Types of initial structures."""

MIN_ENERGIES = 2
"""Smallest number of energies for a fit."""

DIGEST_DECIMALS = 6
"""Decimals of positions (Å), energies (eV) and forces (eV/Å) in the digest of a set."""

REGION_TOLERANCE = 1e-6
"""Å. Largest displacement by the projection of a structure inside the region."""


@final
@dataclass(frozen=True, eq=False)
class InitialData:
    """Initial structures in the coordinates of the space.

    Attributes:
        X_evaluated: `[t, d]` structures that came with an energy.
        results: Results of these; implausible ones are failures, as from the evaluator.
        X_unevaluated: `[s, d]` structures to evaluate first, without duplicates.
    """

    X_evaluated: Tensor
    results: tuple[Evaluation | Failure, ...]
    X_unevaluated: Tensor

    @property
    def n_energies(self) -> int:
        """Number of energies if no evaluation fails."""
        return sum(isinstance(r, Evaluation) for r in self.results) + len(self.X_unevaluated)

    def description(self) -> dict[str, Any]:
        """Return the identity of the set as JSON values."""
        digest = hashlib.sha256()
        for x in (*self.X_evaluated, *self.X_unevaluated):
            digest.update(_rounded_bytes(x))
        for result in self.results:
            digest.update(_result_bytes(result))
        return {
            "n_with_energy": len(self.X_evaluated),
            "n_without_energy": len(self.X_unevaluated),
            "sha256": digest.hexdigest(),
        }


def read_initial_structures(
    structures: StructuresLike, space: Space, evaluator: Evaluator, use_energies: bool = True
) -> InitialData:
    """Return the user's structures in the coordinates of a space.

    Args:
        structures: Structures with or without energies, or files that ASE reads.
        space: Space of the structures.
        evaluator: Evaluator whose limits decide which energies are implausible.
        use_energies: True if energies are training data; else all structures are evaluated.

    Raises:
        InputError: a file cannot be read, or a structure is not in the space; the message says
            which.
    """
    data: dict[bytes, tuple[Tensor, Evaluation | Failure]] = {}
    unevaluated: list[Tensor] = []
    for label, image in read_images(structures):
        structure = _unconstrained_structure(image, label)
        x, atom_order = _encode(structure, space, label)
        result = _initial_result(structure, atom_order, evaluator, label) if use_energies else None
        if result is None:
            unevaluated.append(x)
            continue
        _check_size(structure, space, x, label)
        data.setdefault(_rounded_bytes(x) + _result_bytes(result), (x, result))
    with_energy = [x for x, result in data.values() if isinstance(result, Evaluation)]
    empty = torch.zeros(0, space.dimension, dtype=torch.float64)
    X = _unique_structures(space, unevaluated, with_energy)
    return InitialData(
        X_evaluated=torch.stack([x for x, _ in data.values()]) if data else empty,
        results=tuple(result for _, result in data.values()),
        X_unevaluated=torch.stack(X) if X else empty,
    )


def _unconstrained_structure(image: Atoms, label: str) -> Structures:
    """Return atoms as one structure, without constraints."""
    unconstrained = image.copy()
    unconstrained.calc = image.calc
    unconstrained.set_constraint()
    try:
        return from_ase(unconstrained)
    except InputError as error:
        raise _refused("hold structures of the space", f"{label}: {error}") from error


def _refused(condition: str, value: str, hint: str = "") -> InputError:
    return InputError(error_message("initial_structures", condition, value, hint))


def _encode(structures: Structures, space: Space, label: str) -> tuple[Tensor, Tensor | None]:
    """Return the coordinates `[d]`, and the order of the atoms in them, None if ambiguous.

    Raises:
        InputError: the structure is not in the space.
    """
    _check_elements(structures, space, label)
    try:
        x = space.encode(structures)[0].double().cpu()
        decoded = space.decode(x)
        if structures.pbc.any() and not decoded.pbc.any():
            structures = replace(structures, positions=unwrap(structures))
            x = space.encode(structures)[0].double().cpu()
            decoded = space.decode(x)
    except InputError as error:
        raise _refused("hold structures of the space", f"{label}: {error}") from error
    if not bool(space.contains(x)):
        raise _not_contained(space, x, label)
    if isinstance(space, DiscreteSpace):
        x = space.canonical(x)
    return x, match_atoms(structures, decoded)


def _check_elements(structures: Structures, space: Space, label: str) -> None:
    """Refuse a structure of other elements.

    Raises:
        InputError: the elements are not those of the space.
    """
    expected, numbers = sorted(space.numbers.tolist()), sorted(structures.numbers.tolist())
    if isinstance(space, DiscreteSpace):
        foreign = sorted(set(numbers) - set(expected))
        if foreign:
            symbols = ", ".join(SYMBOLS[z] for z in expected)
            value = f"{', '.join(SYMBOLS[z] for z in foreign)} in {label}"
            raise _refused(f"hold structures of {symbols}", value)
    elif expected != numbers:
        value = f"{formula(numbers)}, {label}"
        raise _refused(f"hold structures of {formula(expected)}", value)


def _check_size(structures: Structures, space: Space, x: Tensor, label: str) -> None:
    """Refuse an energy of another cell than that of the space.

    Raises:
        InputError: the cells differ in size.
    """
    n_atoms, expected = len(structures.numbers), len(space.decode(x).numbers)
    if n_atoms != expected:
        condition = f"have energies of the cells of the space, here of {expected} atoms"
        hint = "Reduce it with its energy, or leave the energy out."
        raise _refused(condition, f"one of {n_atoms} atoms, {label}", hint)


def _not_contained(space: Space, x: Tensor, label: str) -> InputError:
    """Return the error for a structure that is not in the space."""
    if isinstance(space, DiscreteSpace):
        return _refused("hold members of the space", label)
    structure = space.decode(x)
    projected = space.decode(space.project(x))
    distance = float((projected.positions - structure.positions).abs().max())
    if distance > REGION_TOLERANCE:
        condition = "hold structures in the region of the space"
        name = "radius" if hasattr(space, "radius") else "region"
        hint = f"Give the space a larger `{name}`, or leave it out."
        return _refused(condition, f"one {distance:.2g} Å outside, {label}", hint)
    gap = _largest_gap_factor(space, structure)
    if gap > getattr(space, "max_gap_factor", math.inf):
        value = f"a gap of {gap:.2f} bond lengths, {label}"
        hint = f"Give the space max_gap_factor={math.ceil(10 * gap + 1) / 10}, or leave it out."
        return _refused("hold connected structures", value, hint)
    hint = "Give the space a smaller `min_distance`, or leave it out."
    pair = _closest_pair_message(space, structure, label)
    return _refused("hold no atoms too close", pair, hint)


def _largest_gap_factor(space: Space, structure: Structures) -> float:
    """Return the longest bond that holds a structure together, in sums of radii.

    It is the longest edge of the shortest tree over all atoms and their nearest images.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree

    radii = space.atomic_radii.numpy()
    distances = to_ase(structure)[0].get_all_distances(mic=True)
    lengths = distances / (radii[:, None] + radii)
    return float(minimum_spanning_tree(lengths).data.max(initial=0.0))


def _closest_pair_message(space: Space, structure: Structures, label: str) -> str:
    """Return the two atoms that are closest for their size, and their distance."""
    radii = space.atomic_radii.to(structure.positions)
    neighbors = build_neighbor_list(structure, 2 * float(radii.max()))
    if not len(neighbors.center):
        return label
    distances = neighbors.vectors(structure.positions, structure.cell).norm(dim=-1)
    sums = radii[neighbors.center] + radii[neighbors.neighbor]
    closest = int((distances / sums).argmin())
    pair = sorted((int(neighbors.center[closest]), int(neighbors.neighbor[closest])))
    first, second = (SYMBOLS[int(structure.numbers[i])] for i in pair)
    return f"{first} and {second} {float(distances[closest]):.2f} Å apart, {label}"


def _initial_result(
    structures: Structures, atom_order: Tensor | None, evaluator: Evaluator, label: str
) -> Evaluation | Failure | None:
    """Return the result that came with a structure; None without an energy."""
    if structures.energy is None or bool(structures.energy.isnan().any()):
        return None
    forces = structures.forces
    if forces is not None:
        if atom_order is None:
            condition = "have its atoms where the space has them"
            raise _refused(condition, label, "Leave out its forces.")
        forces = forces[atom_order]
    provenance = {"initial_structures": label}
    result = Evaluation(float(structures.energy), forces, provenance=provenance)
    return check_evaluation(result, len(structures.positions), **evaluation_limits(evaluator))


def _unique_structures(
    space: Space, X: Sequence[Tensor], X_evaluated: list[Tensor]
) -> list[Tensor]:
    """Return the structures without duplicates among them and of evaluated ones."""
    unique: list[Tensor] = []
    for x in X:
        if not is_duplicate(space, x, [*X_evaluated, *unique]):
            unique.append(x)
    return unique


def _rounded_bytes(values: Tensor) -> bytes:
    rounded = [round(value, DIGEST_DECIMALS) + 0.0 for value in values.flatten().tolist()]
    return json.dumps(rounded).encode()


def _result_bytes(result: Evaluation | Failure) -> bytes:
    if isinstance(result, Failure):
        return result.reason.encode()
    forces = b"" if result.forces is None else _rounded_bytes(result.forces)
    return _rounded_bytes(torch.tensor([result.energy], dtype=torch.float64)) + forces
