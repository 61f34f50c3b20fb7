"""What a model says about a batch of structures, latent and noisy kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class Prediction:
    """Energies of b structures and of their n atoms, with uncertainties.

    Attributes:
        mean: `[b]` eV.
        variance: `[b]` eV², of the noise-free energy (latent).
        noise: `[b]` eV², what a measured energy scatters around the noise-free one.
        forces: `[n, 3]` eV/Å, minus the slope of `mean`.
        local: `[n]` eV, the share of `mean` that each atom's environment carries.
        covariance: `[b, b]` eV², latent, between the structures; if asked for.
        force_variance: `[n, 3]` (eV/Å)², latent; if asked for.
    """

    mean: Tensor
    variance: Tensor
    noise: Tensor
    forces: Tensor | None = None
    local: Tensor | None = None
    covariance: Tensor | None = None
    force_variance: Tensor | None = None

    @property
    def observed(self) -> Tensor:
        """Variance of a measured energy, latent plus noise, `[b]` eV²."""
        return self.variance + self.noise
