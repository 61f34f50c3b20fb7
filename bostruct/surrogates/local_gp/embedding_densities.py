"""Densities of the embedding by marginal likelihood, for each pair of species.

Notation
    theta  [p]   logarithms of the decays of all pairs of species over a typical one, then those of
                 their weights; one species has none, since its energies do not depend on it
    phi          amplitudes and noises, the hyperparameters of `marginal_likelihood`
    log p        log marginal likelihood of some energies and force components, times priors

Maximized over theta is the largest log p over phi. Its derivative is that of log p for fixed phi
(envelope theorem), by differences: only the features of the embedding change with theta.

A typical second-moment potential has decays of 4 to 8, and of one metal they are known to a few
percent from a handful of forces. Of matter without a density, such as ions, they stay typical.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.surrogates.local_gp.dot_product_kernel import DotProductKernel
from bostruct.surrogates.local_gp.embedding_term import (
    DECAY,
    Densities,
    EmbeddingTerm,
    FittedEmbeddingTerm,
)
from bostruct.surrogates.local_gp.energy_terms import EnergyTerms, pair_types
from bostruct.surrogates.local_gp.exact_covariance import ExactRows, ForceRows
from bostruct.surrogates.local_gp.hyperparameter_fit import ScaledFit
from bostruct.surrogates.local_gp.marginal_likelihood import RowStatistics
from bostruct.surrogates.training_data import Observations

MAX_STRUCTURES, MAX_ATOMS, MAX_FORCES = 10, 400, 120
"""Largest numbers of structures, of all their atoms, and of their force components that tell."""

DECAY_WIDTH, WEIGHT_WIDTH = 0.4, 0.5
"""Standard deviations of the logarithms of decays and weights before there are data."""

MAX_LOG_FACTOR = 1.2
"""Largest logarithm of a decay over the typical one, and of a weight."""

STEP = 1e-4  # of the differences, in theta
TOLERANCE, RELATIVE_TOLERANCE = 0.5, 1e-3  # of the derivatives of log p, of its increase
MAX_ITERATIONS = 15


def most_probable_densities(
    description: EmbeddingTerm,
    radii: Tensor,
    terms: EnergyTerms,
    soap: SOAP,
    kernel: DotProductKernel,
    data: Observations,
    given: tuple[float, float, float] | None = None,
) -> Densities:
    """Return the densities of highest marginal likelihood times their priors.

    Args:
        description: The embedding term.
        radii: Radius of each species, `[species]` Å.
        terms: All terms of the energy.
        soap: The descriptor.
        kernel: Kernel of its dot products.
        data: The training data, of which some structures and forces are taken.
        given: Signal, energy noise and force noise to keep; None fits them.
    """
    a = int(data.structures.counts.max())
    data = data.subsample(min(MAX_STRUCTURES, max(2, MAX_ATOMS // a)))
    rows = ForceRows.draw(data, MAX_FORCES)
    with torch.no_grad():
        environments = ExactRows.compute(soap, data, rows).features_of(kernel)
    fit, width = ScaledFit(data, terms, given), _widths(len(radii))

    def statistics(theta: NDArray[np.float64]) -> tuple[RowStatistics, RowStatistics]:
        moved = with_densities(terms, description, radii, densities_of(theta, len(radii)))
        features = rows.term_features(moved, soap, data)
        return rows.statistics(torch.cat((environments, features), -1), data)

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value = float(fit.maximize(*statistics(theta)))
        slopes = np.zeros_like(theta)
        for k in range(len(theta)):
            moved = theta.copy()
            moved[k] += STEP
            slopes[k] = (float(fit.log_likelihood(*statistics(moved))) - value) / STEP
        prior = (
            float(fit.hyperparameters.log_prior().detach())
            - float(np.square(theta / width).sum()) / 2
        )
        return -value - prior, theta / width**2 - slopes

    start = np.zeros_like(width)
    bounds = [(-MAX_LOG_FACTOR, MAX_LOG_FACTOR)] * len(start)
    options = {"maxiter": MAX_ITERATIONS, "gtol": TOLERANCE, "ftol": RELATIVE_TOLERANCE}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return densities_of(found.x, len(radii))


def with_densities(
    terms: EnergyTerms, description: EmbeddingTerm, radii: Tensor, densities: Densities
) -> EnergyTerms:
    """Return the terms with other densities of the embedding.

    Args:
        terms: All terms of the energy.
        description: The embedding term.
        radii: Radius of each species, `[species]` Å.
        densities: Densities of the pairs of species.
    """
    embedding = description.build(radii, densities)
    changed = (embedding if isinstance(term, FittedEmbeddingTerm) else term for term in terms)
    return replace(terms, terms=tuple(changed))


def densities_of(theta: NDArray[np.float64], n_species: int) -> Densities:
    """Return the densities that theta `[p]` stands for."""
    types = pair_types(n_species)
    decays, weights = (
        torch.from_numpy(theta)
        .double()
        .split([int(types.max()) + 1, len(theta) - int(types.max()) - 1])
    )
    weight = weights.exp()[types] if n_species > 1 else torch.ones(1, 1, dtype=torch.float64)
    return Densities(DECAY * decays.exp()[types], weight)


def _widths(n_species: int) -> NDArray[np.float64]:
    n_types = n_species * (n_species + 1) // 2
    n_weights = n_types if n_species > 1 else 0
    return np.array([DECAY_WIDTH] * n_types + [WEIGHT_WIDTH] * n_weights)
