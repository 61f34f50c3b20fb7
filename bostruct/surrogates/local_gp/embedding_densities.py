"""Densities of the embedding by marginal likelihood, for each pair of species.

Notation
    theta  [p]   logarithms of the decays of all pairs of species over a typical one, then those of
                 their weights; one species has none, since its energies do not depend on it
    phi          amplitudes and noises, the hyperparameters of `marginal_likelihood`
    log p        log marginal likelihood of some energies and force components, times priors

Both are maximized together, from the most probable phi for typical densities. With the weighted
rows F of all features, their residuals r = y - F w and covariance C of the weights (notation of
`marginal_likelihood`),
    d log p / d F = D^-1 (r w^T - F C)
of which the columns of the embedding change with theta; their derivatives are differences.

A typical second-moment potential has decays of 4 to 8, and of one metal they are known to a few
percent from a handful of forces. Of matter without a density, such as ions, they stay typical.
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

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
from bostruct.surrogates.local_gp.marginal_likelihood import RowStatistics, weight_posterior
from bostruct.surrogates.training_data import Observations

MAX_STRUCTURES, MAX_ATOMS, MAX_FORCES = 10, 400, 120
"""Largest numbers of structures, of all their atoms, and of their force components that tell."""

DECAY_WIDTH, WEIGHT_WIDTH = 0.4, 0.5
"""Standard deviations of the logarithms of decays and weights before there are data."""

MAX_LOG_FACTOR = 1.2
"""Largest logarithm of a decay over the typical one, and of a weight."""

STEP = 1e-4  # of the differences, in theta
TOLERANCE, RELATIVE_TOLERANCE = 0.5, 1e-4  # of the derivatives of log p, of its increase
MAX_ITERATIONS = 40


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
    joint = JointLikelihood(description, radii, terms, soap, kernel, data, given)
    typical = np.zeros_like(joint.widths)
    joint.fit.maximize_scaled(*joint.statistics(joint.features(typical)))
    start = np.concatenate((joint.fit.logarithms(), typical))
    bounds = [*joint.fit.bounds(), *[(-MAX_LOG_FACTOR, MAX_LOG_FACTOR)] * len(typical)]
    options = {"maxiter": MAX_ITERATIONS, "gtol": TOLERANCE, "ftol": RELATIVE_TOLERANCE}
    found = minimize(joint.loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return densities_of(found.x[-len(typical) :], len(radii))


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


@final
class JointLikelihood:
    """Energies and force components in units of the problem, and their likelihood.

    The arguments are those of `most_probable_densities`.
    """

    def __init__(
        self,
        description: EmbeddingTerm,
        radii: Tensor,
        terms: EnergyTerms,
        soap: SOAP,
        kernel: DotProductKernel,
        data: Observations,
        given: tuple[float, float, float] | None,
    ) -> None:
        a = int(data.structures.counts.max())
        data = data.subsample(min(MAX_STRUCTURES, max(2, MAX_ATOMS // a)))
        self.description, self.radii, self.terms = description, radii, terms
        self.soap, self.data, self.widths = soap, data, _widths(len(radii))
        self.fit = ScaledFit(data, terms, given)
        self.forces = ForceRows.draw(data, MAX_FORCES)
        factor, atom = data.noise_factor, self.forces.atom
        root = factor * data.structures.counts.sqrt(), factor[data.structures.index[atom]]
        self.weight = torch.cat((1 / root[0], data.scale.length / root[1])).unsqueeze(-1)
        values = data.energy / root[0], data.forces[atom, self.forces.axis] / root[1]
        self.values = values[0] / data.scale.energy, values[1] / data.scale.force
        with torch.no_grad():
            exact = ExactRows.compute(soap, data, self.forces).features_of(kernel)
        self.environments = self.weight * exact
        m = exact.shape[1]
        sizes = [m, *(term.n_features for term in terms)]
        (k,) = (k for k, term in enumerate(terms) if isinstance(term, FittedEmbeddingTerm))
        self.columns = slice(sum(sizes[: k + 1]), sum(sizes[: k + 2]))

    def loss(self, x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return minus log p and its derivatives with respect to the logarithms of phi, and theta.

        Args:
            x: Logarithms of phi, then theta.
        """
        phi, theta = np.split(x, [-len(self.widths)])
        F = self.features(theta)
        self.fit.set_logarithms(phi)
        value, slopes = self.fit.log_posterior(*self.statistics(F))
        changes = self._derivatives(F)
        gradient = -theta / self.widths**2
        for k in range(len(theta)):
            moved = theta.copy()
            moved[k] += STEP
            gradient[k] += (
                float((changes * (self.features(moved) - F)[:, self.columns]).sum()) / STEP
            )
        value -= float(np.square(theta / self.widths).sum()) / 2
        return -value, -np.concatenate((slopes, gradient))

    def features(self, theta: NDArray[np.float64]) -> Tensor:
        """Return the weighted rows F `[b + r, m]`."""
        densities = densities_of(theta, len(self.radii))
        terms = with_densities(self.terms, self.description, self.radii, densities)
        parts = self.forces.term_features(terms, self.soap, self.data)
        return torch.cat((self.environments, self.weight * parts), -1)

    def statistics(self, F: Tensor) -> tuple[RowStatistics, RowStatistics]:
        """Return those of the energies and of the forces."""
        empty, kinds = RowStatistics.empty(F.shape[1], F), F.split([len(y) for y in self.values])
        energies, forces = (
            empty.add_rows(rows, y, torch.ones_like(y)) if len(y) else empty
            for rows, y in zip(kinds, self.values, strict=True)
        )
        return energies, forces

    def _derivatives(self, F: Tensor) -> Tensor:
        """Return the derivatives of log p by the columns of the embedding, `[b + r, k]`."""
        statistics, (s, e, f, std) = self.statistics(F), self.fit.scaled_values(F)
        factor, w = weight_posterior(*statistics, s, e, f, std)
        C = torch.cholesky_solve(torch.eye(len(w)).to(F)[:, self.columns], factor)
        changes = []
        kinds = F.split([len(y) for y in self.values])
        for rows, y, part, noise in zip(kinds, self.values, statistics, (e, f), strict=True):
            residual = (y - rows @ w).unsqueeze(-1)
            changes.append((residual * w[self.columns] - rows @ C) / part.row_variance(s, noise))
        return torch.cat(changes)
