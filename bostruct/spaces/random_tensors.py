"""Random numbers, drawn where the generator lives and always in float64.

So the same generator gives the same numbers whatever they are used for.
"""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return numbers uniform between 0 and 1."""
    device = generator.device
    return torch.rand(shape, generator=generator, device=device, dtype=torch.float64)


def normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return standard normal numbers."""
    device = generator.device
    return torch.randn(shape, generator=generator, device=device, dtype=torch.float64)


def unit_vectors(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return unit vectors uniform on the sphere, `[*shape, 3]`."""
    drawn = normal((*shape, 3), generator)
    length: Tensor = torch.linalg.vector_norm(drawn, dim=-1, keepdim=True)
    return drawn / length


def sample_categorical(log_weights: Tensor, generator: torch.Generator) -> Tensor:
    """Return one column of each row, with probability ∝ exp(weight), `[...]` int64."""
    # the place of the largest weight is distributed so once Gumbel noise is added
    drawn = uniform(tuple(log_weights.shape), generator).to(log_weights.device)
    noise = -(-drawn.clamp(min=1e-300).log()).clamp(min=1e-300).log()
    return (log_weights + noise).argmax(-1)
