"""Experts for kinds of structures, mixed by how much each is at home (row U14).

Notation, with equation numbers of Grasselli et al., Digital Discovery 2025, 4, 2654
    b, K, h   structures, experts, features of a last layer
    p    [b, K]      1    gates, differentiable in the positions        (22), (23)
    y    [b, K]      eV   what each expert says
    R_k  [b, h]      eV   root of the covariance of expert k, a last layer    (14), (24)

    mean = prior + Σ p y                                                      (21)

and a root of the covariance between structures, whose rows squared add up to the
variance of `uncertainty.mix` in the same mode:

    independent   p_k R_k, side by side                                       (25)
    correlated    the same, each row stretched to the length Σ p s
    mixture       √p_k R_k, and √p_k (y_k - mean), side by side

In the last one structures that two experts share disagree alike where these do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, final, get_args

import torch
from torch import Tensor

from bostruct.errors import check_count, check_fraction, check_positive
from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.low_rank_model import LowRankModel
from bostruct.surrogates.botorch_models.low_rank_prediction import LowRankPrediction
from bostruct.surrogates.networks.bayesian_readout import BayesianReadout, fit_readout
from bostruct.surrogates.networks.dataset import TrainingSet, prepare_training_set
from bostruct.surrogates.networks.featurizer import Featurizer
from bostruct.surrogates.networks.gating import GatingNetwork, structure_means
from bostruct.surrogates.networks.network import (
    DEFAULT_NETWORK,
    NetworkConfig,
    NetworkWeights,
)
from bostruct.surrogates.networks.training import squared_loss, train
from bostruct.uncertainty.ensembles.mixture_of_experts import MixtureMode
from bostruct.uncertainty.linear_model.sufficient_statistics import check_choice

MODES: tuple[MixtureMode, ...] = get_args(MixtureMode)


@final
@dataclass(frozen=True)
class MixtureOfExperts:
    """Networks for kinds of structures, told apart by a mixture of Gaussians.

    Structures look as their atoms do on average. Each expert is trained on all of them
    with the weight of its gate, and has the exact posterior of its last layer, (21),
    (22) and (25) of Grasselli et al., Digital Discovery 2025, 4, 2654.

    Attributes:
        network: how the experts look and are trained.
        n_experts: K, at most; one for every 8 structures.
        n_axes: principal axes of what structures look like, at most, that gates see.
        sharpness: of gates that are a softmax of `sharpness` over the distance, (22);
            None for gates of densities, (23), with which the disagreement of experts is
            hardly seen: trained on 100 structures of Cu15, z² of hotter ones was 98
            with these, and 5 with distances.
        min_weight: least weight of a structure in the training of an expert, so that each
            has seen everything.
        mode: which variance, see `uncertainty.mix`. "mixture" contains that experts
            disagree; "independent" shrinks as if they had nothing in common.

    Raises:
        InputError: a number is out of range, or the mode is unknown.
    """

    network: NetworkConfig = DEFAULT_NETWORK
    n_experts: int = 3
    n_axes: int = 3
    sharpness: float | None = 3.0
    min_weight: float = 0.5
    mode: MixtureMode = "mixture"
    supports_multiple_outcomes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_count("n_experts", self.n_experts)
        check_count("n_axes", self.n_axes)
        check_fraction("min_weight", self.min_weight)
        if self.sharpness is not None:
            check_positive("sharpness", self.sharpness, "None for gates of densities.")
        check_choice("mode", self.mode, MODES)

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        names = "n_experts", "n_axes", "sharpness", "min_weight", "mode"
        own = {name: getattr(self, name) for name in names}
        network = self.network.description()
        return {"type": "MixtureOfExperts", "network": network} | own

    def fit(self, structures: Structures, space: Space | None = None) -> LowRankModel:
        """Return the model that these energies and forces teach.

        Raises:
            InputError: an energy is missing, there is no structure, or memory is short.
        """
        encoder, lesson = prepare_training_set(self.network, structures, space)
        seen = structure_means(lesson.inputs, lesson.index, len(lesson))
        gates = GatingNetwork.fit(seen, self.n_experts, self.n_axes, self.network.seed)
        own = gates.log_gates(seen, self.sharpness).exp().T  # [K, b]
        weight = self.min_weight + (1 - self.min_weight) * own
        generator = torch.Generator().manual_seed(self.network.seed)
        sizes = lesson.inputs.shape[1], len(encoder.radii), self.network.width
        K = len(gates)
        weights = NetworkWeights.initialize(sizes, generator, n_backbones=K, n_heads=K)
        weights = train(weights, self.network, lesson, squared_loss(weight), generator)
        last = [
            vars(fit_readout(encoder, one, _reweighted(lesson, trust)))
            for one, trust in zip(_split_experts(weights), weight, strict=True)
        ]
        columns = {name: torch.stack([one[name] for one in last]) for name in last[0]}
        parts = encoder, weights, gates, BayesianReadout(**columns)
        return LowRankModel(GatedExperts(*parts, self.sharpness, self.mode), space)

    def restore(self, state: Mapping[str, Tensor], space: Space | None = None) -> LowRankModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        weights = NetworkWeights.restore(state)
        last = BayesianReadout(*(state[f"readout_{one.name}"] for one in fields(BayesianReadout)))
        how = float(state["sharpness"]) or None, MODES[int(state["mode"])]
        parts = Featurizer.restore(state), weights, GatingNetwork.restore(state), last
        return LowRankModel(GatedExperts(*parts, *how), space)


@final
@dataclass(frozen=True, eq=False)
class GatedExperts:
    """What `Mixture` has learnt: a `Believer`.

    Attributes:
        featurizer: what comes before the networks.
        weights: of K networks; their own last layers are not used.
        gating: who is at home.
        readout: the last layers instead, each tensor with a first dimension K.
        sharpness: of gates of distances, or None for gates of densities.
        mode: which variance.
    """

    featurizer: Featurizer
    weights: NetworkWeights
    gating: GatingNetwork
    readout: BayesianReadout
    sharpness: float | None
    mode: MixtureMode

    def predict(self, structures: Structures) -> LowRankPrediction:
        """Return what is believed of b structures.

        Raises:
            InputError: a species it was not trained on.
        """
        x, place = self.featurizer(structures)
        b, index = len(structures), structures.index
        seen = structure_means(x, index, b)
        log_gates = self.gating.log_gates(seen, self.sharpness)
        gates = log_gates.exp()  # [b, K]
        last = self.readout
        hidden = self.weights.hidden_layers(x, place).second  # [K, n, h]
        hot = torch.nn.functional.one_hot(place, len(self.featurizer.radii)).to(x)
        f = torch.cat((hidden, hot.expand(len(hidden), -1, -1)), -1)
        total = f.new_zeros(len(f), b, f.shape[2]).index_add(1, index, f)
        root = last.covariance_root(total)
        y = torch.einsum("kbh,kh->bk", total, last.mean)
        mean = (gates * y).sum(-1)
        local = torch.einsum("knh,kh->nk", f, last.mean)
        return LowRankPrediction(
            mean=self.featurizer.prior_mean(structures, place) + mean,
            covariance_root=_covariance_root(log_gates, y - mean.unsqueeze(1), root, self.mode),
            independent_variance=torch.zeros_like(mean),
            noise_variance=(gates @ last.energy_noise_std.square()) * structures.counts,
            atomic_energies=self.featurizer.species_energies[place]
            + (gates[index] * local).sum(-1),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers it consists of, by name."""
        sharpness = torch.tensor(self.sharpness or 0.0, dtype=torch.float64)
        mode = torch.tensor(MODES.index(self.mode))
        own = {"sharpness": sharpness, "mode": mode}
        own |= {f"readout_{name}": value for name, value in vars(self.readout).items()}
        parts = self.featurizer.tensors() | self.weights.tensors() | self.gating.tensors()
        return parts | own

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers a person wants to see, units in the names.

        The log marginal likelihood is the sum of those of the experts, each of the data
        in its own weights.
        """
        last = self.readout
        found = {"n_experts": float(len(self.gating))}
        for k, level in enumerate(self.gating.log_weights.tolist()):
            found[f"expert{k}_share"] = math.exp(level)
            found[f"expert{k}_signal_eV"] = float(last.signal_std[k])
            noise = float(last.energy_noise_std[k])
            found[f"expert{k}_energy_noise_eV_per_root_atom"] = noise
            noise = float(last.force_noise_std[k])
            found[f"expert{k}_force_noise_eV_per_angstrom"] = noise
        found["log_marginal_likelihood"] = float(last.log_marginal_likelihood.sum())
        return found | self.featurizer.hyperparameters()


def _covariance_root(
    log_gates: Tensor, deviations: Tensor, roots: Tensor, mode: MixtureMode
) -> Tensor:
    """Return the root of the covariance, `[b, K h]` or `[b, K h + K]` eV.

    Powers of gates are taken of their logarithms: a root of zero has no slope.

    Args:
        log_gates: `[b, K]`.
        deviations: `[b, K]` eV, what each expert says less the mean.
        roots: `[K, b, h]` eV.
        mode: which variance.
    """
    gates = ((0.5 if mode == "mixture" else 1.0) * log_gates).exp()
    parts = (gates.T.unsqueeze(-1) * roots).movedim(0, 1)  # [b, K, h]
    side = parts.flatten(1)
    if mode == "mixture":
        return torch.cat([side, gates * deviations], 1)
    if mode == "independent":
        return side
    length = torch.linalg.vector_norm(parts, dim=-1).sum(1)
    factor: Tensor = length / torch.linalg.vector_norm(side, dim=1)
    return side * factor.unsqueeze(1)


def _split_experts(weights: NetworkWeights) -> list[NetworkWeights]:
    """Return the weights of each expert alone."""
    parts = [value.split(1) for value in weights.parameters()]
    return [NetworkWeights(*part) for part in zip(*parts, strict=True)]


def _reweighted(training_set: TrainingSet, weight: Tensor) -> TrainingSet:
    """Return a lesson whose structures count `weight` `[b]` each."""
    return replace(training_set, noise_factor=training_set.noise_factor / weight.sqrt())
