"""One network with many last layers, trained by their variance (row U13).

Notation, with equation numbers of [G25]
    M        heads
    m, s2    mean and variance (divisor M - 1) of the heads        (17), (18)
    e, g     errors of the mean m for energies (over the root of the atoms) and forces

    loss = sum 2 v_e^beta nll(e, v_e) <v_e>^(1 - beta) + the same for forces

with v = s2 and the square of a floor, so that heads that agree have a finite loss. It includes
forces: energies alone leave the variance of forces undetermined.

Kellner and Ceriotti, Mach. Learn.: Sci. Technol. 2024, 5, 035006; [G25]: Grasselli et al., Digital
Discovery 2025, 4, 2654, section 2.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.surrogates.networks.dataset import TrainingSet
from bostruct.surrogates.networks.ensemble import NetworkEnsemble
from bostruct.surrogates.networks.featurizer import Featurizer
from bostruct.surrogates.networks.network import check_members
from bostruct.surrogates.networks.network_surrogate import NetworkSurrogate
from bostruct.surrogates.networks.training import (
    LossFunction,
    NetworkOutput,
    scaled_errors,
    train,
)
from bostruct.uncertainty import beta_nll
from bostruct.uncertainty.ensembles.likelihood import check_beta

WARMUP_FRACTION = 0.3  # of the training, with the squared loss of every head
MIN_RELATIVE_STDS = (1e-3, 3e-3)  # of the scale: floors of energies and forces


@final
@dataclass(frozen=True)
class ShallowEnsemble(NetworkSurrogate):
    """One network with M last layers whose variance is trained to be their squared error.

    Hidden layers are shared, so that a prediction costs little more than one network's; training
    costs a backward pass for the forces of each head. The variance counts as latent, since energies
    of one evaluator can be repeated; the noise is the floor alone.

    Attributes:
        network: Settings of the network and of its training.
        n_members: Number of heads M, at least 2. The variance of M heads scatters by a factor
            sqrt(2 / (M - 1)).
        beta: From 0, the likelihood itself, to 1, for which the mean is trained as if all variances
            were equal (Seitzer et al., ICLR 2022).

    Raises:
        InputError: fewer than 2 members, or beta is out of range.
    """

    n_members: int = 16
    beta: float = 0.5

    def __post_init__(self) -> None:
        check_members(self.n_members)
        check_beta(self.beta)

    def train(
        self, featurizer: Featurizer, training_set: TrainingSet, generator: torch.Generator
    ) -> NetworkEnsemble:
        """Return the trained heads."""
        weights = self.initial_weights(featurizer, generator, n_heads=self.n_members)
        loss = ensemble_nll_loss(self.beta)
        weights = train(weights, self.network, training_set, loss, generator)
        return NetworkEnsemble.from_training(
            featurizer, weights, training_set, loss, noise_floor=MIN_RELATIVE_STDS[0]
        )


def ensemble_nll_loss(beta: float) -> LossFunction:
    """Return the loss of the module's docstring."""

    def loss(output: NetworkOutput, training_set: TrainingSet, progress: float) -> Tensor:
        e, g = scaled_errors(output, training_set)
        if progress < WARMUP_FRACTION:
            return (e.square().sum() + g.square().sum()) / len(e)
        g = g[:, training_set.force_mask > 0]
        floors = MIN_RELATIVE_STDS
        return _beta_nll_term(e, floors[0], beta) + _beta_nll_term(g, floors[1], beta)

    return loss


def _beta_nll_term(error: Tensor, floor: float, beta: float) -> Tensor:
    """Return the loss of errors `[M, r]` of heads, a scalar."""
    if not error.numel():
        return error.sum()
    v = error.var(0) + floor**2
    mean_variance = v.detach().mean() ** (1 - beta)
    return 2 * (mean_variance * beta_nll(error.mean(0), v, beta)).sum()
