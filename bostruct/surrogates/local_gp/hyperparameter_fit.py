"""Fit of the hyperparameters to data, in units of the problem.

Data that do not tell the scale of energies, such as copies of one structure, are given that of the
pair prior.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from bostruct.structures.problem_scale import UNKNOWN_ENERGY
from bostruct.surrogates.local_gp.energy_terms import EnergyTerms
from bostruct.surrogates.local_gp.marginal_likelihood import (
    HYPERPARAMETER_NAMES,
    Hyperparameters,
    RowStatistics,
    log_marginal_likelihood,
    maximize_marginal_likelihood,
)
from bostruct.surrogates.pair_repulsion import PairRepulsion
from bostruct.surrogates.training_data import Observations, species_counts

MIN_DIFFERENCE = 0.05  # of structures, in variances of the energy of an environment
N_POWER_ITERATIONS = 10  # the difference is 1e-2 of what structures have in common


def fit_hyperparameters(
    energies: RowStatistics,
    forces: RowStatistics,
    data: Observations,
    terms: EnergyTerms,
    given: tuple[float, float, float] | None,
    pair_repulsion: PairRepulsion | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return signal, energy noise, force noise, those of all weights `[m]`, log likelihood.

    They are fitted in the units of the problem, so that a fit to energies in another unit takes
    the same steps.

    Args:
        energies: Statistics of the energy rows.
        forces: Statistics of the force rows.
        data: The training data.
        terms: Terms beside the environments, whose features are the last ones.
        given: Signal, energy noise and force noise to keep; None fits them.
        pair_repulsion: The pair prior, or None; its force is the scale of data that tell none.
    """
    unit, length = data.scale.energy, data.scale.length
    fitted = Hyperparameters(
        data.force_scale() / data.scale.force,
        data.length_scale() / length,
        terms.amplitude_names,
    )
    units = (unit, unit, unit / length, *[unit] * len(terms.amplitude_names))
    fixed_names: tuple[str, ...] = ()
    if given is not None:
        fitted.set_values((given[0] / unit, given[1] / unit, given[2] * length / unit))
        fixed_names = HYPERPARAMETER_NAMES
    rows = energies.in_units(unit), forces.in_units(unit / length, 1 / length)
    evidence = maximize_marginal_likelihood(
        *rows, fitted, terms.in_units(unit), fixed_names=fixed_names
    )
    evidence = evidence - energies.n_rows * math.log(unit)
    evidence = evidence - forces.n_rows * math.log(unit / length)
    values = [
        (fitted.value(name).detach() * unit).to(energies.gram)
        for name, unit in zip(fitted.names, units, strict=True)
    ]
    if given is not None:
        values[:3] = energies.gram.new_tensor(given).unbind()
    s, e, f, *amplitudes = values
    m = len(energies.moment) - terms.n_features
    std = terms.weight_std(s, m, amplitudes)
    if given is None and not _differ(energies, data, m):
        s = s.clamp(min=_prior_scale(data, pair_repulsion))
        std = terms.weight_std(s, m, amplitudes)
        evidence = log_marginal_likelihood(energies, forces, s, e, f, std)
    return s, e, f, std, evidence


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

    Its default strength is then at least that for chemical bonds.
    """
    force = data.force_scale()
    if pair_repulsion is not None:
        scale = replace(data.scale, energy=max(data.scale.energy, UNKNOWN_ENERGY))
        wall = pair_repulsion.in_scale(scale)
        force = max(force, wall.typical_force(scale.length))
    return force * data.length_scale()
