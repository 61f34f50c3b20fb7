"""What the Monte-Carlo forms share: the sign, the samples and the pending candidates.

Nothing here touches torch's global generator, so that a resumed run is the same run.
"""

from __future__ import annotations

from typing import Any

import torch
from botorch.acquisition.objective import GenericMCObjective, MCAcquisitionObjective
from botorch.acquisition.utils import prune_inferior_points
from botorch.models.model import Model
from botorch.sampling.normal import SobolQMCNormalSampler
from torch import Tensor

from bostruct.errors import InputError, must

# How many samples decide which observed structures may still be the best one.
PRUNING_SAMPLES = 2048


def utility(samples: Tensor, X: Tensor | None = None) -> Tensor:
    """Return the utilities `[s, b, q]` of sampled energies `[s, b, q, 1]` eV."""
    return -samples[..., 0]


def objective() -> MCAcquisitionObjective:
    """Return the objective that turns energies into utilities."""
    return GenericMCObjective(utility)


def sampler(samples: int, seed: int) -> SobolQMCNormalSampler:
    """Return a quasi-random normal sampler with its own seed."""
    return SobolQMCNormalSampler(torch.Size([samples]), seed=seed)


def common(samples: int, seed: int, pending: Tensor | None) -> dict[str, Any]:
    """Return the arguments that every Monte-Carlo form takes."""
    if pending is not None and pending.numel() == 0:
        pending = None
    return {
        "sampler": sampler(samples, seed),
        "objective": objective(),
        "X_pending": pending,
    }


def baseline(
    acquisition: object, model: Model, observed: Tensor | None, seed: int
) -> Tensor:
    """Return the observed structures that may be the best one, `[<= t, d]`.

    BoTorch's own pruning draws its seed from the global generator; this one does not.

    Raises:
        InputError: nothing was observed.
    """
    if observed is None or observed.numel() == 0:
        name = type(acquisition).__name__
        way_out = f"{name} compares with what was evaluated: pass its X [t, d]."
        raise InputError(must("observed", "hold a structure", observed, way_out))
    kept: Tensor = prune_inferior_points(
        model=model,
        X=observed,
        objective=objective(),
        sampler=sampler(PRUNING_SAMPLES, seed),
    )
    return kept
