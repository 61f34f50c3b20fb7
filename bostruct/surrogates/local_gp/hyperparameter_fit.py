"""Fit of the hyperparameters to data, in units of the problem.

Data that do not tell the scale of energies, such as copies of one structure, are given that of the
pair prior.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bostruct.structures.problem_scale import unknown_energy
from bostruct.surrogates.local_gp.energy_terms import EnergyTerms
from bostruct.surrogates.local_gp.marginal_likelihood import (
    HYPERPARAMETER_NAMES,
    Hyperparameters,
    Rows,
    RowStatistics,
    StandardDeviations,
    log_marginal_likelihood,
    maximize_marginal_likelihood,
)
from bostruct.surrogates.local_gp.spectral_likelihood import SpectralLikelihood
from bostruct.surrogates.pair_repulsion import PairRepulsion
from bostruct.surrogates.training_data import Observations, species_counts

MIN_DIFFERENCE = 0.05  # of structures, in variances of the energy of an environment
N_POWER_ITERATIONS = 10  # the difference is 1e-2 of what structures have in common


def fit_hyperparameters(
    rows: Rows,
    data: Observations,
    terms: EnergyTerms,
    given: tuple[float, float, float] | None,
    pair_repulsion: PairRepulsion | None,
    spectral: SpectralLikelihood | None = None,
) -> tuple[StandardDeviations, Tensor]:
    """Return the standard deviations, those of all weights `[m]` too, and the log likelihood.

    They are fitted in the units of the problem, so that a fit to energies in another unit takes
    the same steps.

    Args:
        rows: Statistics of the rows.
        data: The training data.
        terms: Terms beside the environments, whose features are the last ones.
        given: Signal, energy noise and force noise to keep; None fits them.
        pair_repulsion: The pair prior, or None; its force is the scale of data that tell none.
        spectral: Likelihood of these rows, or of some that differ in their residual variances;
            by default it is made where it saves time.
    """
    energies, forces = rows
    n_rows = max(energies.n_rows + forces.n_rows, 1)
    fit = ScaledFit(data, terms, given, len(energies.moment) / n_rows)
    m = len(energies.moment) - terms.n_features
    spectral = spectral or SpectralLikelihood.of(rows, m)
    if spectral is not None:
        spectral = spectral.of_rows(rows)
    evidence = fit.maximize(rows, spectral)
    evidence = evidence - energies.n_rows * math.log(data.scale.energy)
    evidence = evidence - forces.n_rows * math.log(data.scale.force)
    s, e, f, *amplitudes = fit.values(energies.gram)
    std = StandardDeviations(s, e, f, terms.weight_std(s, m, amplitudes))
    if given is None and not _differ(energies, data, m):
        s = s.clamp(min=_prior_scale(data, pair_repulsion))
        std = StandardDeviations(s, e, f, terms.weight_std(s, m, amplitudes))
        evidence = log_marginal_likelihood(rows, std)
    return std, evidence


@final
class ScaledFit:
    """Hyperparameters of some data in the units of the problem, and their fit.

    Args:
        data: The training data.
        terms: Terms beside the environments, whose features are the last ones.
        given: Signal, energy noise and force noise to keep; None fits them.
        weights_per_row: Number of weights over that of the rows of data.
    """

    def __init__(
        self,
        data: Observations,
        terms: EnergyTerms,
        given: tuple[float, float, float] | None,
        weights_per_row: float = 1.0,
    ) -> None:
        self.scale, self.given = data.scale, given
        self.terms = terms.in_units(data.scale.energy)
        self.hyperparameters = Hyperparameters(
            data.force_scale() / data.scale.force,
            data.length_scale() / data.scale.length,
            terms.fitted_amplitudes,
            weights_per_row,
        )
        self.fixed_names: tuple[str, ...] = ()
        if given is not None:
            unit, force = data.scale.energy, data.scale.force
            self.hyperparameters.set_values((given[0] / unit, given[1] / unit, given[2] / force))
            self.fixed_names = HYPERPARAMETER_NAMES

    def maximize(self, rows: Rows, spectral: SpectralLikelihood | None = None) -> Tensor:
        """Set the most probable values; return the log likelihood there.

        Args:
            rows: Statistics of the rows.
            spectral: The likelihood of these rows in their eigenbasis; optional.
        """
        unit, length = self.scale.energy, self.scale.length
        if spectral is not None:
            spectral = spectral.in_units(unit, length)
        return maximize_marginal_likelihood(
            rows.in_units(unit, length),
            self.hyperparameters,
            self.terms,
            fixed_names=self.fixed_names,
            evaluate=None if spectral is None else spectral.value_and_gradient,
        )

    def log_prior(self) -> tuple[float, NDArray[np.float64]]:
        """Return the log density of the priors, and its derivatives by all logarithms."""
        log_density, slopes = self.hyperparameters.log_prior()
        return float(log_density), slopes.numpy()

    def logarithms(self) -> NDArray[np.float64]:
        """Return the logarithms of all values in units of the problem."""
        return np.array([float(raw.detach()) for raw in self.hyperparameters.parameters()])

    def set_logarithms(self, logarithms: NDArray[np.float64]) -> None:
        """Set all values from their logarithms in units of the problem."""
        for raw, value in zip(self.hyperparameters.parameters(), logarithms, strict=True):
            raw.data.fill_(value)

    def bounds(self) -> list[tuple[float, float]]:
        """Return bounds of the logarithms; those of kept values hold them."""
        bounds = self.hyperparameters.logarithmic_bounds()
        pairs = zip(self.hyperparameters.names, self.logarithms().tolist(), strict=True)
        return [
            (value, value) if name in self.fixed_names else bounds[name] for name, value in pairs
        ]

    def scaled_values(self, like: Tensor) -> list[Tensor]:
        """Return signal, energy noise, force noise and the amplitudes in units of the problem."""
        values = (self.hyperparameters.value(name) for name in self.hyperparameters.names)
        return [value.detach().to(like) for value in values]

    def values(self, like: Tensor) -> list[Tensor]:
        """Return signal, energy noise, force noise, eV and eV/Å, and the amplitudes, eV."""
        unit, n = self.scale.energy, len(self.hyperparameters.names)
        units = (unit, unit, self.scale.force, *[unit] * (n - 3))
        values = [x * unit for x, unit in zip(self.scaled_values(like), units, strict=True)]
        if self.given is not None:
            values[:3] = like.new_tensor(self.given).unbind()
        return values


def _differ(energies: RowStatistics, data: Observations, m: int) -> bool:
    """Return whether energies are known of structures that differ in more than composition.

    Copies of one tell no scale: that their energies are alike says nothing of other structures, and
    at a minimum forces vanish, whatever the scale is. Nor do atoms out of each other's reach.

    Args:
        energies: Statistics of the energy rows.
        data: The training data.
        m: Number of inducing environments.
    """
    structures = data.structures
    species, species_index = structures.numbers.unique(return_inverse=True)
    counts = species_counts(structures, species_index, len(species))
    rank = int(torch.linalg.matrix_rank(counts))
    if m <= rank:
        return False
    G = energies.gram[:m, :m] * counts.sum(-1).mean()
    V = G[:, G.diagonal().topk(rank + 1).indices]
    for _ in range(N_POWER_ITERATIONS):
        V = torch.linalg.qr(G @ V).Q
    return bool(torch.linalg.eigvalsh(V.T @ G @ V)[0] > MIN_DIFFERENCE)


def _prior_scale(data: Observations, pair_repulsion: PairRepulsion | None) -> float:
    """Return the signal, eV, of data that do not tell it: by the force of the pair prior.

    Its default strength is then at least that for the elements: at a minimum forces tell none.
    """
    force = data.force_scale()
    if pair_repulsion is not None:
        structures = data.structures
        numbers = structures.numbers[~structures.fixed]
        scale = replace(data.scale, energy=max(data.scale.energy, unknown_energy(numbers)))
        wall = pair_repulsion.in_scale(scale)
        force = max(force, wall.typical_force(scale.length))
    return force * data.length_scale()
