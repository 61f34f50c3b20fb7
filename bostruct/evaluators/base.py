"""What an evaluator is: a structure goes in, an `Evaluation` or a `Failure` comes out.

A failed calculation is data, not an exception: the campaign logs why, keeps the
structure as seen, and never trains on it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from bostruct.structures import Structures

MAXIMUM_ENERGY = 1e6
"""eV per atom. All-electron total energies reach 8e5; beyond it is a broken run."""

MAXIMUM_FORCE = 1e4
"""eV/Å. Ten times what atoms feel at 70 % of a bond length."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one call of an evaluator found.

    Args:
        energy: Of the whole structure, eV.
        forces: `[a, 3]` eV/Å, or None.
        properties: Further numbers by name, kept in the log.
        seconds: Wall time of the call; the campaign measures it where it is 0.
        provenance: What made it, by name: program, version, settings.
    """

    energy: float
    forces: Tensor | None = None
    properties: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why a call of an evaluator gave nothing to learn from.

    Args:
        reason: One sentence for the person who reads the log.
        retryable: Whether the same call is worth another attempt at once: a file system
            or a license was away, say. A campaign then asks once more.
        seconds: Wall time of the call.
    """

    reason: str
    retryable: bool = False
    seconds: float = 0.0


@runtime_checkable
class Evaluator(Protocol):
    """What it costs to know: called with exactly one structure."""

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return the energy and what else is known of the structure."""
        ...

    def description(self) -> dict[str, Any]:
        """Return what identifies the evaluator, ready for JSON."""
        ...


def evaluate(
    evaluator: Callable[[Structures], Evaluation | Failure],
    structures: Structures,
    *,
    maximum_energy: float | None = None,
    maximum_force: float | None = None,
) -> Evaluation | Failure:
    """Call an evaluator so that whatever it does, an outcome comes back.

    What it raises, what is not finite or beyond the limits, and what has the wrong
    type or shape becomes a `Failure` whose reason says so.

    Args:
        evaluator: Called with `structures`.
        structures: Exactly one structure.
        maximum_energy: Limit of |energy| in eV per atom; None takes the evaluator's
            own, or `MAXIMUM_ENERGY`.
        maximum_force: Limit of the force on an atom in eV/Å; None likewise.
    """
    bounds = limits(evaluator)
    if maximum_energy is not None:
        bounds["maximum_energy"] = maximum_energy
    if maximum_force is not None:
        bounds["maximum_force"] = maximum_force
    start = time.perf_counter()
    try:
        outcome = evaluator(structures)
        # A calculator written for the shell may call sys.exit when it gives up.
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code, any error
        reason = f"the evaluator raised {type(error).__name__}: {error}"
        seconds = time.perf_counter() - start
        # What the operating system refused, it may grant another time.
        return Failure(_shorten(reason), isinstance(error, OSError), seconds)
    seconds = time.perf_counter() - start
    if isinstance(outcome, Evaluation):
        outcome = check(outcome, len(structures.positions), **bounds)
    elif not isinstance(outcome, Failure):
        kind = type(outcome).__name__
        reason = f"the evaluator returned {kind}, not an Evaluation or a Failure"
        outcome = Failure(reason)
    return outcome if outcome.seconds > 0 else replace(outcome, seconds=seconds)


def limits(evaluator: object) -> dict[str, float]:
    """Return the limits that an evaluator sets itself, else ours."""
    return {
        "maximum_energy": getattr(evaluator, "maximum_energy", MAXIMUM_ENERGY),
        "maximum_force": getattr(evaluator, "maximum_force", MAXIMUM_FORCE),
    }


def check(
    outcome: Evaluation,
    atoms: int,
    *,
    maximum_energy: float = MAXIMUM_ENERGY,
    maximum_force: float = MAXIMUM_FORCE,
) -> Evaluation | Failure:
    """Return the evaluation in plain float64 on the CPU, or why it is not data.

    Args:
        outcome: What an evaluator returned.
        atoms: The number of atoms of the structure.
        maximum_energy: Limit of |energy| in eV per atom.
        maximum_force: Limit of the force on an atom in eV/Å.
    """
    seconds = _seconds(outcome.seconds)
    try:
        energy = _number(outcome.energy)
        forces = _forces(outcome.forces)
        properties = {str(k): _number(v) for k, v in outcome.properties.items()}
        provenance = {str(k): str(v) for k, v in outcome.provenance.items()}
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = f"the evaluator returned something that is not a number: {error}"
        return Failure(_shorten(reason), seconds=seconds)
    reason = _wrong_energy(energy, atoms, maximum_energy)
    if not reason and forces is not None:
        reason = _wrong_forces(forces, atoms, maximum_force)
    if reason:
        return Failure(reason, seconds=seconds)
    return Evaluation(energy, forces, properties, seconds, provenance)


def _seconds(value: float) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _number(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    # Not float(value): numpy warns of arrays of one number and takes them.
    number = torch.as_tensor(value, dtype=torch.float64)
    if number.numel() != 1:
        raise ValueError(f"an array of shape {list(number.shape)}")
    return float(number)


def _forces(value: object) -> Tensor | None:
    if value is None:
        return None
    forces = torch.as_tensor(value).detach()
    return forces.to(device="cpu", dtype=torch.float64).contiguous().clone()


def _wrong_energy(energy: float, atoms: int, limit: float) -> str:
    if not math.isfinite(energy):
        return f"the energy is not finite: {energy} eV"
    if abs(energy) > limit * atoms:
        return (
            f"the energy is absurd: {energy:g} eV for {atoms} atoms is more than "
            f"{limit:g} eV per atom"
        )
    return ""


def _wrong_forces(forces: Tensor, atoms: int, limit: float) -> str:
    if tuple(forces.shape) != (atoms, 3):
        found = list(forces.shape)
        return f"the forces have the wrong shape: {found}, not [{atoms}, 3]"
    broken = int((~forces.isfinite()).any(dim=1).sum())
    if broken:
        return f"the forces on {broken} of {atoms} atoms are not finite"
    largest = float(forces.norm(dim=1).max())
    if largest > limit:
        return (
            f"the forces are absurd: {largest:g} eV/Å on one atom is more than "
            f"{limit:g} eV/Å"
        )
    return ""


def _shorten(text: str, length: int = 500) -> str:
    """Return one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
