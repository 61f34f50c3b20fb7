"""Initial structures supplied by the user, with or without energies.

Those with an energy, or with the outcomes of the objectives, are initial data, never evaluated; the
others are evaluated first. They are encoded in the coordinates of the space when the campaign is
created, so that a structure outside the space is refused before any evaluation.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, final

import torch
from torch import Tensor

from bostruct.campaign.atom_matching import is_duplicate, match_atoms, unwrap
from bostruct.campaign.cell_alignment import align_cell
from bostruct.campaign.enthalpy import (
    has_any_cell,
    has_variable_cell,
    is_crystal,
    with_pressure_energy,
)
from bostruct.campaign.periodic_images import image_gap, is_isolated
from bostruct.errors import InputError, error_message
from bostruct.evaluators import Evaluation, Evaluator, Failure
from bostruct.evaluators.base import cell_volume, check_evaluation, evaluation_limits
from bostruct.spaces import DiscreteSpace, Space
from bostruct.spaces.connectivity import widest_gap
from bostruct.spaces.crystals.layer import oriented_layer
from bostruct.spaces.space import (
    SupportsCellBounds,
    SupportsCompositions,
    SupportsMolecules,
)
from bostruct.structures import SYMBOLS, Structures, build_neighbor_list, from_ase, to_ase
from bostruct.structures.constrained_forces import NET_FORCE_CONSTRAINTS, changes_energy
from bostruct.structures.elements import formula
from bostruct.structures.energy_labels import ENERGY, EnergyLabels
from bostruct.structures.read import read_images

if TYPE_CHECKING:
    from ase import Atoms

log = logging.getLogger(__name__)

StructuresLike: TypeAlias = (
    "Structures | Atoms | str | os.PathLike[str] | Sequence[Atoms | str | os.PathLike[str]]"
)
"""Types of initial structures."""

MIN_ENERGIES = 2
"""Smallest number of energies for a fit."""

DIGEST_DECIMALS = 6
"""Decimals of positions (Å), energies (eV), forces (eV/Å) and stresses (eV/Å³) in a digest."""

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
    structures: StructuresLike,
    space: Space,
    evaluator: Evaluator,
    outcome_names: Sequence[str] = (),
    labels: EnergyLabels | None = None,
) -> InitialData:
    """Return the user's structures in the coordinates of a space.

    Args:
        structures: Structures with or without energies, or files that ASE reads.
        space: Space of the structures.
        evaluator: Evaluator whose limits decide which energies are implausible.
        outcome_names: Outcomes that a campaign with objectives models; structures that carry them
            in `info` are training data. Empty where the energy is.
        labels: Names under which energies and forces are read; None takes ASE's.

    Raises:
        InputError: a file cannot be read, or a structure is not in the space; the message says
            which.
    """
    data: dict[bytes, tuple[Tensor, Evaluation | Failure]] = {}
    unevaluated: list[Tensor] = []
    images, labels = read_images(structures), labels or EnergyLabels()
    if not has_variable_cell(space):
        labels = replace(labels, stress_key="")
    _check_labels_read(images, labels, outcome_names)
    not_kept: list[str] = []
    for label, image in images:
        structure = _unconstrained_structure(image, label, labels, space)
        whole, x, atom_order = _encode(structure, space, label)
        if not _is_state_kept(whole, space.decode(x), evaluator, label):
            not_kept.append(label)
        if outcome_names:
            result = _known_outcomes(image, whole, outcome_names, evaluator, label)
        else:
            result = _initial_result(whole, atom_order, space, x, evaluator, label)
        if result is None:
            unevaluated.append(x)
            continue
        if not isinstance(result, Evaluation) or result.energy is not None:
            _check_same_cell(whole, space, x, label)
        data.setdefault(_rounded_bytes(x) + _result_bytes(result), (x, result))
    if not_kept:
        log.warning(
            "%d initial structures (first: %s) carry initial magnetic moments or charges that "
            "%s does not keep: evaluations begin without them. Set moments by element, "
            "Calculator(..., magnetic_moments={...}).",
            len(not_kept),
            not_kept[0],
            type(space).__name__,
        )
    with_energy = [x for x, result in data.values() if isinstance(result, Evaluation)]
    empty = torch.zeros(0, space.dimension, dtype=torch.float64)
    X: list[Tensor] = []
    for x in unevaluated:
        if not is_duplicate(space, x, [*with_energy, *X]):
            X.append(x)
    return InitialData(
        X_evaluated=torch.stack([x for x, _ in data.values()]) if data else empty,
        results=tuple(result for _, result in data.values()),
        X_unevaluated=torch.stack(X) if X else empty,
    )


def _check_labels_read(
    images: Sequence[tuple[str, Atoms]], labels: EnergyLabels, outcome_names: Sequence[str]
) -> None:
    """Refuse energies that would be paid for again because of the name they have.

    Raises:
        InputError: a structure has an energy or forces under a name that is not read, or none has
            an energy under the name that the user gave.
    """
    if outcome_names and ENERGY not in outcome_names:
        return
    no_energy = all(labels.read(image)[0] is None for _, image in images)
    if labels.energy_key not in ("", ENERGY) and no_energy:
        condition, found = "name an energy of the structures", labels.unread(images[0][1])
        hint = f"The first one has {found!r}." if found else ""
        raise InputError(error_message("energy_key", condition, repr(labels.energy_key), hint))
    for label, image in images:
        if name := labels.unread(image):
            key = "forces_key" if "force" in name.lower() else "energy_key"
            condition = f"carry labels under the names that are read, `{labels.energy_key}` here"
            hint = f"Pass {key}={name!r} to use them, or {key}='' to do without."
            if name == labels.energy_key:
                hint = (
                    "In `info` it may be that of other positions: attach a "
                    "SinglePointCalculator(atoms, energy=...), or pass energy_key='' to do without."
                )
            raise _refused(condition, f"{name!r} in {label}", hint)


def _unconstrained_structure(
    image: Atoms, label: str, labels: EnergyLabels, space: Space
) -> Structures:
    """Return atoms as one structure, without constraints."""
    if is_crystal(space):
        _check_no_fixed_atoms(image, label)
    energy, forces = labels.read(image)
    if energy is None:
        labels = replace(labels, stress_key="")
    if energy is not None and (name := changes_energy(image)):
        hint = "Compute it with get_potential_energy(apply_constraint=False), or leave it out."
        raise _refused("have energies of the atoms alone", f"one with {name}, {label}", hint)
    unconstrained = image.copy()
    unconstrained.set_constraint()
    try:
        structure, stress = from_ase(unconstrained), labels.read_stress(image)
    except InputError as error:
        raise _refused("hold structures of the space", f"{label}: {error}") from error
    try:
        E, F, S = (
            None if value is None else torch.as_tensor(value, dtype=torch.float64).reshape(shape)
            for value, shape in ((energy, (1,)), (forces, (len(image), 3)), (stress, (1, 6)))
        )
    except (TypeError, ValueError, RuntimeError) as error:
        condition = "have one energy, and three forces on each atom"
        raise _refused(condition, f"{label}: {error}") from error
    return replace(structure, energy=E, forces=F, stress=S)


def _check_no_fixed_atoms(image: Atoms, label: str) -> None:
    """Refuse constraints of crystals, of which all atoms move.

    Raises:
        InputError: atoms are fixed, or constrained otherwise.
    """
    given = {type(constraint).__name__ for constraint in image.constraints}
    if names := sorted(given - set(NET_FORCE_CONSTRAINTS)):
        condition = "have no constraints in a space of crystals, where all atoms move"
        hint = "Remove them with atoms.set_constraint()."
        raise _refused(condition, f"{', '.join(names)} in {label}", hint)


def _refused(condition: str, value: str, hint: str = "") -> InputError:
    return InputError(error_message("initial_structures", condition, value, hint))


def _encode(
    structures: Structures, space: Space, label: str
) -> tuple[Structures, Tensor, Tensor | None]:
    """Return the structure made whole, its coordinates `[d]`, and the order of the atoms in them.

    The order is None if it is ambiguous.

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
    if is_crystal(space):
        if not bool(decoded.pbc.all()):
            height = float(torch.linalg.vector_norm(decoded.cell[0, 2]))
            structures = oriented_layer(structures, height)
        structures = align_cell(structures, decoded)
        if len(structures.numbers) != len(decoded.numbers):
            structures = _in_other_units(structures, decoded)
    return structures, x, match_atoms(structures, decoded)


