"""Joint prediction of the best structures by the model of a step, of which differences are taken.

It is logged with the step for the best structures known to it and for those that it selected, so
that nobody has to rebuild the model to read it: tensors `compared.*` of a posterior file, r known
structures before the q selected ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.campaign.records import Step, Trial
from bostruct.surrogates import FittedModel

COMPARED_PREFIX = "compared."
"""Prefix of the logged tensors."""

N_COMPARED = 10
"""Number of the best known structures that are logged, some more than are shown."""


@final
@dataclass(frozen=True, eq=False)
class EnergyComparison:
    """Joint prediction of k energies.

    Attributes:
        mean: `[k]` eV.
        latent_covariance: `[k, k]` eV², of the noise-free energies.
        covariance: `[k, k]` eV², of observed energies.
    """

    mean: Tensor
    latent_covariance: Tensor
    covariance: Tensor

    @classmethod
    def from_model(cls, model: FittedModel, X: Tensor) -> EnergyComparison:
        """Return the prediction of a model at X `[k, d]`."""
        with torch.no_grad():
            latent = model.posterior(X)
            observed = model.posterior(X, observation_noise=True)
        return cls(
            latent.mean.flatten(),
            latent.distribution.covariance_matrix,
            observed.distribution.covariance_matrix,
        )

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], step: Step, trials: Sequence[Trial]
    ) -> EnergyComparison | None:
        """Return the logged prediction of some trials; None where one of them was not logged.

        Args:
            tensors: Tensors of a posterior file.
            step: Step that the file belongs to.
            trials: k trials.
        """
        if f"{COMPARED_PREFIX}trials" not in tensors:
            return None
        known = tensors[f"{COMPARED_PREFIX}trials"].tolist()
        rows = {number: row for row, number in enumerate(known)}
        selected = tensors["chosen.index"].tolist()
        for trial in trials:
            if trial.step == step.number and trial.candidate_index in selected:
                rows[trial.number] = len(known) + selected.index(trial.candidate_index)
        if not all(trial.number in rows for trial in trials):
            return None
        index = torch.tensor([rows[trial.number] for trial in trials])
        mean, latent, covariance = (
            tensors[f"{COMPARED_PREFIX}{name}"]
            for name in ("mean", "latent_covariance", "covariance")
        )
        return cls(mean[index], latent[index][:, index], covariance[index][:, index])

    def tensors(self, trials: Sequence[Trial]) -> dict[str, Tensor]:
        """Return the tensors to log.

        Args:
            trials: Known trials that the first energies are of.
        """
        return {
            f"{COMPARED_PREFIX}trials": torch.tensor([t.number for t in trials]),
            f"{COMPARED_PREFIX}mean": self.mean,
            f"{COMPARED_PREFIX}latent_covariance": self.latent_covariance,
            f"{COMPARED_PREFIX}covariance": self.covariance,
        }
