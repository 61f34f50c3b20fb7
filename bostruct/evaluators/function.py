"""A plain Python function as an evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from bostruct.errors import InputError, error_message
from bostruct.evaluators.base import Evaluation, Failure
from bostruct.runtime.callable_name import qualified_name, to_json_value
from bostruct.structures import Structures, to_ase


@dataclass(frozen=True)
class Function:
    """A function of one `ase.Atoms`.

    Args:
        function: Returns the energy in eV, or the energy and the forces in eV/Å, or an
            `Evaluation` or `Failure`. What it raises becomes a failure.
        arguments: Keyword arguments of the function; part of the campaign's identity.

    >>> Function(len).description()
    {'type': 'Function', 'function': 'builtins.len', 'arguments': {}}
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.function):
            way_out = "It takes one ase.Atoms and returns its energy in eV."
            found = type(self.function).__name__
            raise InputError(error_message("function", "be callable", found, way_out))

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return what the function says of one structure."""
        answer = self.function(to_ase(structures)[0], **self.arguments)
        if isinstance(answer, Evaluation | Failure):
            return answer
        if isinstance(answer, tuple):
            energy, forces = answer
            return Evaluation(energy, None if forces is None else torch.as_tensor(forces))
        return Evaluation(answer)

    def description(self) -> dict[str, Any]:
        """Return what identifies the evaluator, ready for JSON."""
        return {
            "type": "Function",
            "function": qualified_name(self.function),
            "arguments": to_json_value(self.arguments),
        }
