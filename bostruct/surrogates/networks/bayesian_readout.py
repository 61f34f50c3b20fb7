"""The last layer of a trained network as Bayesian linear regression.

Notation, with equation numbers of Grasselli et al., Digital Discovery 2025, 4, 2654
    n, b, s      atoms, structures, species
    t    [n, m]      1     features of atoms: h units of the second hidden layer, the
                           first d inputs of the network, the species as s numbers
    f    [b, m]      1     features of structures, the sums of those of their atoms
    F    [rows, m]         of all training energies, and minus their slopes
    D    [rows, rows]      misfits of energies (e² per atom) and of forces (f²)
    H    [m, m]      1/eV² F^T D^-1 F + 1 / sigma²                         (10), (13)
    w    [m]         eV    H^-1 F^T D^-1 y

sigma, e and f are the most probable ones. Forces are rows like energies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from bostruct.surrogates.local_gp.marginal_likelihood import (
    HYPERPARAMETER_NAMES,
    Hyperparameters,
    RowStatistics,
    maximize_marginal_likelihood,
    solve,
    weight_posterior,
    weighted_moment,
)
from bostruct.surrogates.networks.dataset import TrainingSet
from bostruct.surrogates.networks.featurizer import Featurizer
from bostruct.surrogates.networks.network import NetworkWeights

PRIOR_Z, PRIOR_WEIGHT = 4.0, 4.0
"""Errors over σ of what was left out before anything is known, and how many structures
that is worth. Trained on 3 to 100 clusters of Cu15 or Au5Cu10, they were 4 to 20."""

MAX_HELD_OUT = 200  # structures that are left out, at most


@final
@dataclass(frozen=True, eq=False)
class BayesianReadout:
    """The last layer and its posterior.

    Attributes:
        mean: `[m]` eV, w.
        hessian_cholesky: `[m, m]` 1/eV, Cholesky factor of H.
        signal_std: eV, sigma.
        energy_noise_std: eV per root atom, e.
        force_noise_std: eV/Å, f.
        log_marginal_likelihood: at these values.
    """

    mean: Tensor
    hessian_cholesky: Tensor
    signal_std: Tensor
    energy_noise_std: Tensor
    force_noise_std: Tensor
    log_marginal_likelihood: Tensor

    def covariance_root(self, features: Tensor) -> Tensor:
        """Return a root `[b, m]` eV of f H^-1 f^T, of features `[b, m]`."""
        found: Tensor = torch.linalg.solve_triangular(
            self.hessian_cholesky, features.mT, upper=False
        )
        return found.mT


def fit_readout(
    featurizer: Featurizer,
    weights: NetworkWeights,
    training_set: TrainingSet,
    n_inputs: int = 0,
) -> BayesianReadout:
    """Return the most probable last layer of a trained network, and its posterior.

    Args:
        featurizer: what comes before the network.
        weights: of one network.
        training_set: the data; a structure of trust t has t² of the noise variance.
        n_inputs: d.
    """
    energies, forces = readout_statistics(featurizer, weights, training_set, n_inputs)
    found = Hyperparameters(float(featurizer.energy_scale), 1.0)
    evidence = maximize_marginal_likelihood(energies, forces, found)
    s, e, f = (found.value(name).detach().to(training_set.inputs) for name in HYPERPARAMETER_NAMES)
    factor, mean = weight_posterior(energies, forces, s, e, f)
    return BayesianReadout(mean, factor.contiguous(), s, e, f, evidence)


def calibration_factor(
    featurizer: Featurizer,
    weights: NetworkWeights,
    training_set: TrainingSet,
    last_layer: BayesianReadout,
    n_inputs: int = 0,
) -> Tensor:
    """Return alpha, (26): how many σ off energies are that the last layer never saw.

    alpha² is the mean of z² over structures whose energies and forces were left out of
    the last layer, and of `BELIEF` more for which it is `USUAL`². What the hidden
    layers have learnt of them stays. The distrusted count for less.

    Args:
        featurizer: what comes before the network.
        weights: of one network.
        training_set: the data.
        last_layer: their posterior.
        n_inputs: d.
    """
    s, e, f = (
        last_layer.signal_std,
        last_layer.energy_noise_std,
        last_layer.force_noise_std,
    )
    H = last_layer.hessian_cholesky @ last_layer.hessian_cholesky.T
    v = H @ last_layer.mean
    count = len(training_set)
    told = range(0, count, math.ceil(count / MAX_HELD_OUT))
    total = PRIOR_WEIGHT * PRIOR_Z**2
    for k in told:
        part = training_set.subset(torch.tensor([k]))
        energies, forces = readout_statistics(featurizer, weights, part, n_inputs)
        factor = torch.linalg.cholesky(H - energies.gram / e**2 - forces.gram / f**2)
        mean = solve(factor, v - weighted_moment(energies, forces, s, e, f))
        rest = replace(last_layer, hessian_cholesky=factor, mean=mean)
        t = readout_features(weights, part.inputs, part.species_index, n_inputs).sum(
            0, keepdim=True
        )
        missed = featurizer.energy_scale * part.energy - t @ rest.mean
        variance = rest.covariance_root(t).square().sum() * part.noise_factor.square()
        total += float(missed.square() / variance)
    return H.new_tensor(total / (PRIOR_WEIGHT + len(told))).sqrt()


def readout_statistics(
    featurizer: Featurizer,
    weights: NetworkWeights,
    training_set: TrainingSet,
    n_inputs: int = 0,
) -> tuple[RowStatistics, RowStatistics]:
    """Return the statistics of all energy rows and of all force rows, in eV and eV/Å.

    A force row is minus the slope of a structure's features with one coordinate.
    """
    h, d, species = (
        weights.last_weights.shape[1],
        training_set.inputs.shape[1],
        len(featurizer.radii),
    )
    direct = torch.eye(min(n_inputs, d), d).to(training_set.inputs)  # slopes of inputs with inputs
    energies = forces = RowStatistics.empty(h + len(direct) + species, training_set.inputs)
    scale = featurizer.energy_scale
    with torch.no_grad():
        every = torch.eye(h).to(training_set.inputs)
        for part in training_set.iter_batches():
            trust = part.noise_factor.square()
            t = readout_features(weights, part.inputs, part.species_index, n_inputs)
            f = t.new_zeros(len(part), t.shape[1]).index_add(0, part.index, t)
            energies = energies.add_rows(f, scale * part.energy, trust * part.counts)
            if not bool(part.force_mask.any()):
                continue
            slopes = weights.input_gradients(
                weights.hidden_layers(part.inputs, part.species_index), every
            )
            given = direct.unsqueeze(1).expand(-1, len(part.inputs), -1)
            rows = part.forces_from_gradients(torch.cat((slopes, given)))  # [h + d, n, 3]
            rows = torch.cat((rows, rows.new_zeros(species, *rows.shape[1:])))
            known = part.force_mask.flatten() > 0
            F = rows.flatten(1).T[known]
            noise = trust[part.index].repeat_interleave(3)[known]
            forces = forces.add_rows(F, scale * part.forces.flatten()[known], noise)
    return energies, forces


def readout_features(
    weights: NetworkWeights, x: Tensor, species_index: Tensor, n_inputs: int = 0
) -> Tensor:
    """Return what the last layer sees of atoms, `[n, m]`.

    Args:
        weights: of one network.
        x: `[n, ..]`, its inputs.
        species_index: `[n]`, species.
        n_inputs: d.
    """
    hidden = weights.hidden_layers(x, species_index).second[0]
    hot = torch.nn.functional.one_hot(species_index, weights.species_bias.shape[1]).to(x)
    return torch.cat((hidden, x[:, :n_inputs], hot), -1)
