"""Networks that predict a standard deviation beside the energy (rows U11 and U12).

Notation, with equation numbers of [G25]
    e   [M, b]   1   errors of energies, over the root of the atoms and the scale
    t2  [M, b]   1   predicted variances in the same units
    g   [M, ..]  1   errors of forces over the scale

    loss = sum 2 t2^beta nll(e, t2) <t2>^(1 - beta) + sum g²                 (19)

where t2^beta and the mean <t2> count as constants: these factors keep the share of the energies in
the loss as it is without variances. In the first part of the training the mean is trained by
squared errors alone and the variance by what remains of them, so that no large variance excuses a
wrong mean; and the variance never trains the hidden layers. In the end the mean stays as it is and
the last layer of the standard deviation goes to the minimum of nll(e, t2) + h |std_weights|² / 2,
as it lags behind the shrinking errors until then.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from bostruct.surrogates.networks.dataset import TrainingSet
from bostruct.surrogates.networks.ensemble import NetworkEnsemble
from bostruct.surrogates.networks.featurizer import Featurizer
from bostruct.surrogates.networks.network import NetworkWeights, check_members
from bostruct.surrogates.networks.network_surrogate import NetworkSurrogate
from bostruct.surrogates.networks.training import (
    LossFunction,
    NetworkOutput,
    forward,
    scaled_errors,
    train,
)
from bostruct.uncertainty import beta_nll, gaussian_nll
from bostruct.uncertainty.ensembles.likelihood import check_beta, check_ddof

WARMUP_FRACTION = 0.5  # of the training, with the squared loss of the mean
MAX_LBFGS_ITERATIONS = 100  # of L-BFGS
MIN_RELATIVE_STD = 1e-3  # of the scale per root atom, floor of the standard deviation


@final
@dataclass(frozen=True)
class MeanVariance(NetworkSurrogate):
    """One network with two outputs: the energy and its standard deviation (19).

    Energies of one evaluator can be repeated, so the error is the model's own: the predicted
    variance counts as latent, and the noise is its floor alone. It belongs to each structure alone:
    no covariance, and no variance of forces. Far from the data nothing makes it grow. Forces are
    trained by their squared errors.

    Attributes:
        network: Settings of the network and of its training.
        beta: From 0, the likelihood itself, to 1, for which the mean is trained as if all variances
            were equal (Seitzer et al., ICLR 2022).

    Raises:
        InputError: beta is out of range.
    """

    beta: float = 0.5

    def __post_init__(self) -> None:
        check_beta(self.beta)

    def train(
        self, featurizer: Featurizer, training_set: TrainingSet, generator: torch.Generator
    ) -> NetworkEnsemble:
        """Return the trained network, an ensemble of one."""
        weights = self.initial_weights(featurizer, generator)
        return _train(self, featurizer, training_set, weights, self.beta, generator, ddof=0)


@final
@dataclass(frozen=True)
class DeepEnsemble(NetworkSurrogate):
    """Several `MeanVariance` networks from different first weights, eq. 20.

    The variance is that between the members, shared by structures that are alike, and the mean of
    their predicted variances, each structure's own. Lakshminarayanan et al., NIPS 2017. The
    variances count as latent, as in `MeanVariance`.

    Attributes:
        network: Settings of each network and of its training.
        n_members: Number of members M, at least 2.
        beta: From 0, the likelihood itself, to 1, for which the mean is trained as if all variances
            were equal (Seitzer et al., ICLR 2022).
        ddof: 1 for the divisor M - 1 of (20), 0 for M: the variance of the mixture of the members'
            Gaussians.

    Raises:
        InputError: fewer than 2 members, or beta or ddof is out of range.
    """

    n_members: int = 5
    beta: float = 0.5
    ddof: int = 1

    def __post_init__(self) -> None:
        check_members(self.n_members)
        check_beta(self.beta)
        check_ddof(self.ddof)

    def train(
        self, featurizer: Featurizer, training_set: TrainingSet, generator: torch.Generator
    ) -> NetworkEnsemble:
        """Return the trained ensemble."""
        M, beta, ddof = self.n_members, self.beta, self.ddof
        weights = self.initial_weights(featurizer, generator, n_backbones=M, n_heads=M)
        return _train(self, featurizer, training_set, weights, beta, generator, ddof=ddof)


def beta_nll_loss(beta: float) -> LossFunction:
    """Return the loss (19)."""

    def loss(output: NetworkOutput, training_set: TrainingSet, progress: float) -> Tensor:
        e, g = scaled_errors(output, training_set)
        t2 = output.energy_std.square() / training_set.counts + MIN_RELATIVE_STD**2
        if progress < WARMUP_FRACTION:
            squares = e.square().sum() + g.square().sum()
            return squares + 2 * beta_nll(e.detach(), t2, 1.0).sum()
        mean_variance = t2.detach().mean(-1, keepdim=True) ** (1 - beta)
        return 2 * (mean_variance * beta_nll(e, t2, beta)).sum() + g.square().sum()

    return loss


def fit_variance_head(weights: NetworkWeights, training_set: TrainingSet) -> NetworkWeights:
    """Return weights with the most probable last layer of the standard deviation."""
    with torch.no_grad():
        hidden = weights.hidden_layers(training_set.inputs, training_set.species_index).second
        errors = [
            scaled_errors(forward(weights, batch), batch)[0]
            for batch in training_set.iter_batches()
        ]
    e2, counts = torch.cat(errors, 1).square(), training_set.counts
    std_weights = weights.std_weights.clone().requires_grad_()
    std_bias = weights.std_bias.clone().requires_grad_()
    lbfgs = torch.optim.LBFGS(
        [std_weights, std_bias], max_iter=MAX_LBFGS_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        lbfgs.zero_grad()
        raw = (hidden @ std_weights.unsqueeze(-1)).squeeze(-1) + std_bias.unsqueeze(-1)
        std = torch.nn.functional.softplus(raw)
        total = std.new_zeros(e2.shape).index_add(1, training_set.index, std)
        t2 = total.square() / counts + MIN_RELATIVE_STD**2
        penalty = std_weights.shape[1] / 2 * std_weights.square().sum()
        loss = gaussian_nll(e2.sqrt(), t2).sum() + penalty
        loss.backward()
        return loss

    with torch.enable_grad():
        lbfgs.step(closure)
    return replace(weights, std_weights=std_weights.detach(), std_bias=std_bias.detach())


def _train(
    surrogate: NetworkSurrogate,
    featurizer: Featurizer,
    training_set: TrainingSet,
    weights: NetworkWeights,
    beta: float,
    generator: torch.Generator,
    *,
    ddof: int,
) -> NetworkEnsemble:
    """Return the ensemble trained by the loss (19) from its first weights."""
    loss = beta_nll_loss(beta)
    weights = train(weights, surrogate.network, training_set, loss, generator)
    return NetworkEnsemble.from_training(
        featurizer,
        fit_variance_head(weights, training_set),
        training_set,
        loss,
        ddof=ddof,
        predicts_variance=True,
        noise_floor=MIN_RELATIVE_STD,
    )
