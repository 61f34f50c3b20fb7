"""JSON storage of calibrations."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, Self

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message


class JsonSerializable:
    """Dataclass that is stored as JSON: its class name and all of its fields.

    Tensors are stored as lists and restored as float64 tensors on the CPU.
    """

    def to_json(self) -> str:
        """Return all fields as JSON, to be stored beside the model."""
        return json.dumps({"type": type(self).__name__, **self._to_plain_fields()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the object that `to_json` wrote.

        Raises:
            InputError: the text is not JSON, or holds another class.
        """
        try:
            stored = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(error_message("text", "be JSON", repr(text[:40]))) from error
        names = {"type", *(field.name for field in fields(cls))}  # type: ignore[arg-type]
        if not isinstance(stored, dict) or set(stored) != names or stored["type"] != cls.__name__:
            condition = f"be a stored {cls.__name__}"
            raise InputError(error_message("text", condition, repr(text[:40])))
        return cls(**cls._from_plain_fields(stored))

    def _to_plain_fields(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {k: v.tolist() if isinstance(v, Tensor) else v for k, v in values.items()}

    @classmethod
    def _from_plain_fields(cls, stored: dict[str, Any]) -> dict[str, Any]:
        return {
            field.name: torch.tensor(stored[field.name], dtype=torch.float64)
            if "Tensor" in str(field.type) and stored[field.name] is not None
            else stored[field.name]
            for field in fields(cls)  # type: ignore[arg-type]
        }
