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
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, error_message
from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.low_rank_model import LowRankModel
from bostruct.surrogates.botorch_models.low_rank_prediction import LowRankPrediction
from bostruct.surrogates.networks.bayesian_readout import (
    BayesianReadout,
    calibration_factor,
    fit_readout,
    readout_features,
)
from bostruct.surrogates.networks.dataset import prepare_training_set
from bostruct.surrogates.networks.featurizer import Featurizer
from bostruct.surrogates.networks.network import (
    DEFAULT_NETWORK,
    NetworkConfig,
    NetworkWeights,
)
from bostruct.surrogates.networks.training import squared_loss, train


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
        n_inputs: how many of the network's inputs, the most principal ones, the last
            layer sees as well.
        n_members: draws from the posterior that a prediction has as its members, moved
            so that their mean is the prediction; 0 for none.

    Raises:
        InputError: `n_inputs` is negative, or `n_members` is 1 or negative.
    """

    network: NetworkConfig = DEFAULT_NETWORK
    n_inputs: int = 96
    n_members: int = 0
    supports_multiple_outcomes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_count("n_inputs", self.n_inputs, minimum=0)
        whole = isinstance(self.n_members, int) and not isinstance(self.n_members, bool)
        if not whole or self.n_members < 0 or self.n_members == 1:
            condition = "be 0, or an integer of at least 2"
            raise InputError(error_message("n_members", condition, repr(self.n_members)))

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        own = {"n_inputs": self.n_inputs, "n_members": self.n_members}
        return {"type": "LastLayer", "network": self.network.description()} | own

    def fit(self, structures: Structures, space: Space | None = None) -> LowRankModel:
        """Return the model that these energies and forces teach.

        Raises:
            InputError: an energy is missing, there is no structure, or memory is short.
        """
        encoder, lesson = prepare_training_set(self.network, structures, space)
        generator = torch.Generator().manual_seed(self.network.seed)
        sizes = lesson.inputs.shape[1], len(encoder.radii), self.network.width
        weights = NetworkWeights.initialize(sizes, generator)
        weights = train(weights, self.network, lesson, squared_loss(), generator)
        last = fit_readout(encoder, weights, lesson, self.n_inputs)
        alpha = calibration_factor(encoder, weights, lesson, last, self.n_inputs)
        draws = _sample_weights(last, self.n_members, generator)
        parts = encoder, weights, last, alpha, draws
        return LowRankModel(LastLayerPredictor(*parts), space)

    def restore(self, state: Mapping[str, Tensor], space: Space | None = None) -> LowRankModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        encoder, weights = Featurizer.restore(state), NetworkWeights.restore(state)
        last = BayesianReadout(*(state[f"readout_{one.name}"] for one in fields(BayesianReadout)))
        parts = encoder, weights, last, state["alpha"], state["weight_samples"]
        return LowRankModel(LastLayerPredictor(*parts), space)


@final
@dataclass(frozen=True, eq=False)
class LastLayerPredictor:
    """What `LastLayer` has learnt: a `Believer`.

    Attributes:
        featurizer: what comes before the network.
        weights: of one network; its own last layer is not used.
        readout: the last layer instead.
        alpha: what its σ is stretched by.
        weight_samples: `[m, M]` eV, from N(0, H^-1), for members; M may be zero.
    """

    featurizer: Featurizer
    weights: NetworkWeights
    readout: BayesianReadout
    alpha: Tensor
    weight_samples: Tensor

    def predict(self, structures: Structures) -> LowRankPrediction:
        """Return what is believed of b structures.

        Raises:
            InputError: a species it was not trained on.
        """
        x, place = self.featurizer(structures)
        t = readout_features(self.weights, x, place, self.n_inputs)
        f = t.new_zeros(len(structures), t.shape[1])
        f = f.index_add(0, structures.index, t)
        mean = self.featurizer.prior_mean(structures, place) + f @ self.readout.mean
        members = None
        if self.weight_samples.shape[1]:
            members = mean + self.alpha * (f @ self.weight_samples).T
        return LowRankPrediction(
            mean=mean,
            covariance_root=self.alpha * self.readout.covariance_root(f),
            independent_variance=torch.zeros_like(mean),
            noise_variance=torch.zeros_like(mean),
            atomic_energies=self.featurizer.species_energies[place] + t @ self.readout.mean,
            members=members,
        )

    @property
    def n_inputs(self) -> int:
        """How many inputs of the network the last layer sees, d."""
        _, species, h = self.weights.species_bias.shape
        return len(self.readout.mean) - h - species

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers it consists of, by name."""
        own = {f"readout_{name}": value for name, value in vars(self.readout).items()}
        own |= {"alpha": self.alpha, "weight_samples": self.weight_samples}
        return self.featurizer.tensors() | self.weights.tensors() | own

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers a person wants to see, units in the names."""
        readout = self.readout
        found = {
            "signal_eV": float(readout.signal_std),
            "energy_misfit_eV_per_root_atom": float(readout.energy_noise_std),
            "force_misfit_eV_per_angstrom": float(readout.force_noise_std),
            "stretch": float(self.alpha),
            "log_marginal_likelihood": float(readout.log_marginal_likelihood),
        }
        return found | self.featurizer.hyperparameters()


def _sample_weights(
    last_layer: BayesianReadout, n_samples: int, generator: torch.Generator
) -> Tensor:
    """Return `n_samples` draws from N(0, H^-1) `[m, M]`, moved so that their mean is 0."""
    shape = len(last_layer.mean), n_samples
    xi = torch.randn(shape, generator=generator, dtype=torch.float64).to(last_layer.mean)
    draws: Tensor = torch.linalg.solve_triangular(last_layer.hessian_cholesky.T, xi, upper=True)
    if n_samples:
        draws = draws - draws.mean(1, keepdim=True)
    return draws.contiguous()
