"""What a model made of weights or of members believes of a batch of structures.

A network with a posterior over its last layer, a committee, a mixture: each gives means
and a root of the covariance between structures, and `BelievedModel` makes a BoTorch
model of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final

from torch import Tensor

from bostruct.structures import Structures


@final
@dataclass(frozen=True, eq=False)
class LowRankPrediction:
    """Energies of b structures, differentiable in their positions.

    The latent covariance between structures is root root^T + diag(own).

    Attributes:
        mean: `[b]` eV.
        covariance_root: `[b, k]` eV; k may be zero. For M members: (members - mean)^T divided by
            the root of M - 1.
        independent_variance: `[b]` eV², latent variance that no other structure shares.
        noise_variance: `[b]` eV², what a measured energy scatters around the noise-free one.
        atomic_energies: `[n]` eV, the share of `mean` of each atom; or None.
        members: `[M, b]` eV, what each member says; or None.
    """

    mean: Tensor
    covariance_root: Tensor
    independent_variance: Tensor
    noise_variance: Tensor
    atomic_energies: Tensor | None = None
    members: Tensor | None = None


class LowRankPredictor(Protocol):
    """Something fitted. Deterministic, and never changes."""

    def predict(self, structures: Structures) -> LowRankPrediction:
        """Return what is believed of b structures.

        Slopes with the positions of fixed atoms are not looked at, and may be wrong.

        Raises:
            InputError: a species it was not trained on.
        """
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers it consists of, by name; none shares its memory."""
        ...

    def hyperparameters(self) -> dict[str, float]:
        """Return named finite numbers for people, units in the names.

        "log_marginal_likelihood" is among them: where there is none, the negative of
        the loss that was minimised.
        """
        ...
