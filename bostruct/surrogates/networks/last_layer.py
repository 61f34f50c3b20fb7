"""A network whose last layer is a Gaussian process (rows U7 and U8).

Notation, with equation numbers of [G25]; see `bayesian_readout` for the rest
    b, m         structures, features of the last layer
    f    [b, m]      1     features of structures
    H    [m, m]      1/eV² precision of the weights given the data         (10), (13)
    alpha            1     calibration factor of σ                              (26)

    mean = prior + f . w          covariance = alpha² f^T H^-1 f'           (14)

The network is trained first; then only its last layer is uncertain, and w is the ridge solution for
it, which makes the Laplace approximation exact.

Energies come without noise, so training errors are errors of the model. As noise they would give
all structures the same error bar; instead they scale the posterior, as in [B24], by the errors of
structures left out of the last layer. What varies in the inputs but in no hidden unit is given to
the last layer by the inputs themselves: with them energies of held-out clusters were a fifth
better, and z² of clusters of twice the size fell from between 30 and 80 to between 1 and 6. Members
are drawn from the posterior N(w, alpha² H^-1) (12).

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654.
[B24]: Bigi et al., Mach. Learn.: Sci. Technol. 2024, 5, 045018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, error_message
from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.low_rank_prediction import LowRankPrediction
from bostruct.surrogates.networks.bayesian_readout import (
    BayesianReadout,
    calibration_factor,
    fit_readout,
    readout_features,
)
from bostruct.surrogates.networks.dataset import TrainingSet
from bostruct.surrogates.networks.featurizer import Featurizer
from bostruct.surrogates.networks.network import NetworkWeights
from bostruct.surrogates.networks.network_surrogate import NetworkSurrogate
from bostruct.surrogates.networks.training import squared_loss, train


@final
@dataclass(frozen=True, eq=False)
class LastLayerPredictor:
    """The fitted predictor of `LastLayer`.

    Attributes:
        featurizer: Inputs and prior mean of the network.
        weights: Weights of one network; its own last layer is not used.
        readout: Posterior of the last layer.
        alpha: Calibration factor of σ.
        weight_samples: Draws from N(0, H^-1) for the members, `[m, M]` eV; M may be zero.
    """

    featurizer: Featurizer
    weights: NetworkWeights
    readout: BayesianReadout
    alpha: Tensor
    weight_samples: Tensor

    def predict(self, structures: Structures) -> LowRankPrediction:
        """Return the joint prediction of b structures.

        Raises:
            InputError: a species is not in the training data.
        """
        x, species_index = self.featurizer(structures)
        t = readout_features(self.weights, x, species_index, self.n_inputs)
        f = t.new_zeros(len(structures), t.shape[1]).index_add(0, structures.index, t)
        mean = self.featurizer.prior_mean(structures, species_index) + f @ self.readout.mean
        members = None
        if self.weight_samples.shape[1]:
            members = mean + self.alpha * (f @ self.weight_samples).T
        return LowRankPrediction(
            mean=mean,
            covariance_root=self.alpha * self.readout.covariance_root(f),
            independent_variance=torch.zeros_like(mean),
            noise_variance=torch.zeros_like(mean),
            energy_scale=self.featurizer.energy_scale,
            atomic_energies=self.featurizer.species_energies[species_index] + t @ self.readout.mean,
            members=members,
        )

    @property
    def n_inputs(self) -> int:
        """Number of inputs of the network among the features, d."""
        _, species, h = self.weights.species_bias.shape
        return len(self.readout.mean) - h - species

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        tensors = self.featurizer.tensors() | self.weights.tensors() | self.readout.tensors()
        return tensors | {"alpha": self.alpha, "weight_samples": self.weight_samples}

    @classmethod
    def restore(cls, state: Mapping[str, Tensor]) -> LastLayerPredictor:
        """Return the predictor with these tensors."""
        featurizer, weights = Featurizer.restore(state), NetworkWeights.restore(state)
        readout, alpha = BayesianReadout.restore(state), state["alpha"]
        return cls(featurizer, weights, readout, alpha, state["weight_samples"])

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers to show, units in the names."""
        readout = self.readout
        numbers = {
            "signal_eV": float(readout.signal_std),
            "energy_error_eV_per_root_atom": float(readout.energy_noise_std),
            "force_error_eV_per_angstrom": float(readout.force_noise_std),
            "alpha": float(self.alpha),
            "log_marginal_likelihood": float(readout.log_marginal_likelihood),
        }
        return numbers | self.featurizer.hyperparameters()


def _sample_weights(
    last_layer: BayesianReadout, n_samples: int, generator: torch.Generator
) -> Tensor:
    """Return `n_samples` draws from N(0, H^-1) `[m, M]`, shifted so that their mean is 0."""
    shape = len(last_layer.mean), n_samples
    xi = torch.randn(shape, generator=generator, dtype=torch.float64).to(last_layer.mean)
    draws: Tensor = torch.linalg.solve_triangular(last_layer.hessian_cholesky.T, xi, upper=True)
    if n_samples:
        draws = draws - draws.mean(1, keepdim=True)
    return draws.contiguous()


@final
@dataclass(frozen=True)
class LastLayer(NetworkSurrogate):
    """A neural network with the exact posterior of its last layer.

    One network is trained, on energies and forces. Its hidden layers count as known, so that the
    variance is too small where they would have to change, most of all with fewer than some 20
    structures. Calibrate it. All of the variance is latent; there is no noise.

    Attributes:
        network: Settings of the network and of its training.
        n_inputs: Number of the network's inputs, the most principal ones, that the last layer has
            as features, too.
        n_members: Number of draws from the posterior that a prediction has as its members, shifted
            so that their mean is the prediction; 0 for none.

    Raises:
        InputError: `n_inputs` is negative, or `n_members` is 1 or negative.
    """

    n_inputs: int = 96
    n_members: int = 0

    predictor_class = LastLayerPredictor

    def __post_init__(self) -> None:
        check_count("n_inputs", self.n_inputs, minimum=0)
        is_integer = isinstance(self.n_members, int) and not isinstance(self.n_members, bool)
        if not is_integer or self.n_members < 0 or self.n_members == 1:
            condition = "be 0, or an integer of at least 2"
            raise InputError(error_message("n_members", condition, repr(self.n_members)))

    def train(
        self, featurizer: Featurizer, training_set: TrainingSet, generator: torch.Generator
    ) -> LastLayerPredictor:
        """Return the trained network with the posterior of its last layer."""
        weights = self.initial_weights(featurizer, generator)
        weights = train(weights, self.network, training_set, squared_loss(), generator)
        readout = fit_readout(featurizer, weights, training_set, self.n_inputs)
        alpha = calibration_factor(featurizer, weights, training_set, readout, self.n_inputs)
        samples = _sample_weights(readout, self.n_members, generator)
        return LastLayerPredictor(featurizer, weights, readout, alpha, samples)
