"""One network with many last layers, trained by their spread (row U13).

Notation, with equation numbers of [G25]
    M        heads
    m, s2    mean and variance (divisor M - 1) of the heads        (17), (18)
    e, g     errors of the mean m for energies (over the root of the atoms) and forces

    loss = sum 2 v_e^beta nll(e, v_e) <v_e>^(1 - beta) + the same for forces

with v = s2 and the square of a floor, so that heads that agree have a finite loss. It
counts forces too: energies alone leave the spread of forces to chance.

Kellner and Ceriotti, Mach. Learn.: Sci. Technol. 2024, 5, 035006; [G25]: Grasselli et
al., Digital Discovery 2025, 4, 2654, section 2.3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

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
    scaled_errors,
    train,
)
from bostruct.uncertainty import beta_nll

WARMUP_FRACTION = 0.3  # of the training, in which squares teach every head
MIN_RELATIVE_STDS = (
    1e-3,
    3e-3,
)  # of the scale: least deviations of energies and forces


@final
@dataclass(frozen=True)
class ShallowEnsemble:
    """One network with M last layers whose spread is trained to be their error.

    Hidden layers are shared, so that a prediction costs little more than one network's;
    training costs a backward pass for the forces of each head. The spread counts as
    latent, since energies of one evaluator can be repeated; noise is the floor alone.

    Attributes:
        network: how it looks and how it is trained.
        n_members: M, at least 2. The variance of M heads scatters by sqrt(2 / (M - 1)).
        beta: from 0, the likelihood itself, to 1, where the mean is taught as if all
            variances were equal (Seitzer et al., ICLR 2022).

    Raises:
        InputError: fewer than 2 members, or beta is out of range.
    """

    network: NetworkConfig = DEFAULT_NETWORK
    n_members: int = 16
    beta: float = 0.5
    supports_multiple_outcomes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_members(self.n_members)
        check_beta(self.beta)

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        own = {"n_members": self.n_members, "beta": self.beta}
        network = self.network.description()
        return {"type": "ShallowEnsemble", "network": network} | own

    def fit(self, structures: Structures, space: Space | None = None) -> LowRankModel:
        """Return the model that these energies and forces teach.

        Raises:
            InputError: an energy is missing, there is no structure, or memory is short.
        """
        encoder, lesson = prepare_training_set(self.network, structures, space)
        generator = torch.Generator().manual_seed(self.network.seed)
        sizes = lesson.inputs.shape[1], len(encoder.radii), self.network.width
        start = NetworkWeights.initialize(sizes, generator, n_heads=self.n_members)
        loss = ensemble_nll_loss(self.beta)
        weights = train(start, self.network, lesson, loss, generator)
        found = NetworkEnsemble.from_training(
            encoder, weights, lesson, loss, noise_floor=MIN_RELATIVE_STDS[0]
        )
        return LowRankModel(found, space)

    def restore(self, state: Mapping[str, Tensor], space: Space | None = None) -> LowRankModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        return LowRankModel(NetworkEnsemble.restore(state), space)


def ensemble_nll_loss(beta: float) -> LossFunction:
    """Return the loss above."""

    def loss(said: NetworkOutput, lesson: TrainingSet, progress: float) -> Tensor:
        e, g = scaled_errors(said, lesson)
        if progress < WARMUP_FRACTION:
            return (e.square().sum() + g.square().sum()) / len(e)
        known = lesson.force_mask > 0
        return _beta_nll_term(e, MIN_RELATIVE_STDS[0], beta) + _beta_nll_term(
            g[:, known], MIN_RELATIVE_STDS[1], beta
        )

    return loss


def _beta_nll_term(error: Tensor, floor: float, beta: float) -> Tensor:
    """Return the loss of errors `[M, r]` of heads, a scalar."""
    if not error.numel():
        return error.sum()
    v = error.var(0) + floor**2
    typical = v.detach().mean() ** (1 - beta)
    return 2 * (typical * beta_nll(error.mean(0), v, beta)).sum()