def _in_other_units(structures: Structures, decoded: Structures) -> Structures:
    """Return a crystal in the number of formula units of the space, with the energy of as many.

    Its forces and its stress, which would have to turn with it, are left out.
    """
    E = structures.energy
    E = None if E is None else E * (len(decoded.numbers) / len(structures.numbers))
    return replace(decoded, energy=E)


def _is_state_kept(
    structure: Structures, decoded: Structures, evaluator: Evaluator, label: str
) -> bool:
    """Return whether evaluations in the space begin with the structure's moments and charges.

    Raises:
        InputError: the structure has a total charge or spin that an evaluation would not have.
    """
    info = getattr(getattr(evaluator, "calculator", evaluator), "info", {})
    for name, neutral in (("charge", (0.0,)), ("spin", (0.0, 1.0))):
        value, kept = float(structure.value_or_nan(name)), float(decoded.value_or_nan(name))
        evaluated = (info[name],) if name in info else neutral
        evaluated = evaluated if math.isnan(kept) else (kept,)
        if not math.isnan(value) and value not in evaluated:
            condition = f"have the {name} with which structures are evaluated"
            hint = (
                f"Pass Calculator(..., info={{{name!r}: {value:g}}}), or delete it in atoms.info."
            )
            raise _refused(condition, f"info[{name!r}] = {value:g} in {label}", hint)
    if getattr(evaluator, "magnetic_moments", None):
        return True
    names = ("magnetic_moments", "atomic_charges")
    given, kept_values = (
        {name: bool(s.value_or_nan(name).nan_to_num(0.0).any()) for name in names}
        for s in (structure, decoded)
    )
    return all(kept_values[name] or not given[name] for name in names)


