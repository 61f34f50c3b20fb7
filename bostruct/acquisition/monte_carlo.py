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

from bostruct.errors import InputError, error_message

# How many samples decide which observed structures may still be the best one.
N_PRUNING_SAMPLES = 2048


def negate_energy(samples: Tensor, X: Tensor | None = None) -> Tensor:
    """Return the utilities `[s, b, q]` of sampled energies `[s, b, q, 1]` eV."""
    return -samples[..., 0]


def energy_objective() -> MCAcquisitionObjective:
    """Return the objective that turns energies into utilities."""
    return GenericMCObjective(negate_energy)


def sobol_sampler(n_samples: int, seed: int) -> SobolQMCNormalSampler:
    """Return a quasi-random normal sampler with its own seed."""
    return SobolQMCNormalSampler(torch.Size([n_samples]), seed=seed)


def mc_arguments(n_samples: int, seed: int, X_pending: Tensor | None) -> dict[str, Any]:
    """Return the arguments that every Monte-Carlo form takes."""
    if X_pending is not None and X_pending.numel() == 0:
        X_pending = None
    return {
        "sampler": sobol_sampler(n_samples, seed),
        "objective": energy_objective(),
        "X_pending": X_pending,
    }


def pruned_baseline(
    acquisition: object, model: Model, X_baseline: Tensor | None, seed: int
) -> Tensor:
    """Return the observed structures that may be the best one, `[<= t, d]`.

    BoTorch's own pruning draws its seed from the global generator; this one does not.

    Raises:
        InputError: nothing was observed.
    """
    if X_baseline is None or X_baseline.numel() == 0:
        name = type(acquisition).__name__
        way_out = f"{name} compares with what was evaluated: pass its X [t, d]."
        raise InputError(error_message("X_baseline", "hold a structure", X_baseline, way_out))
    kept: Tensor = prune_inferior_points(
        model=model,
        X=X_baseline,
        objective=energy_objective(),
        sampler=sobol_sampler(N_PRUNING_SAMPLES, seed),
    )
    return kept
