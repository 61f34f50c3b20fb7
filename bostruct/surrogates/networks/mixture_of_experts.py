"""Networks as experts for kinds of structures, weighted by a gate (row U14).

Notation, with equation numbers of Grasselli et al., Digital Discovery 2025, 4, 2654
    b, K, h   structures, experts, features of a last layer
    p    [b, K]      1    gates, differentiable in the positions        (22), (23)
    y    [b, K]      eV   energies of the experts
    R_k  [b, h]      eV   root of the covariance of expert k, a last layer    (14), (24)

    mean = prior + Σ p y                                                      (21)

and a root of the covariance between structures, the squares of whose rows add up to the variance of
`uncertainty.mix_experts` in the same mode:

    independent   p_k R_k, side by side                                       (25)
    correlated    the same, each row scaled to the length Σ p s
    mixture       √p_k R_k, and √p_k (y_k - mean), side by side

In the last one the disagreement of two experts is shared by structures with the same experts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final, get_args

import torch
from torch import Tensor

from bostruct.errors import check_choice, check_count, check_fraction, check_positive
from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.low_rank_prediction import LowRankPrediction
from bostruct.surrogates.networks.bayesian_readout import BayesianReadout, fit_readout
from bostruct.surrogates.networks.dataset import TrainingSet
from bostruct.surrogates.networks.featurizer import Featurizer
from bostruct.surrogates.networks.gating import GatingNetwork, structure_means
from bostruct.surrogates.networks.network import NetworkWeights
from bostruct.surrogates.networks.network_surrogate import NetworkSurrogate
from bostruct.surrogates.networks.training import squared_loss, train
from bostruct.uncertainty.ensembles.mixture_of_experts import MixtureMode

MODES: tuple[MixtureMode, ...] = get_args(MixtureMode)


@final
@dataclass(frozen=True, eq=False)
class GatedExperts:
    """The fitted predictor of `MixtureOfExperts`.

    Attributes:
        featurizer: Inputs and prior mean of the networks.
        weights: Weights of K networks; their own last layers are not used.
        gating: The gates.
        readout: Posteriors of the last layers, each tensor with a first dimension K.
        sharpness: Sharpness of gates of distances, or None for gates of densities.
        mode: Variance, as in `uncertainty.mix_experts`.
    """

    featurizer: Featurizer
    weights: NetworkWeights
    gating: GatingNetwork
    readout: BayesianReadout
    sharpness: float | None
    mode: MixtureMode

    def predict(self, structures: Structures) -> LowRankPrediction:
        """Return the joint prediction of b structures.

        Raises:
            InputError: a species is not in the training data.
        """
        x, species_index = self.featurizer(structures)
        b, index, readout = len(structures), structures.index, self.readout
        log_gates = self.gating.log_gates(structure_means(x, index, b), self.sharpness)
        gates = log_gates.exp()  # [b, K]
        hidden = self.weights.hidden_layers(x, species_index).second  # [K, n, h]
        one_hot = torch.nn.functional.one_hot(species_index, len(self.featurizer.radii)).to(x)
        f = torch.cat((hidden, one_hot.expand(len(hidden), -1, -1)), -1)
        total = f.new_zeros(len(f), b, f.shape[2]).index_add(1, index, f)
        root = readout.covariance_root(total)
        y = torch.einsum("kbh,kh->bk", total, readout.mean)
        mean = (gates * y).sum(-1)
        atomic = torch.einsum("knh,kh->nk", f, readout.mean)
        return LowRankPrediction(
            mean=self.featurizer.prior_mean(structures, species_index) + mean,
            covariance_root=_covariance_root(log_gates, y - mean.unsqueeze(1), root, self.mode),
            independent_variance=torch.zeros_like(mean),
            noise_variance=(gates @ readout.energy_noise_std.square()) * structures.counts,
            energy_scale=self.featurizer.energy_scale,
            atomic_energies=self.featurizer.species_energies[species_index]
            + (gates[index] * atomic).sum(-1),
            force_noise_variance=gates @ readout.force_noise_std.square(),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        sharpness = torch.tensor(self.sharpness or 0.0, dtype=torch.float64)
        tensors = self.featurizer.tensors() | self.weights.tensors() | self.gating.tensors()
        tensors |= {"sharpness": sharpness, "mode": torch.tensor(MODES.index(self.mode))}
        return tensors | self.readout.tensors()

    @classmethod
    def restore(cls, state: Mapping[str, Tensor]) -> GatedExperts:
        """Return the predictor with these tensors."""
        featurizer, weights = Featurizer.restore(state), NetworkWeights.restore(state)
        gating, readout = GatingNetwork.restore(state), BayesianReadout.restore(state)
        sharpness, mode = float(state["sharpness"]) or None, MODES[int(state["mode"])]
        return cls(featurizer, weights, gating, readout, sharpness, mode)

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers to show, units in the names.

        The log marginal likelihood is the sum of those of the experts, each of the data with the
        expert's weights.
        """
        readout = self.readout
        numbers = {"n_experts": float(len(self.gating))}
        for k, log_weight in enumerate(self.gating.log_weights.tolist()):
            name = f"expert{k}"
            numbers |= {
                f"{name}_weight": math.exp(log_weight),
                f"{name}_signal_eV": float(readout.signal_std[k]),
                f"{name}_energy_noise_eV_per_root_atom": float(readout.energy_noise_std[k]),
                f"{name}_force_noise_eV_per_angstrom": float(readout.force_noise_std[k]),
            }
        numbers["log_marginal_likelihood"] = float(readout.log_marginal_likelihood.sum())
        return numbers | self.featurizer.hyperparameters()