def _check_elements(structures: Structures, space: Space, label: str) -> None:
    """Refuse a structure of other elements.

    Raises:
        InputError: the elements are not those of the space.
    """
    expected, numbers = sorted(space.numbers.tolist()), sorted(structures.numbers.tolist())
    if isinstance(space, DiscreteSpace | SupportsCompositions):
        foreign = sorted(set(numbers) - set(expected))
        if foreign:
            symbols = ", ".join(SYMBOLS[z] for z in expected)
            value = f"{', '.join(SYMBOLS[z] for z in foreign)} in {label}"
            raise _refused(f"hold structures of {symbols}", value)
    elif not _is_composition(numbers, expected, has_any_cell(space)):
        value = f"{formula(numbers)}, {label}"
        raise _refused(f"hold structures of {formula(expected)}", value)


def _is_composition(numbers: list[int], expected: list[int], any_units: bool) -> bool:
    """Return whether sorted atomic numbers are those expected, or as many times their formula.

    Args:
        numbers: Atomic numbers of a structure.
        expected: Atomic numbers of the space.
        any_units: True where the number of formula units is free.
    """
    if not any_units or numbers == expected:
        return numbers == expected
    n, m = len(numbers), len(expected)
    return sorted(numbers * m) == sorted(expected * n)


def _check_same_cell(structures: Structures, space: Space, x: Tensor, label: str) -> None:
    """Refuse the results of another cell than that of the space.

    Raises:
        InputError: the cells differ in size, or in periodic images that matter.
    """
    decoded = space.decode(x)
    n_atoms, expected = len(structures.numbers), len(decoded.numbers)
    if n_atoms != expected:
        condition = f"have energies of the cells of the space, here of {expected} atoms"
        hint = "Reduce it with its energy, or leave the energy out."
        raise _refused(condition, f"one of {n_atoms} atoms, {label}", hint)
    if isinstance(space, DiscreteSpace) and torch.equal(structures.pbc, decoded.pbc):
        return  # one crystal or slab has many cells
    gap = image_gap(structures, decoded)
    if not is_isolated(gap, space.atomic_radii):
        condition = "have energies that are periodic as structures of the space are"
        hint = (
            "Leave its energy out (atoms.calc = None): it is evaluated first. One of the periodic "
            "images that it should not have, or should, is near."
        )
        raise _refused(condition, f"one whose images are {gap:.2f} Å apart, {label}", hint)


