"""Joint predictions whose covariance has low rank: those of weights or of ensemble members.

A network with a posterior over its last layer, a committee, a mixture of experts: each gives means
and a root of the covariance between structures, and `LowRankModel` makes a BoTorch model of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self, final

from torch import Tensor

from bostruct.structures import Structures


@final
@dataclass(frozen=True, eq=False)
class LowRankPrediction:
    """Energies of b structures, differentiable in their positions.

    The latent covariance between structures is R R^T + diag(v).

    Attributes:
        mean: `[b]` eV.
        covariance_root: R, `[b, k]` eV; k may be zero. For M members it is
            (members - mean)^T / sqrt(M - 1).
        independent_variance: v, `[b]` eV², latent variance that no other structure shares.
        noise_variance: `[b]` eV², variance of a measured energy about the noise-free one.
        atomic_energies: `[n]` eV, the contribution of each atom to `mean`; or None.
        members: `[M, b]` eV, the energies of each member; or None.
        force_noise_variance: `[b]` (eV/Å)², variance of a measured force component of a structure
            about the noise-free one; or None.
        energy_scale: `[]` eV, unit of the predictor's energies, which sets the least variance; None
            for none.
    """

    mean: Tensor
    covariance_root: Tensor
    independent_variance: Tensor
    noise_variance: Tensor
    atomic_energies: Tensor | None = None
    members: Tensor | None = None
    force_noise_variance: Tensor | None = None
    energy_scale: Tensor | None = None


class LowRankPredictor(Protocol):
    """A fitted predictor of energies, deterministic; it never changes."""

    def predict(self, structures: Structures) -> LowRankPrediction:
        """Return the joint prediction of b structures.

        Gradients with respect to the positions of fixed atoms are not used, and may be wrong.

        Raises:
            InputError: a species is not in the training data.
        """
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of the predictor by name; none shares memory with another."""
        ...

    @classmethod
    def restore(cls, state: Mapping[str, Tensor]) -> Self:
        """Return the predictor with these tensors."""
        ...

    def hyperparameters(self) -> dict[str, float]:
        """Return named finite numbers to show, units in the names.

        "log_marginal_likelihood" is among them: where there is none, the negative of the
        minimized loss.
        """
        ...
