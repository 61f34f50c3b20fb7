"""Enthalpy E + p V of structures whose cell varies: what a campaign minimizes under a pressure.

Energies in the log remain energies. The term p V of a trial is one of its properties, so that a
reader needs no space for it; without a pressure there is none, and the enthalpy is the energy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.evaluators import Evaluation
from bostruct.spaces import Space
from bostruct.spaces.coordinates.coordinate_domain import SupportsDomain

PRESSURE_ENERGY = "pressure_volume_eV"
"""Name of the property p V of a trial, eV."""


@runtime_checkable
class SupportsPressure(Protocol):
    """Space of structures whose cell varies, under a pressure."""

    @property
    def pressure(self) -> float:
        """Pressure, eV/Å³."""
        ...


class HasEnergy(Protocol):
    """Object with an energy and properties: an `Evaluation`, or a trial of a log."""

    @property
    def energy(self) -> float | None:
        """Energy, eV."""
        ...

    @property
    def properties(self) -> Mapping[str, float]:
        """Numbers by name."""
        ...


class HasStress(HasEnergy, Protocol):
    """Object with an energy and perhaps a stress."""

    @property
    def stress(self) -> Tensor | None:
        """Stress, `[6]` eV/Å³, or None."""
        ...


def is_crystal(space: Space) -> bool:
    """Return whether the structures of a space are crystals or layers, whatever describes them."""
    return isinstance(space, SupportsPressure)


def has_variable_cell(space: Space) -> bool:
    """Return whether the cell of the structures of a space varies."""
    return is_crystal(space) and getattr(space, "n_cell_coordinates", 1) > 0


def needs_stress(space: Space) -> bool:
    """Return whether stresses are of use, as the cell varies in a crystal or with coordinates."""
    if isinstance(space, SupportsDomain):
        return bool(getattr(space, "has_variable_cell", False))
    return has_variable_cell(space)


def has_any_cell(space: Space) -> bool:
    """Return whether all lattice vectors vary, so that crystals have cells of any size."""
    return is_crystal(space) and getattr(space, "n_cell_coordinates", 6) == 6


def pressure_of(space: Space | None) -> float:
    """Return the pressure under which the structures of a space are sought, eV/Å³."""
    return float(space.pressure) if isinstance(space, SupportsPressure) else 0.0


def check_pressure_supported(space: Space, evaluator: object) -> None:
    """Refuse a pressure with an evaluator that is known to return no stress.

    Raises:
        InputError: it does not.
    """
    factory = getattr(evaluator, "factory", None)
    properties = getattr(factory, "implemented_properties", ("stress",))
    has_stress = getattr(evaluator, "with_stress", True) and "stress" in properties
    if pressure_of(space) and not has_stress:
        raise InputError(missing_stress_message("one without"))


def missing_stress_message(value: str) -> str:
    """Return the error sentence for an evaluator without stresses under a pressure."""
    hint = "Leave `pressure` out, or return the stress."
    condition = "return stresses where the space has a pressure"
    return error_message("evaluator", condition, value, hint)


def missing_stress_sentence(space: Space, trials: Sequence[HasStress]) -> str:
    """Return the sentence on a variable cell without stresses, "" where there are some.

    Args:
        space: Space of the campaign.
        trials: All trials.
    """
    known = [trial for trial in trials if trial.energy is not None]
    if not known or not has_variable_cell(space) or any(t.stress is not None for t in known):
        return ""
    return (
        "the evaluator returned no stress: the cell is learnt from energies and forces alone, "
        "which takes more energies"
    )


def pressure_energy(space: Space, X: Tensor) -> Tensor:
    """Return p V at X `[..., d]`, `[...]` eV, differentiable in X."""
    volume: Tensor = torch.linalg.det(space.decode(X).cell).abs().reshape(X.shape[:-1])
    return pressure_of(space) * volume


def enthalpy_of(outcome: HasEnergy) -> float | None:
    """Return the enthalpy of a result, eV; the energy without a pressure, None without one."""
    if outcome.energy is None or PRESSURE_ENERGY not in outcome.properties:
        return outcome.energy
    return outcome.energy + outcome.properties[PRESSURE_ENERGY]


def with_pressure_energy(evaluation: Evaluation, space: Space, x: Tensor) -> Evaluation:
    """Return a result with p V among its properties, where there is a pressure.

    Args:
        evaluation: Result of the evaluator.
        space: Space of the campaign.
        x: `[d]` coordinates of the structure.
    """
    properties = {k: v for k, v in evaluation.properties.items() if k != PRESSURE_ENERGY}
    if pressure_of(space):
        properties[PRESSURE_ENERGY] = float(pressure_energy(space, x))
    return replace(evaluation, properties=properties)
