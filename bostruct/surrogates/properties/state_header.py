"""JSON values as bytes among the tensors of a state, and states within a state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def encode_header(value: dict[str, Any]) -> Tensor:
    """Return JSON values as bytes, uint8 `[n]`."""
    return torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8)


def decode_header(tensor: Tensor) -> dict[str, Any]:
    """Return the JSON values of `encode_header`."""
    value: dict[str, Any] = json.loads(bytes(tensor.tolist()))
    return value


def tensors_under(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
