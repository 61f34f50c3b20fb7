"""The last layer of a trained network as Bayesian linear regression.

Notation, with equation numbers of Grasselli et al., Digital Discovery 2025, 4, 2654
    n, b, s      atoms, structures, species
    t    [n, m]      1     features of atoms: h units of the second hidden layer, the
                           first d inputs of the network, the species as s numbers
    f    [b, m]      1     features of structures, the sums of those of their atoms
    F    [rows, m]         features of all training energies, and minus their gradients
    D    [rows, rows]      noise variances of energies (e² per atom) and of forces (f²)
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
    Rows,
    RowStatistics,
    StandardDeviations,
    maximize_marginal_likelihood,
    solve,
    weight_posterior,
    weighted_moment,
)
from bostruct.surrogates.networks.dataset import TrainingSet
from bostruct.surrogates.networks.featurizer import Featurizer
from bostruct.surrogates.networks.network import NetworkWeights, PrefixedTensors

PRIOR_Z, PRIOR_WEIGHT = 4.0, 4.0
"""Prior error over σ of held-out structures, and its weight in structures. Trained on 3 to 100
clusters of Cu15 or Au5Cu10, the errors were 4 to 20 σ."""

MAX_HELD_OUT = 200  # largest number of held-out structures


@final
@dataclass(frozen=True, eq=False)
class BayesianReadout(PrefixedTensors):
    """The last layer and its posterior.

    Attributes:
        mean: Mean of the weights w, `[m]` eV.
        hessian_cholesky: Cholesky factor of H, `[m, m]` 1/eV.
        signal_std: Prior standard deviation of the weights sigma, eV.
        energy_noise_std: Noise standard deviation of an energy e, eV per root atom.
        force_noise_std: Noise standard deviation of a force f, eV/Å.
        log_marginal_likelihood: Log marginal likelihood of the training data.
    """

    mean: Tensor
    hessian_cholesky: Tensor
    signal_std: Tensor
    energy_noise_std: Tensor
    force_noise_std: Tensor
    log_marginal_likelihood: Tensor
    prefix = "readout_"

    def covariance_root(self, features: Tensor) -> Tensor:
        """Return a root `[b, m]` eV of f H^-1 f^T, of features `[b, m]`."""
        H_root = self.hessian_cholesky
        root: Tensor = torch.linalg.solve_triangular(H_root, features.mT, upper=False)
        return root.mT


def fit_readout(
    featurizer: Featurizer,
    weights: NetworkWeights,
    training_set: TrainingSet,
    n_inputs: int = 0,
) -> BayesianReadout:
    """Return the most probable last layer of a trained network, and its posterior.

    Args:
        featurizer: Inputs and prior mean of the network.
        weights: Weights of one network.
        training_set: The training data; a noise factor t means t² of the noise variance.
        n_inputs: Number of inputs of the network among the features, d.
    """
    rows = readout_statistics(featurizer, weights, training_set, n_inputs)
    length = featurizer.length_scale()
    fitted = Hyperparameters(float(featurizer.energy_scale) / length, length)
    evidence = maximize_marginal_likelihood(rows, fitted)
    like = rows.energies.gram
    s, e, f = (fitted.value(name).detach().to(like) for name in HYPERPARAMETER_NAMES)
    factor, mean = weight_posterior(rows, StandardDeviations(s, e, f))
    values = (mean, factor.contiguous(), s, e, f, evidence)
    return BayesianReadout(*(value.to(training_set.inputs) for value in values))


def calibration_factor(
    featurizer: Featurizer,
    weights: NetworkWeights,
    training_set: TrainingSet,
    last_layer: BayesianReadout,
    n_inputs: int = 0,
) -> Tensor:
    """Return alpha (26), the root mean square error over σ of held-out energies.

    alpha² is the mean of z² over structures whose energies and forces were left out of the last
    layer, and of `PRIOR_WEIGHT` more structures with z = `PRIOR_Z`. The hidden layers, trained on
    them, stay. Structures of large noise factor count less.

    Args:
        featurizer: Inputs and prior mean of the network.
        weights: Weights of one network.
        training_set: The training data.
        last_layer: Posterior of the last layer given all data.
        n_inputs: Number of inputs of the network among the features, d.
    """
    s, e, f = last_layer.signal_std, last_layer.energy_noise_std, last_layer.force_noise_std
    cholesky, known = last_layer.hessian_cholesky.double(), last_layer.mean
    H = cholesky @ cholesky.T
    v = H @ known.double()
    count = len(training_set)
    held_out = range(0, count, math.ceil(count / MAX_HELD_OUT))
    total = PRIOR_WEIGHT * PRIOR_Z**2
    for k in held_out:
        one = training_set.subset(torch.tensor([k]))
        rows = readout_statistics(featurizer, weights, one, n_inputs)
        factor = torch.linalg.cholesky(H - rows.energies.gram / e**2 - rows.forces.gram / f**2)
        mean = solve(factor, v - weighted_moment(rows, StandardDeviations(s, e, f)))
        rest = replace(last_layer, hessian_cholesky=factor.to(known), mean=mean.to(known))
        t = readout_features(weights, one.inputs, one.species_index, n_inputs)
        t = t.sum(0, keepdim=True)
        error = featurizer.energy_scale * one.energy - t @ rest.mean
        variance = rest.covariance_root(t).square().sum() * one.noise_factor.square()
        total += float(error.square() / variance)
    return known.new_tensor(total / (PRIOR_WEIGHT + len(held_out))).sqrt()


def readout_statistics(
    featurizer: Featurizer,
    weights: NetworkWeights,
    training_set: TrainingSet,
    n_inputs: int = 0,
) -> Rows:
    """Return the statistics of all energy rows and of all force rows, in eV and eV/Å.

    A force row is minus the gradient of a structure's features with respect to one coordinate.
    """
    inputs, species = training_set.inputs, len(featurizer.radii)
    h, d = weights.last_weights.shape[1], inputs.shape[1]
    identity = torch.eye(min(n_inputs, d), d).to(inputs)  # gradients of inputs
    energies = forces = RowStatistics.empty(h + len(identity) + species, inputs)
    scale, length = featurizer.energy_scale, featurizer.length_scale()
    with torch.no_grad():
        units = torch.eye(h).to(inputs)
        for batch in training_set.iter_batches():
            factor = batch.noise_factor.square()
            t = readout_features(weights, batch.inputs, batch.species_index, n_inputs)
            f = t.new_zeros(len(batch), t.shape[1]).index_add(0, batch.index, t)
            energies = energies.add_rows(f, scale * batch.energy, factor * batch.counts)
            if not bool(batch.force_mask.any()):
                continue
            layers = weights.hidden_layers(batch.inputs, batch.species_index)
            gradients = weights.input_gradients(layers, units)
            direct = identity.unsqueeze(1).expand(-1, len(batch.inputs), -1)
            rows = batch.forces_from_gradients(torch.cat((gradients, direct)))  # [h + d, n, 3]
            rows = torch.cat((rows, rows.new_zeros(species, *rows.shape[1:])))
            known = batch.force_mask.flatten() > 0
            F = rows.flatten(1).T[known] / length
            noise = factor[batch.index].repeat_interleave(3)[known]
            forces = forces.add_rows(F, scale / length * batch.forces.flatten()[known], noise)
    return Rows(energies, forces)


def readout_features(
    weights: NetworkWeights, x: Tensor, species_index: Tensor, n_inputs: int = 0
) -> Tensor:
    """Return the features of atoms for the last layer, `[n, m]`.

    Args:
        weights: Weights of one network.
        x: `[n, ..]`, inputs of the network.
        species_index: `[n]`, species.
        n_inputs: Number of inputs of the network among the features, d.
    """
    hidden = weights.hidden_layers(x, species_index).second[0]
    one_hot = torch.nn.functional.one_hot(species_index, weights.species_bias.shape[1]).to(x)
    return torch.cat((hidden, x[:, :n_inputs], one_hot), -1)