def _not_contained(space: Space, x: Tensor, label: str) -> InputError:
    """Return the error for a structure that is not in the space."""
    if isinstance(space, DiscreteSpace):
        return _refused("hold members of the space", label)
    if isinstance(space, SupportsCellBounds) and (violation := space.cell_violation(x)):
        value, hint = violation
        return _refused("hold crystals within the bounds of the space", f"{value}, {label}", hint)
    if isinstance(space, SupportsMolecules) and (broken := space.molecule_violation(x)):
        hint = "Give the space allow_reactions=True, or leave it out."
        return _refused("hold whole molecules", f"{broken}, {label}", hint)
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
    radii = space.atomic_radii.numpy()
    distances = to_ase(structure)[0].get_all_distances(mic=True)
    lengths = torch.from_numpy(distances / (radii[:, None] + radii))
    return float(lengths[widest_gap(lengths)])


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
    structures: Structures,
    atom_order: Tensor | None,
    space: Space,
    x: Tensor,
    evaluator: Evaluator,
    label: str,
) -> Evaluation | Failure | None:
    """Return the result that came with a structure; None without an energy."""
    if structures.energy is None or bool(structures.energy.isnan().any()):
        return None
    forces = structures.forces
    if forces is not None:
        if atom_order is None:
            condition = "have its atoms where the space has them"
            raise _refused(condition, label, "Leave out its forces.")
        forces, fixed = forces[atom_order], space.decode(x).fixed
        # Where ASE has removed some of fixed atoms, they are recorded as it writes them.
        if bool(forces[fixed].isnan().any()):
            forces = forces.masked_fill(fixed.unsqueeze(-1), 0.0)
        # Of the others they are known of all, or not recorded.
        forces = None if bool(forces.isnan().any()) else forces
    provenance = {"initial_structures": label}
    stress = None if structures.stress is None else structures.stress[0]
    result = Evaluation(float(structures.energy), forces, provenance=provenance, stress=stress)
    n_atoms, volume = len(structures.positions), cell_volume(structures)
    checked = check_evaluation(result, n_atoms, volume=volume, **evaluation_limits(evaluator))
    return checked if isinstance(checked, Failure) else with_pressure_energy(checked, space, x)


def _known_outcomes(
    image: Atoms,
    structures: Structures,
    outcome_names: Sequence[str],
    evaluator: Evaluator,
    label: str,
) -> Evaluation | Failure | None:
    """Return the outcomes that came with a structure; None without any.

    Its energy is recorded where it is one of them.

    Raises:
        InputError: some are missing, or one is no number.
    """
    values: dict[str, float] = {}
    missing = []
    energy = None
    if structures.energy is not None and ENERGY in outcome_names:
        energy = float(structures.energy)
    for name in outcome_names:
        key = re.sub(r"\W", "_", name)  # as `export` writes it
        found = [image.info[k] for k in (name, key, f"outcome_{key}") if k in image.info]
        if name == ENERGY:
            found = [] if energy is None else [energy]
        if not found:
            missing.append(name)
            continue
        try:
            values[name] = float(found[0])
        except (TypeError, ValueError) as error:
            value = f"{found[0]!r} in {label}"
            raise _refused(f"have a number as {name!r} in `info`", value) from error
    if not set(values) - {ENERGY} and (missing or not values):
        return None
    if missing:
        condition = f"have all outcomes that are modeled, {', '.join(outcome_names)}, or none"
        hint = "Write NaN where one cannot be known, or remove the others to have it evaluated."
        raise _refused(condition, f"none of {', '.join(missing)} in {label}", hint)
    properties = {n: v for n, v in values.items() if n != ENERGY and math.isfinite(v)}
    if not properties and energy is None:
        return Failure("no outcome is known", seconds=0.0)
    result = Evaluation(energy, None, properties, provenance={"initial_structures": label})
    return check_evaluation(result, len(structures.positions), **evaluation_limits(evaluator))


def _rounded_bytes(values: Tensor) -> bytes:
    rounded = [round(value, DIGEST_DECIMALS) + 0.0 for value in values.flatten().tolist()]
    return json.dumps(rounded).encode()


def _result_bytes(result: Evaluation | Failure) -> bytes:
    if isinstance(result, Failure):
        return result.reason.encode()
    forces = b"" if result.forces is None else _rounded_bytes(result.forces)
    forces += b"" if result.stress is None else _rounded_bytes(result.stress)
    properties = json.dumps(dict(result.properties), sort_keys=True).encode()
    energy = [] if result.energy is None else [result.energy]
    values = _rounded_bytes(torch.tensor(energy, dtype=torch.float64)) + forces
    return values + (properties if result.properties else b"")
