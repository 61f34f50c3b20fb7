"""Fit of the hyperparameters to data, in units of the problem.

Data that do not tell the scale of energies, such as copies of one structure, are given that of the
pair prior.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from bostruct.structures import neighbor_table
from bostruct.structures.problem_scale import UNKNOWN_ENERGY
from bostruct.surrogates.local_gp.energy_terms import EnergyTerms
from bostruct.surrogates.local_gp.marginal_likelihood import (
    HYPERPARAMETER_NAMES,
    Hyperparameters,
    RowStatistics,
    degrees_of_freedom,
    log_marginal_likelihood,
    maximize_marginal_likelihood,
)
from bostruct.surrogates.local_gp.spectral_likelihood import SpectralLikelihood
from bostruct.surrogates.pair_repulsion import PairRepulsion
from bostruct.surrogates.training_data import Observations, species_counts

MIN_DEGREES_OF_FREEDOM = 0.5  # beyond the energies of the species, for data that tell a scale
FEW_DEGREES_OF_FREEDOM = 4.0  # further ones, for terms that explain all of near copies


def fit_hyperparameters(
    energies: RowStatistics,
    forces: RowStatistics,
    data: Observations,
    terms: EnergyTerms,
    given: tuple[float, float, float] | None,
    pair_repulsion: PairRepulsion | None,
    cutoff: float,
    spectral: SpectralLikelihood | None = None,
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
        cutoff: Reach of an atom, Å.
        spectral: Likelihood of these rows, or of some that differ in their residual variances;
            by default it is made where it saves time.
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
    m = len(energies.moment) - terms.n_features
    spectral = spectral or SpectralLikelihood.of(energies, forces, m)
    if spectral is not None:
        spectral = spectral.of_rows(energies, forces).in_units(unit, length)
    evidence = maximize_marginal_likelihood(
        *rows,
        fitted,
        terms.in_units(unit),
        fixed_names=fixed_names,
        evaluate=None if spectral is None else spectral.value_and_gradient,
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
    std = terms.weight_std(s, m, amplitudes)
    if given is None and not _tells_scale(energies, forces, (s, e, f, std), data, m, cutoff):
        s = s.clamp(min=_prior_scale(data, pair_repulsion))
        std = terms.weight_std(s, m, amplitudes)
        evidence = log_marginal_likelihood(energies, forces, s, e, f, std)
    return s, e, f, std, evidence


def _tells_scale(
    energies: RowStatistics,
    forces: RowStatistics,
    hyperparameters: tuple[Tensor, ...],
    data: Observations,
    m: int,
    cutoff: float,
) -> bool:
    """Return whether the data determine more than the energies of the species.

    They do not where structures are copies of one: that their energies are alike, or differ by
    noise, says nothing of those of other structures. Nor do they where atoms are out of each
    other's reach, although a term may see these, or where a term explains a few energies.

    Args:
        energies: Statistics of the energy rows.
        forces: Statistics of the force rows.
        hyperparameters: Signal, energy noise, force noise, those of all weights.
        data: The training data.
        m: Number of inducing environments.
        cutoff: Reach of an atom, Å.
    """
    structures = data.structures
    species, species_index = structures.numbers.unique(return_inverse=True)
    counts = species_counts(structures, species_index, len(species))
    minimum = int(torch.linalg.matrix_rank(counts)) + MIN_DEGREES_OF_FREEDOM
    known = degrees_of_freedom(energies, forces, *hyperparameters)
    if float(known[:m].sum()) > minimum:
        return True
    if float(known.sum()) <= minimum + FEW_DEGREES_OF_FREEDOM:
        return False
    return bool(neighbor_table(structures, cutoff)[2].any())


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
