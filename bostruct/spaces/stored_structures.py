"""Structures of a space of which its description holds a digest, kept so that it can be rebuilt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self, final, runtime_checkable

import safetensors
import safetensors.torch
import torch

from bostruct.errors import InputError, error_message
from bostruct.structures import Structures

NAMES_KEY = "names"


@final
@dataclass(frozen=True, eq=False)
class StoredStructures:
    """Structures that a space is made of.

    Attributes:
        structures: Structures in the order of the space, on the CPU.
        names: Names of the structures; none where the space has none.
    """

    structures: Structures
    names: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the structures as safetensors; equal ones give equal bytes."""
        tensors = {
            field.name: value.contiguous()
            for field in fields(Structures)
            if (value := getattr(self.structures, field.name)) is not None
        }
        return safetensors.torch.save(tensors, {NAMES_KEY: json.dumps(self.names)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the structures in safetensors.

        Raises:
            InputError: the bytes are not those of structures.
        """
        try:
            tensors = safetensors.torch.load(data)
            length = int.from_bytes(data[:8], "little")
            names = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][NAMES_KEY])
            return cls(Structures(**tensors), tuple(map(str, names)))
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(error_message("data", "be structures", reason)) from error


@runtime_checkable
class SupportsStoredStructures(Protocol):
    """Space whose description holds a digest of its structures."""

    def stored_structures(self) -> StoredStructures:
        """Return the structures from which, with its description, the space can be rebuilt."""
        ...


def without_type(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return constructor arguments from a description, in which JSON has null for infinity."""
    arguments = {name: value for name, value in description.items() if name != "type"}
    if arguments.get("max_gap_factor", 0) is None:
        arguments["max_gap_factor"] = torch.inf
    return arguments
