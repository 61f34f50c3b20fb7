"""Predicted energies of a batch of structures, latent and noise variance kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, final

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message

VarianceKind = Literal["latent", "observed"]
"""Variance of the noise-free value, or of a noisy label."""

MEMBER_FIELDS = ("members", "member_forces")  # structures or atoms are their second dimension


@final
@dataclass(frozen=True, eq=False)
class Prediction:
    """Energies of b structures and of their n atoms, with uncertainties.

    Attributes:
        mean: `[b]` eV, predicted energies.
        variance: `[b]` eV², of the noise-free energy (latent).
        noise_variance: `[b]` eV², scatter of a measured energy around the noise-free one.
        forces: `[n, 3]` eV/Å, minus the gradient of `mean`.
        atomic_energies: `[n]` eV, contribution of each atom's environment to `mean`.
        covariance: `[b, b]` eV², latent, between the structures; optional.
        force_variance: `[n, 3]` (eV/Å)², latent; optional.
        force_noise_variance: `[n, 3]` (eV/Å)², scatter of a measured force component around the
            latent one; None where it is not known.
        stress: `[b, 6]` eV/Å³, derivative of `mean` by the strain over the volume of the cell, in
            Voigt's order, positive under tension; NaN for structures that have none, see `strain`;
            None without any, or where it is not predicted.
        stress_variance: `[b, 6]` (eV/Å³)², latent; optional.
        stress_noise_variance: `[b, 6]` (eV/Å³)², scatter of a measured component around the latent
            one; None where it is not known.
        members: `[M, b]` eV, energies predicted by each of M ensemble members; optional.
        member_forces: `[M, n, 3]` eV/Å, minus the gradients of `members`; optional.
    """

    mean: Tensor
    variance: Tensor
    noise_variance: Tensor
    forces: Tensor | None = None
    atomic_energies: Tensor | None = None
    covariance: Tensor | None = None
    force_variance: Tensor | None = None
    force_noise_variance: Tensor | None = None
    stress: Tensor | None = None
    stress_variance: Tensor | None = None
    stress_noise_variance: Tensor | None = None
    members: Tensor | None = None
    member_forces: Tensor | None = None

    @property
    def predictive_variance(self) -> Tensor:
        """Variance of a measured energy, latent plus noise, `[b]` eV²."""
        return self.variance + self.noise_variance

    @property
    def predictive_force_variance(self) -> Tensor | None:
        """Variance of a measured force, latent plus noise, `[n, 3]` (eV/Å)².

        The latent one alone where the noise is not known; None where there is none.
        """
        return _with_noise(self.force_variance, self.force_noise_variance)

    @property
    def predictive_stress_variance(self) -> Tensor | None:
        """Variance of a measured stress, latent plus noise, `[b, 6]` (eV/Å³)².

        The latent one alone where the noise is not known; None where there is none.
        """
        return _with_noise(self.stress_variance, self.stress_noise_variance)

    @classmethod
    def cat(cls, parts: Sequence[Prediction]) -> Prediction:
        """Return one prediction of all structures in `parts`, in that order.

        Fields that the first part lacks are missing.

        Raises:
            InputError: there are no parts, or they have covariances: those between structures of
                different parts are unknown.
        """
        if not parts:
            raise InputError(error_message("parts", "hold at least one prediction", "none"))
        if any(part.covariance is not None for part in parts):
            hint = "Ask for it once for all structures."
            raise InputError(error_message("parts", "have no covariance", "some", hint))
        joined: dict[str, Tensor] = {
            field.name: torch.cat(
                [getattr(part, field.name) for part in parts], dim=int(field.name in MEMBER_FIELDS)
            )
            for field in fields(cls)
            if getattr(parts[0], field.name) is not None
        }
        return cls(**joined)


def _with_noise(latent: Tensor | None, noise: Tensor | None) -> Tensor | None:
    return latent if latent is None or noise is None else latent + noise