@final
@dataclass(frozen=True)
class MixtureOfExperts(NetworkSurrogate):
    """Networks for kinds of structures, distinguished by a mixture of Gaussians.

    The kind of a structure is given by the mean of its atoms' inputs. Each expert is trained on all
    structures with the weight of its gate, and has the exact posterior of its last layer, (21),
    (22) and (25) of Grasselli et al., Digital Discovery 2025, 4, 2654.

    Attributes:
        network: Settings of the experts and of their training.
        n_experts: Largest number of experts K; one for every 8 structures.
        n_axes: Largest number of principal axes of the structures' means that gates use.
        sharpness: Sharpness of gates that are a softmax of `sharpness` over the distance, (22);
            None for gates of densities, (23), with which the disagreement of experts hardly shows:
            trained on 100 structures of Cu15, z² of hotter ones was 98 with these, and 5 with
            distances.
        min_weight: Least weight of a structure in the training of an expert, so that each is
            trained on everything.
        mode: Variance, as in `uncertainty.mix_experts`. "mixture" contains the disagreement of
            experts; "independent" shrinks as if they had nothing in common.

    Raises:
        InputError: a number is out of range, or the mode is unknown.
    """

    n_experts: int = 3
    n_axes: int = 3
    sharpness: float | None = 3.0
    min_weight: float = 0.5
    mode: MixtureMode = "mixture"

    predictor_class = GatedExperts

    def __post_init__(self) -> None:
        check_count("n_experts", self.n_experts)
        check_count("n_axes", self.n_axes)
        check_fraction("min_weight", self.min_weight)
        if self.sharpness is not None:
            check_positive("sharpness", self.sharpness, "None for gates of densities.")
        check_choice("mode", self.mode, MODES)

    def train(
        self, featurizer: Featurizer, training_set: TrainingSet, generator: torch.Generator
    ) -> GatedExperts:
        """Return the trained experts and their gates."""
        means = structure_means(training_set.inputs, training_set.index, len(training_set))
        gating = GatingNetwork.fit(means, self.n_experts, self.n_axes, self.network.seed)
        gates = gating.log_gates(means, self.sharpness).exp().T  # [K, b]
        weight = self.min_weight + (1 - self.min_weight) * gates
        K = len(gating)
        weights = self.initial_weights(featurizer, generator, n_backbones=K, n_heads=K)
        weights = train(weights, self.network, training_set, squared_loss(weight), generator)
        readouts = [
            vars(fit_readout(featurizer, expert, replace(training_set, noise_factor=noise_factor)))
            for expert, noise_factor in zip(
                _split_experts(weights), training_set.noise_factor / weight.sqrt(), strict=True
            )
        ]
        names = readouts[0]
        stacked = {name: torch.stack([readout[name] for readout in readouts]) for name in names}
        readout = BayesianReadout(**stacked)
        return GatedExperts(featurizer, weights, gating, readout, self.sharpness, self.mode)


def _covariance_root(
    log_gates: Tensor, deviations: Tensor, roots: Tensor, mode: MixtureMode
) -> Tensor:
    """Return the root of the covariance, `[b, K h]` or `[b, K h + K]` eV.

    Powers of gates are taken of their logarithms: a root of zero has no derivative.

    Args:
        log_gates: Logarithms of the gates, `[b, K]`.
        deviations: Energies of the experts less the mean, `[b, K]` eV.
        roots: Roots of the experts' covariances, `[K, b, h]` eV.
        mode: Variance, as in `uncertainty.mix_experts`.
    """
    gates = ((0.5 if mode == "mixture" else 1.0) * log_gates).exp()
    weighted = (gates.T.unsqueeze(-1) * roots).movedim(0, 1)  # [b, K, h]
    root = weighted.flatten(1)
    if mode == "mixture":
        return torch.cat([root, gates * deviations], 1)
    if mode == "independent":
        return root
    length = torch.linalg.vector_norm(weighted, dim=-1).sum(1)
    factor: Tensor = length / torch.linalg.vector_norm(root, dim=1)
    return root * factor.unsqueeze(1)


def _split_experts(weights: NetworkWeights) -> list[NetworkWeights]:
    """Return the weights of each expert alone."""
    experts = zip(*(value.split(1) for value in weights.parameters()), strict=True)
    return [NetworkWeights(*parameters) for parameters in experts]
