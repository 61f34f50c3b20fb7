"""Sign, samples and pending candidates of the Monte-Carlo acquisitions of one energy.

Nothing here touches torch's global generator, so that a resumed run is the same run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from botorch.acquisition.objective import GenericMCObjective
from botorch.acquisition.utils import prune_inferior_points
from botorch.sampling.normal import SobolQMCNormalSampler
from torch import Tensor

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.base import BotorchAcquisition, check_context
from bostruct.errors import InputError, check_count, error_message

N_PRUNING_SAMPLES = 2048
"""Posterior samples that decide which evaluated structures may be the best one."""


class MonteCarloAcquisition(BotorchAcquisition):
    """Base of the acquisitions that average over `n_samples` quasi-random samples of `q` energies.

    Raises:
        InputError: There are no samples.
    """

    n_samples: int
    supports_q_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("n_samples", self.n_samples)

    def arguments(self, context: AcquisitionContext) -> dict[str, Any]:
        """Return model, sampler, objective and pending candidates of BoTorch's constructors."""
        check_context(self, context)
        return {
            "model": context.model,
            "sampler": sobol_sampler(self.n_samples, context.seed),
            "objective": GenericMCObjective(negate_energy),
            "X_pending": context.X_pending,
        }


@dataclass(frozen=True)
class MultiObjectiveMonteCarlo(MonteCarloAcquisition):
    """Base of those of several objectives and constraints."""

    n_samples: int = 128
    supports_multi_objective: ClassVar[bool] = True


def negate_energy(samples: Tensor, X: Tensor | None = None) -> Tensor:
    """Return the utilities `[s, b, q]` of sampled energies `[s, b, q, 1]` eV."""
    return -samples[..., 0]


def sobol_sampler(n_samples: int, seed: int) -> SobolQMCNormalSampler:
    """Return a quasi-random normal sampler with its own seed."""
    return SobolQMCNormalSampler(torch.Size([n_samples]), seed=seed)


def pruned_baseline(acquisition: object, context: AcquisitionContext) -> Tensor:
    """Return the evaluated structures that may be the best one, `[<= t, d]`.

    BoTorch's own pruning draws its seed from the global generator; this one does not.

    Raises:
        InputError: Nothing was evaluated.
    """
    X = context.X_baseline
    if X is None or X.numel() == 0:
        way_out = f"{type(acquisition).__name__} compares with the evaluated structures, [t, d]."
        raise InputError(error_message("X_baseline", "hold a structure", X, way_out))
    kept: Tensor = prune_inferior_points(
        model=context.model,
        X=X,
        objective=GenericMCObjective(negate_energy),
        sampler=sobol_sampler(N_PRUNING_SAMPLES, context.seed),
    )
    return kept
