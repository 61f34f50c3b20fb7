"""A network whose last layer is a Gaussian process (rows U7 and U8).

Notation, with equation numbers of [G25]; see `readout` for the rest
    b, m         structures, features of the last layer
    f    [b, m]      1     features of structures
    H    [m, m]      1/eV² precision of the weights given the data         (10), (13)
    alpha            1     what σ is stretched by                               (26)

    mean = prior + f . w          covariance = alpha² f^T H^-1 f'           (14)

The network is trained first; then only its last layer is taken as unknown, and w is the
ridge solution for it, which makes the Laplace approximation exact.

Energies come without noise, so what is not fitted is what the model cannot say. To
count it as noise would give all structures the same error bar; here it stretches the
posterior, as in [B24], by the errors of structures that the last layer never saw. What
varies in the inputs but in no hidden unit is seen by the inputs themselves: with them
energies of held-out clusters were a fifth better, and z² of clusters of twice the size
fell from between 30 and 80 to between 1 and 6. Members are drawn from the posterior
N(w, alpha² H^-1) (12).

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654.
[B24]: Bigi et al., Mach. Learn.: Sci. Technol. 2024, 5, 045018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, final

import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, must
from bostruct.structures import Structures
from bostruct.surrogates.base import Decodes
from bostruct.surrogates.botorch_models.low_rank_model import BelievedModel
from bostruct.surrogates.botorch_models.low_rank_prediction import Belief
from bostruct.surrogates.networks.bayesian_readout import (
    Readout,
    features,
    readout,
    stretch,
)
from bostruct.surrogates.networks.dataset import prepare
from bostruct.surrogates.networks.featurizer import Encoder
from bostruct.surrogates.networks.network import NETWORK, Network, Weights
from bostruct.surrogates.networks.training import squared, train


@final
@dataclass(frozen=True)
class LastLayer:
    """A neural network with the exact posterior of its last layer.

    One network is trained, on energies and forces; what its hidden layers have learnt
    counts as known, so that the variance is too small where they would have to change,
    most of all with fewer than some 20 structures. Calibrate it. All of the variance is
    latent; there is no noise.

    Attributes:
        network: how it looks and how it is trained.
        inputs: how many of the network's inputs, the most principal ones, the last
            layer sees as well.
        members: draws from the posterior that a prediction has as its members, moved
            so that their mean is the prediction; 0 for none.

    Raises:
        InputError: `inputs` is negative, or `members` is 1 or negative.
    """

    network: Network = NETWORK
    inputs: int = 96
    members: int = 0

    def __post_init__(self) -> None:
        check_count("inputs", self.inputs, least=0)
        whole = isinstance(self.members, int) and not isinstance(self.members, bool)
        if not whole or self.members < 0 or self.members == 1:
            condition = "be 0, or an integer of at least 2"
            raise InputError(must("members", condition, repr(self.members)))

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        own = {"inputs": self.inputs, "members": self.members}
        return {"surrogate": "LastLayer", "network": self.network.description()} | own

    def fit(
        self, structures: Structures, space: Decodes | None = None
    ) -> BelievedModel:
        """Return the model that these energies and forces teach.

        Raises:
            InputError: an energy is missing, there is no structure, or memory is short.
        """
        encoder, lesson = prepare(self.network, structures, space)
        generator = torch.Generator().manual_seed(self.network.seed)
        sizes = lesson.x.shape[1], len(encoder.radii), self.network.width
        weights = Weights.draw(sizes, generator)
        weights = train(weights, self.network, lesson, squared(), generator)
        last = readout(encoder, weights, lesson, self.inputs)
        alpha = stretch(encoder, weights, lesson, last, self.inputs)
        draws = _draws(last, self.members, generator)
        parts = encoder, weights, last, alpha, draws
        return BelievedModel(Laplace(*parts), space)

    def restore(
        self, state: Mapping[str, Tensor], space: Decodes | None = None
    ) -> BelievedModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        encoder, weights = Encoder.restore(state), Weights.restore(state)
        last = Readout(*(state[f"readout_{one.name}"] for one in fields(Readout)))
        parts = encoder, weights, last, state["alpha"], state["draws"]
        return BelievedModel(Laplace(*parts), space)


@final
@dataclass(frozen=True, eq=False)
class Laplace:
    """What `LastLayer` has learnt: a `Believer`.

    Attributes:
        encoder: what comes before the network.
        weights: of one network; its own last layer is not used.
        readout: the last layer instead.
        alpha: what its σ is stretched by.
        draws: `[m, M]` eV, from N(0, H^-1), for members; M may be zero.
    """

    encoder: Encoder
    weights: Weights
    readout: Readout
    alpha: Tensor
    draws: Tensor

    def belief(self, structures: Structures) -> Belief:
        """Return what is believed of b structures.

        Raises:
            InputError: a species it was not trained on.
        """
        x, place = self.encoder(structures)
        t = features(self.weights, x, place, self.inputs)
        f = t.new_zeros(len(structures), t.shape[1])
        f = f.index_add(0, structures.index, t)
        mean = self.encoder.prior(structures, place) + f @ self.readout.mean
        members = None
        if self.draws.shape[1]:
            members = mean + self.alpha * (f @ self.draws).T
        return Belief(
            mean=mean,
            root=self.alpha * self.readout.root(f),
            own=torch.zeros_like(mean),
            noise=torch.zeros_like(mean),
            local=self.encoder.constants[place] + t @ self.readout.mean,
            members=members,
        )

    @property
    def inputs(self) -> int:
        """How many inputs of the network the last layer sees, d."""
        _, species, h = self.weights.shift.shape
        return len(self.readout.mean) - h - species

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers it consists of, by name."""
        own = {f"readout_{name}": value for name, value in vars(self.readout).items()}
        own |= {"alpha": self.alpha, "draws": self.draws}
        return self.encoder.tensors() | self.weights.tensors() | own

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers a person wants to see, units in the names."""
        readout = self.readout
        found = {
            "signal_eV": float(readout.signal),
            "energy_misfit_eV_per_root_atom": float(readout.energy_noise),
            "force_misfit_eV_per_angstrom": float(readout.force_noise),
            "stretch": float(self.alpha),
            "log_marginal_likelihood": float(readout.log_marginal_likelihood),
        }
        return found | self.encoder.hyperparameters()


def _draws(last: Readout, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` draws from N(0, H^-1) `[m, M]`, moved so that their mean is 0."""
    shape = len(last.mean), count
    xi = torch.randn(shape, generator=generator, dtype=torch.float64).to(last.mean)
    draws: Tensor = torch.linalg.solve_triangular(last.factor.T, xi, upper=True)
    if count:
        draws = draws - draws.mean(1, keepdim=True)
    return draws.contiguous()
