"""Python functions as evaluators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from bostruct.errors import InputError, error_message
from bostruct.evaluators.base import Evaluation, Evaluator, Failure
from bostruct.runtime.callable_name import qualified_name, to_json_value
from bostruct.structures import Structures, to_ase


@dataclass(frozen=True)
class Function:
    """Energies of a function of one `ase.Atoms`.

    Args:
        function: Callable that returns the energy in eV, or the energy and the forces in eV/Å, or
            these and the stress in eV/Å³ (six components in ASE's order, or a matrix), or
            a dictionary of properties, or an `Evaluation` or `Failure`. In a dictionary "energy",
            "forces" and "stress" have these meanings, where the stress is no single number; in a
            campaign with objectives it may do without them. Exceptions become failures.
        arguments: Keyword arguments of the function; part of the campaign's identity.

    >>> Function(len).description()
    {'type': 'Function', 'function': 'builtins.len', 'arguments': {}}
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.function):
            value = type(self.function).__name__
            way_out = "It takes one ase.Atoms and returns its energy in eV."
            raise InputError(error_message("function", "be callable", value, way_out))
        is_calculator = hasattr(self.function, "get_potential_energy")
        if is_calculator or isinstance(self.function, Evaluator):
            value = qualified_name(self.function) if is_calculator else type(self.function).__name__
            name = value.rpartition(".")[2]
            way_out = "It is an evaluator: use it as it is."
            if is_calculator:
                way_out = f"Calculator({name}, ...) computes with it."
            condition = "be a function of one ase.Atoms"
            raise InputError(error_message("function", condition, value, way_out))

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return the value of the function at one structure."""
        result = self.function(to_ase(structures)[0], **self.arguments)
        if isinstance(result, Evaluation | Failure):
            return result
        properties: dict[str, Any] = {}
        if isinstance(result, Mapping):
            properties = dict(result)
            energy, forces = properties.pop("energy", None), properties.pop("forces", None)
            has_stress = np.ndim(properties.get("stress", 0.0)) > 0
            stress = properties.pop("stress") if has_stress else None
        elif result is None:
            raise TypeError("the function returned None, not an energy")
        else:
            given = result if isinstance(result, tuple) else (result, None)
            energy, forces, stress = given if len(given) == 3 else (*given, None)
        F = None if forces is None else torch.as_tensor(forces)
        return Evaluation(energy, F, properties, stress=stress)

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the evaluator, as JSON values."""
        return {
            "type": "Function",
            "function": qualified_name(self.function),
            "arguments": to_json_value(self.arguments),
        }
