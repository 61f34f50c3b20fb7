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

MAX_ENERGY_PER_ATOM = 1e6
"""eV per atom. All-electron total energies reach 8e5; beyond it is a broken run."""

MAX_FORCE = 1e4
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
    bounds = evaluation_limits(evaluator)
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
        return Failure(_shorten_line(reason), isinstance(error, OSError), seconds)
    seconds = time.perf_counter() - start
    if isinstance(outcome, Evaluation):
        outcome = check_evaluation(outcome, len(structures.positions), **bounds)
    elif not isinstance(outcome, Failure):
        kind = type(outcome).__name__
        reason = f"the evaluator returned {kind}, not an Evaluation or a Failure"
        outcome = Failure(reason)
    return outcome if outcome.seconds > 0 else replace(outcome, seconds=seconds)


def evaluation_limits(evaluator: object) -> dict[str, float]:
    """Return the limits that an evaluator sets itself, else ours."""
    return {
        "maximum_energy": getattr(evaluator, "maximum_energy", MAX_ENERGY_PER_ATOM),
        "maximum_force": getattr(evaluator, "maximum_force", MAX_FORCE),
    }


def check_evaluation(
    evaluation: Evaluation,
    n_atoms: int,
    *,
    maximum_energy: float = MAX_ENERGY_PER_ATOM,
    maximum_force: float = MAX_FORCE,
) -> Evaluation | Failure:
    """Return the evaluation in plain float64 on the CPU, or why it is not data.

    Args:
        evaluation: What an evaluator returned.
        n_atoms: The number of atoms of the structure.
        maximum_energy: Limit of |energy| in eV per atom.
        maximum_force: Limit of the force on an atom in eV/Å.
    """
    seconds = _positive_seconds(evaluation.seconds)
    try:
        energy = _to_float(evaluation.energy)
        forces = _to_cpu_forces(evaluation.forces)
        properties = {str(k): _to_float(v) for k, v in evaluation.properties.items()}
        provenance = {str(k): str(v) for k, v in evaluation.provenance.items()}
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = f"the evaluator returned something that is not a number: {error}"
        return Failure(_shorten_line(reason), seconds=seconds)
    reason = _invalid_energy_reason(energy, n_atoms, maximum_energy)
    if not reason and forces is not None:
        reason = _invalid_forces_reason(forces, n_atoms, maximum_force)
    if reason:
        return Failure(reason, seconds=seconds)
    return Evaluation(energy, forces, properties, seconds, provenance)


def _positive_seconds(value: float) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _to_float(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    # Not float(value): numpy warns of arrays of one number and takes them.
    number = torch.as_tensor(value, dtype=torch.float64)
    if number.numel() != 1:
        raise ValueError(f"an array of shape {list(number.shape)}")
    return float(number)


def _to_cpu_forces(value: object) -> Tensor | None:
    if value is None:
        return None
    forces = torch.as_tensor(value).detach()
    return forces.to(device="cpu", dtype=torch.float64).contiguous().clone()


def _invalid_energy_reason(energy: float, n_atoms: int, limit: float) -> str:
    if not math.isfinite(energy):
        return f"the energy is not finite: {energy} eV"
    if abs(energy) > limit * n_atoms:
        return (
            f"the energy is absurd: {energy:g} eV for {n_atoms} atoms is more than "
            f"{limit:g} eV per atom"
        )
    return ""


def _invalid_forces_reason(forces: Tensor, n_atoms: int, limit: float) -> str:
    if tuple(forces.shape) != (n_atoms, 3):
        found = list(forces.shape)
        return f"the forces have the wrong shape: {found}, not [{n_atoms}, 3]"
    broken = int((~forces.isfinite()).any(dim=1).sum())
    if broken:
        return f"the forces on {broken} of {n_atoms} atoms are not finite"
    largest = float(forces.norm(dim=1).max())
    if largest > limit:
        return f"the forces are absurd: {largest:g} eV/Å on one atom is more than {limit:g} eV/Å"
    return ""


def _shorten_line(text: str, length: int = 500) -> str:
    """Return one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
