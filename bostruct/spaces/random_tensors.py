"""Random tensors, drawn on the device of the generator and always in float64.

The same generator gives the same numbers whatever dtype and device they are used in.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return numbers uniform between 0 and 1."""
    return torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)


def uniform_between(
    limits: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Return numbers uniform between two limits."""
    low, high = limits
    return low + (high - low) * uniform(shape, generator)


def log_uniform_between(
    limits: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Return numbers between two limits whose logarithms are uniform."""
    low, high = limits
    return torch.exp(uniform_between((math.log(low), math.log(high)), shape, generator))


def normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return standard normal numbers."""
    return torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64)


def unit_vectors(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return unit vectors uniform on the sphere, `[*shape, 3]`."""
    vectors = normal((*shape, 3), generator)
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / lengths


def sample_categorical(log_weights: Tensor, generator: torch.Generator) -> Tensor:
    """Return a column of each row, with probability ∝ exp(log weight), `[...]` int64."""
    # Gumbel-max: the largest log weight plus Gumbel noise is distributed so
    u = uniform(tuple(log_weights.shape), generator).to(log_weights.device)
    noise = -(-u.clamp(min=1e-300).log()).clamp(min=1e-300).log()
    return (log_weights + noise).argmax(-1)
