"""Networks that predict a deviation beside the energy (rows U11 and U12).

Notation, with equation numbers of [G25]
    e   [M, b]   1   errors of energies, over the root of the atoms and the scale
    t2  [M, b]   1   predicted variances in the same units
    g   [M, ..]  1   errors of forces over the scale

    loss = sum 2 t2^beta nll(e, t2) <t2>^(1 - beta) + sum g²                 (19)

where t2^beta and the mean <t2> count as constants: the factors keep the share of the
energies in the loss as it is without variances. In the first part of the training the
mean is taught by squares alone and the variance by what they miss, so that no large
variance excuses a wrong mean; and the variance never teaches the hidden layers. In the
end the mean stays as it is and the last layer of the deviation goes to the minimum of
nll(e, t2) + h |spread|² / 2, which lags behind the shrinking errors until then.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.low_rank_model import LowRankModel
from bostruct.surrogates.networks.dataset import TrainingSet, prepare_training_set
from bostruct.surrogates.networks.ensemble import NetworkEnsemble
from bostruct.surrogates.networks.network import (
    DEFAULT_NETWORK,
    NetworkConfig,
    NetworkWeights,
    check_beta,
    check_members,
)
from bostruct.surrogates.networks.training import (
    LossFunction,
    NetworkOutput,
    forward,
    scaled_errors,
    train,
)
from bostruct.uncertainty import beta_nll, gaussian_nll

WARMUP_FRACTION = 0.5  # of the training, in which squares teach the mean
MAX_LBFGS_ITERATIONS = 100  # of L-BFGS
MIN_RELATIVE_STD = 1e-3  # of the scale per root atom, the least deviation


@final
@dataclass(frozen=True)
class MeanVariance:
    """One network with two outputs: the energy and its deviation (19).

    Energies of one evaluator can be repeated, so whatever is missed is the model's own
    error: the predicted variance counts as latent, and noise is its floor alone. It
    belongs to each structure alone: no covariance, and no variance of forces. Far from
    the data nothing tells it to grow. Forces are taught by their squares.

    Attributes:
        network: how it looks and how it is trained.
        beta: from 0, the likelihood itself, to 1, where the mean is taught as if all
            variances were equal (Seitzer et al., ICLR 2022).

    Raises:
        InputError: beta is out of range.
    """

    network: NetworkConfig = DEFAULT_NETWORK
    beta: float = 0.5
    supports_multiple_outcomes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_beta(self.beta)

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        network = self.network.description()
        return {"type": "MeanVariance", "network": network, "beta": self.beta}

    def fit(self, structures: Structures, space: Space | None = None) -> LowRankModel:
        """Return the model that these energies and forces teach.

        Raises:
            InputError: an energy is missing, there is no structure, or memory is short.
        """
        return _fit(self.network, 1, self.beta, 0, structures, space)

    def restore(self, state: Mapping[str, Tensor], space: Space | None = None) -> LowRankModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        return LowRankModel(NetworkEnsemble.restore(state), space)


@final
@dataclass(frozen=True)
class DeepEnsemble:
    """Several `MeanVariance` networks from different first weights, eq. 20.

    The variance is that between the members, shared by structures that are alike, and
    the mean of what they predict, each structure's own. Lakshminarayanan et al., NIPS
    2017. The variances count as latent, as in `MeanVariance`.

    Attributes:
        network: how each looks and how it is trained.
        n_members: M, at least 2.
        beta: as in `MeanVariance`.
        ddof: 1 for the divisor M - 1 of (20), 0 for M: the variance of the mixture of
            the members' Gaussians.

    Raises:
        InputError: fewer than 2 members, or beta or ddof is out of range.
    """

    network: NetworkConfig = DEFAULT_NETWORK
    n_members: int = 5
    beta: float = 0.5
    ddof: int = 1
    supports_multiple_outcomes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_members(self.n_members)
        check_beta(self.beta)
        if self.ddof not in (0, 1):
            condition = "be 1 for the divisor M - 1 or 0 for M"
            raise InputError(error_message("ddof", condition, self.ddof))

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        own = {"n_members": self.n_members, "beta": self.beta, "ddof": self.ddof}
        network = self.network.description()
        return {"type": "DeepEnsemble", "network": network} | own

    def fit(self, structures: Structures, space: Space | None = None) -> LowRankModel:
        """Return the model that these energies and forces teach.

        Raises:
            InputError: an energy is missing, there is no structure, or memory is short.
        """
        M, beta = self.n_members, self.beta
        return _fit(self.network, M, beta, self.ddof, structures, space)

    def restore(self, state: Mapping[str, Tensor], space: Space | None = None) -> LowRankModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        return LowRankModel(NetworkEnsemble.restore(state), space)


def beta_nll_loss(beta: float) -> LossFunction:
    """Return the loss above."""

    def loss(said: NetworkOutput, lesson: TrainingSet, progress: float) -> Tensor:
        e, g = scaled_errors(said, lesson)
        t2 = said.energy_std.square() / lesson.counts + MIN_RELATIVE_STD**2
        if progress < WARMUP_FRACTION:
            squares = e.square().sum() + g.square().sum()
            return squares + 2 * beta_nll(e.detach(), t2, 1.0).sum()
        typical = t2.detach().mean(-1, keepdim=True) ** (1 - beta)
        return 2 * (typical * beta_nll(e, t2, beta)).sum() + g.square().sum()

    return loss


def fit_variance_head(weights: NetworkWeights, training_set: TrainingSet) -> NetworkWeights:
    """Return weights with the most probable last layer of the deviation."""
    hidden, e2, counts = _variance_head_inputs(weights, training_set)
    spread = weights.std_weights.clone().requires_grad_()
    level = weights.std_bias.clone().requires_grad_()
    lbfgs = torch.optim.LBFGS(
        [spread, level], max_iter=MAX_LBFGS_ITERATIONS, line_search_fn="strong_wolfe"
    )
    h = spread.shape[1]

    def closure() -> Tensor:
        lbfgs.zero_grad()
        raw = (hidden @ spread.unsqueeze(-1)).squeeze(-1) + level.unsqueeze(-1)
        each = torch.nn.functional.softplus(raw)
        total = each.new_zeros(e2.shape).index_add(1, training_set.index, each)
        t2 = total.square() / counts + MIN_RELATIVE_STD**2
        loss = gaussian_nll(e2.sqrt(), t2).sum() + h / 2 * spread.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        lbfgs.step(closure)
    return replace(weights, std_weights=spread.detach(), std_bias=level.detach())


def _variance_head_inputs(
    weights: NetworkWeights, training_set: TrainingSet
) -> tuple[Tensor, Tensor, Tensor]:
    """Return last hidden layers `[M, n, h]`, squares of e `[M, b]`, atoms `[b]`."""
    with torch.no_grad():
        layers = weights.hidden_layers(training_set.inputs, training_set.species_index)
        said = [
            scaled_errors(forward(weights, part), part)[0] for part in training_set.iter_batches()
        ]
    return layers.second, torch.cat(said, 1).square(), training_set.counts


def _fit(
    network: NetworkConfig,
    n_members: int,
    beta: float,
    ddof: int,
    structures: Structures,
    space: Space | None,
) -> LowRankModel:
    encoder, lesson = prepare_training_set(network, structures, space)
    generator = torch.Generator().manual_seed(network.seed)
    sizes = lesson.inputs.shape[1], len(encoder.radii), network.width
    start = NetworkWeights.initialize(sizes, generator, n_backbones=n_members, n_heads=n_members)
    loss = beta_nll_loss(beta)
    weights = fit_variance_head(train(start, network, lesson, loss, generator), lesson)
    found = NetworkEnsemble.from_training(
        encoder,
        weights,
        lesson,
        loss,
        ddof=ddof,
        predicts_variance=True,
        noise_floor=MIN_RELATIVE_STD,
    )
    return LowRankModel(found, space)
