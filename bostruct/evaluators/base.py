"""Protocol of evaluators: a structure goes in, an `Evaluation` or a `Failure` comes out.

A failed calculation is data, not an exception: the campaign logs the reason, does not propose the
structure again and never trains on it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from numbers import Real
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bostruct.evaluators.evaluation_context import (
    EvaluationContext,
    KeepFolders,
    remove_working_folder,
    working_folder,
)
from bostruct.evaluators.program_output import captured_prints, error_output, last_output
from bostruct.evaluators.quarantine import ValidRange, range_violation
from bostruct.runtime.control_characters import visible_text
from bostruct.runtime.interruption import is_interruption, raise_if_interrupted
from bostruct.runtime.process_guard import guarded_programs
from bostruct.structures import Structures
from bostruct.structures.convert import MIN_CELL_VOLUME

MAX_ENERGY_PER_ATOM = 1e6
"""Largest plausible |energy|, eV per atom: all-electron total energies reach 8e5."""

SYMMETRY_TOLERANCE = 1e-3
"""Largest difference of a stress matrix from its transpose, in units of its largest component."""

STRESS_ROUNDING = 1e-5
"""Difference of a stress matrix from its transpose that is rounding, eV/Å³: of a relaxed crystal a
potential in single precision leaves as much as the stress itself."""

MAX_FORCE = 1e4
"""Largest plausible force on an atom, eV/Å: ten times the force at 70 % of a bond length."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of one evaluation.

    Args:
        energy: Energy of the structure, eV; None where an evaluation for objectives returns other
            properties only.
        forces: Forces on the atoms, `[a, 3]` eV/Å, or None.
        properties: Further numbers by name, kept in the log.
        seconds: Wall time of the call; the campaign measures it where it is 0.
        provenance: Program, version and settings behind the numbers, by name.
        stress: Stress of a periodic structure, `[6]` eV/Å³, or None; xx, yy, zz, yz, xz, xy with
            tension positive, as in ASE.
    """

    energy: float | None
    forces: Tensor | None = None
    properties: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    provenance: Mapping[str, str] = field(default_factory=dict)
    stress: Tensor | None = None


FailureCause = Literal["evaluation", "lost", "time limit"]
"""What has failed."""


@dataclass(frozen=True)
class Failure:
    """Reason why an evaluation gave no result.

    Args:
        reason: One sentence for the reader of the log.
        retryable: True if the same call may succeed when repeated at once, as after a file system
            or a license was away. A campaign then repeats it once.
        seconds: Wall time of the call.
        cause: The "evaluation" itself, a process or node that was "lost", or the "time limit"; a
            `RetryPolicy` tells them apart.
    """

    reason: str
    retryable: bool = False
    seconds: float = 0.0
    cause: FailureCause = "evaluation"


@runtime_checkable
class Evaluator(Protocol):
    """Callable that computes the energy of exactly one structure."""

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return energy, forces and properties of the structure, or why there are none."""
        ...

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the evaluator, as JSON values."""
        ...


def evaluate(
    evaluator: Callable[[Structures], Evaluation | Failure],
    structures: Structures,
    *,
    context: EvaluationContext | None = None,
    keep: KeepFolders = "failed",
    maximum_energy: float | None = None,
    maximum_force: float | None = None,
) -> Evaluation | Failure:
    """Call an evaluator and return a result whatever it does.

    Exceptions, values that are not finite or beyond the limits, and results of a wrong type or
    shape become a `Failure` with a reason. The programs that it has started end with this process.
    Ctrl-C and SIGTERM go on as `KeyboardInterrupt`, even where the evaluator has caught them; one
    that it raises itself does so at the first attempt, and is a failure at the next.

    Args:
        evaluator: Callable to guard.
        structures: Exactly one structure.
        context: Trial, attempt and working folder, for `current_context()`; None outside of a
            campaign.
        keep: Working folders that stay: those of failures, all or none.
        maximum_energy: Limit of |energy| in eV per atom; None takes the evaluator's own limit, or
            `MAX_ENERGY_PER_ATOM`.
        maximum_force: Limit of the force on an atom in eV/Å; None takes the evaluator's own limit,
            or `MAX_FORCE`.
    """
    given = {"maximum_energy": maximum_energy, "maximum_force": maximum_force}
    limits = evaluation_limits(evaluator) | {k: v for k, v in given.items() if v is not None}
    output = ""
    start = time.perf_counter()
    try:
        with guarded_programs(), working_folder(context) as context, captured_prints():
            outcome = evaluator(structures)
        # A calculator written for the shell may call sys.exit when it gives up, or interrupt.
    except BaseException as error:
        if is_interruption(error, is_repeated=context is not None and context.attempt > 1):
            raise_if_interrupted()
            raise
        reason = f"the evaluator raised {type(error).__name__}: {_text(error)}"
        output = error_output(error)
        # What the operating system refused, it may grant another time.
        outcome = Failure(_shorten_line(reason), isinstance(error, OSError))
    raise_if_interrupted()
    seconds = time.perf_counter() - start
    outcome = check_result(outcome, structures, **limits)
    if isinstance(outcome, Failure):
        folder = None if context is None else context.folder
        outcome = with_output(outcome, *filter(None, (output, last_output(folder))))
    remove_working_folder(context, isinstance(outcome, Failure), keep)
    return outcome if outcome.seconds > 0 else replace(outcome, seconds=seconds)


def check_result(
    result: object,
    structures: Structures,
    **limits: Any,  # noqa: ANN401 - of several types
) -> Evaluation | Failure:
    """Return a result as plain values that any log can hold, or the reason why it is invalid.

    The limits are those of `check_evaluation`.
    """
    try:
        if isinstance(result, Failure):
            return _plain_failure(result)
        if isinstance(result, Evaluation):
            return check_evaluation(
                result, len(structures.positions), volume=cell_volume(structures), **limits
            )
    except Exception as error:  # noqa: BLE001 - attributes of foreign classes
        return Failure(_shorten_line(f"the evaluator's result cannot be read: {_text(error)}"))
    kind = type(result).__name__
    return Failure(f"the evaluator returned {kind}, not an Evaluation or a Failure")


def with_output(failure: Failure, *outputs: str) -> Failure:
    """Return a failure whose reason ends with what the program said."""
    lines = (_shorten_line(_text(output)) for output in outputs)
    return replace(failure, reason="; ".join((failure.reason, *lines)))


def _plain_failure(failure: Failure) -> Failure:
    """Return a failure whose reason is one line of text that any log can hold."""
    reason = failure.reason
    if isinstance(reason, BaseException):
        reason = f"{type(reason).__name__}: {_text(reason)}"
    text = _shorten_line(_text(reason)) if reason else "the evaluator gave no reason"
    seconds = _positive_seconds(failure.seconds)
    cause = failure.cause if failure.cause in get_args(FailureCause) else "evaluation"
    return Failure(text, retryable=failure.retryable is True, seconds=seconds, cause=cause)


def _text(value: object) -> str:
    """Return an object as printable text, whatever its own methods do."""
    try:
        text = str(value)
    except Exception as error:  # noqa: BLE001 - foreign code
        text = f"(no text: {type(error).__name__})"
    return "".join(c if c.isspace() else visible_text(c) for c in text)


def cell_volume(structures: Structures) -> float | None:
    """Return the volume of the cell of one structure, Å³; None where it is not periodic in one."""
    cell = structures.cell[0].detach().cpu().double()
    volume = float(torch.linalg.det(cell).abs())
    return volume if bool(structures.pbc.any()) and volume > MIN_CELL_VOLUME else None


def evaluation_limits(evaluator: object) -> dict[str, Any]:
    """Return the limits of energy and force that an evaluator sets, else the default ones."""
    limits = {
        "maximum_energy": getattr(evaluator, "maximum_energy", MAX_ENERGY_PER_ATOM),
        "maximum_force": getattr(evaluator, "maximum_force", MAX_FORCE),
    }
    valid_range = getattr(evaluator, "valid_range", None)
    return limits if valid_range is None else {**limits, "valid_range": valid_range}


def check_evaluation(
    evaluation: Evaluation,
    n_atoms: int,
    *,
    volume: float | None = None,
    maximum_energy: float = MAX_ENERGY_PER_ATOM,
    maximum_force: float = MAX_FORCE,
    valid_range: ValidRange | None = None,
) -> Evaluation | Failure:
    """Return the evaluation in plain float64 on the CPU, or the reason why it is invalid.

    A stress may be given as a symmetric matrix `[3, 3]`, too. Where there is no cell it is dropped.

    Args:
        evaluation: Result of an evaluator.
        n_atoms: Number of atoms of the structure.
        volume: Volume of the cell of the structure, Å³; None where there is no cell.
        maximum_energy: Limit of |energy|, and of |stress| times volume, in eV per atom.
        maximum_force: Limit of the force on an atom in eV/Å.
        valid_range: Least and greatest valid energy, eV per atom, None where there is no bound;
            None for no bounds.
    """
    seconds = _positive_seconds(evaluation.seconds)
    try:
        energy = None if evaluation.energy is None else _to_float(evaluation.energy)
        forces = evaluation.forces
        forces = None if forces is None else torch.from_numpy(_to_float64(forces).copy())
        stress = evaluation.stress
        stress = None if stress is None else _voigt_stress(_to_float64(stress))
        properties = {_text(k): _to_float(v) for k, v in evaluation.properties.items()}
        provenance = {_text(k): _text(v) for k, v in evaluation.provenance.items()}
    except Exception as error:  # noqa: BLE001 - values and attributes of foreign classes
        reason = f"the evaluator returned something that is not a number: {_text(error)}"
        return Failure(_shorten_line(reason), seconds=seconds)
    reason = "" if properties else "the evaluator returned no energy"
    if energy is not None:
        reason = _invalid_energy_reason(energy, n_atoms, maximum_energy, valid_range)
    if not reason and forces is not None:
        reason = _invalid_forces_reason(forces, n_atoms, maximum_force)
    if not reason and stress is not None:
        reason = _invalid_stress_reason(stress, (volume or 0.0) / n_atoms, maximum_energy)
    if reason:
        return Failure(reason, seconds=seconds)
    stress = None if volume is None else stress
    return Evaluation(energy, forces, properties, seconds, provenance, stress)


def _positive_seconds(value: float) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _to_float(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    # Not float(value): numpy warns of arrays of one number and takes them.
    number = _to_float64(value)
    if number.size != 1:
        raise ValueError(f"an array of shape {list(number.shape)}")
    return float(number.reshape(-1)[0])


def _to_float64(value: object) -> NDArray[np.float64]:
    """Return numbers as float64, without a value that numpy or torch would make up.

    Raises:
        ValueError: they are complex, masked, or no numbers.
    """
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if np.ma.is_masked(value) or value is np.ma.masked:
        raise ValueError("a masked value")
    array = np.asarray(value)
    if array.dtype.kind == "c":
        raise ValueError("a complex number")
    if array.dtype.kind not in "fiuO":
        raise ValueError(f"an array of {array.dtype}")
    if array.dtype.kind == "O" and not all(isinstance(x, Real | Decimal) for x in array.flat):
        raise ValueError("objects that are no real numbers")
    return np.ascontiguousarray(array, dtype=np.float64)


def _invalid_energy_reason(
    energy: float, n_atoms: int, limit: float, valid_range: ValidRange | None
) -> str:
    if not math.isfinite(energy):
        return f"the energy is not finite: {energy} eV"
    if abs(energy) > limit * n_atoms:
        return (
            f"the energy is absurd: {energy:g} eV for {n_atoms} atoms is more than "
            f"{limit:g} eV per atom"
        )
    violation = range_violation(energy / n_atoms, valid_range)
    return f"the energy per atom is not valid: {violation} eV per atom" if violation else ""


def _invalid_forces_reason(forces: Tensor, n_atoms: int, limit: float) -> str:
    if tuple(forces.shape) != (n_atoms, 3):
        return f"the forces have the wrong shape: {list(forces.shape)}, not [{n_atoms}, 3]"
    n_broken = int((~forces.isfinite()).any(dim=1).sum())
    if n_broken:
        return f"the forces on {n_broken} of {n_atoms} atoms are not finite"
    largest = float(forces.norm(dim=1).max())
    if largest > limit:
        return f"the forces are absurd: {largest:g} eV/Å on one atom is more than {limit:g} eV/Å"
    return ""


def _voigt_stress(stress: NDArray[np.float64]) -> Tensor:
    """Return a symmetric matrix `[3, 3]` as its six components, anything else as it is.

    Raises:
        ValueError: the matrix is not symmetric.
    """
    if stress.shape == (3, 3):
        tolerance = STRESS_ROUNDING + SYMMETRY_TOLERANCE * np.abs(stress).max()
        if np.isfinite(stress).all() and np.abs(stress - stress.T).max() > tolerance:
            raise ValueError("a stress that is not symmetric")
        stress = ((stress + stress.T) / 2).take((0, 4, 8, 5, 2, 1))
    return torch.from_numpy(stress.copy())


def _invalid_stress_reason(stress: Tensor, volume_per_atom: float, limit: float) -> str:
    if tuple(stress.shape) != (6,):
        return f"the stress has the wrong shape: {list(stress.shape)}, not [6] or [3, 3]"
    if not bool(stress.isfinite().all()):
        return "the stress is not finite"
    largest = float(stress.abs().max())
    if largest * volume_per_atom > limit:
        return (
            f"the stress is absurd: {largest:g} eV/Å³ on {volume_per_atom:g} Å³ per atom is more "
            f"than {limit:g} eV per atom"
        )
    return ""


def _shorten_line(text: str, length: int = 500) -> str:
    """Return one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
