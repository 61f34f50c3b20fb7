"""Words among tensors: what a state says beside its numbers."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor


def encode_header(value: dict[str, Any]) -> Tensor:
    """Return JSON values as bytes, uint8 `[n]`."""
    return torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8)


def decode_header(tensor: Tensor) -> dict[str, Any]:
    """Return what `header` was given."""
    found: dict[str, Any] = json.loads(bytes(tensor.tolist()))
    return found
