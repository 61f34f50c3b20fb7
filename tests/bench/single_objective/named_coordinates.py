"""Task of two named coordinates whose lowest energy is known."""

from __future__ import annotations

import math

import numpy as np
import torch
from ase import Atoms

import bostruct as bo
from bostruct.bench import Task


def bent(x: torch.Tensor) -> torch.Tensor:
    """Return the positions of three nitrogen atoms, a distance and an angle apart."""
    zero = torch.zeros_like(x[0])
    first = torch.stack((x[0], zero, zero))
    third = 1.3 * torch.stack((x[1].cos(), x[1].sin(), zero))
    return torch.stack((first, torch.zeros(3, dtype=x.dtype), third))


def springs(atoms: Atoms) -> tuple[float, np.ndarray]:
    """Return energy and forces with minima at 1.4 Å and at ±100°."""
    r = atoms.positions[0, 0]
    c = atoms.positions[2, 0] / 1.3
    low = math.cos(math.radians(100))
    forces = np.zeros((3, 3))
    forces[0, 0] = -4 * (r - 1.4)
    forces[2, 0] = -2 * (c - low) / 1.3
    return 2 * (r - 1.4) ** 2 + (c - low) ** 2, forces


TASK = Task(
    "bent",
    lambda: bo.spaces.Coordinates(
        bent,
        {"r": (1.1, 2.0), "angle": (-math.pi, math.pi)},
        ["angle"],
        atoms=Atoms("N3", np.zeros((3, 3))),
    ),
    bo.evaluators.Function(springs),
    0.0,
    1e-3,
)
