"""Densities of the embedding by marginal likelihood, for each pair of species.

Notation
    r, t          energies and force components, features of all terms beside the environments
    theta  [p]    logarithms of the decays of all pairs of species over a typical one, then those of
                  their weights; one species has none, since its energies do not depend on it
    phi           logarithms of amplitudes and noises, the hyperparameters of `marginal_likelihood`
    K, T   [r, r], [r, t]   covariances of the environments, features of the terms
    C      [r, r]   s² K + T S² T^T + D, with the noise variances D
    a      [r]      C^-1 y

    log p = -y . a / 2 - log |C| / 2 + const,   d log p = tr((a a^T - C^-1) dC) / 2

The rows are few, so that their covariance is the way to the likelihood. It is maximized, times
priors, over theta and phi together; derivatives of features by theta are central differences.

A typical second-moment potential has decays of 4 to 8, and of one metal they are known to a few
percent from a handful of forces. Of matter without a density, such as ions, they stay typical.
"""

from __future__ import annotations

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
from bostruct.surrogates.local_gp.kernel_selection import MAX_PROJECTIONS
from bostruct.surrogates.local_gp.marginal_likelihood import safe_cholesky
from bostruct.surrogates.training_data import Observations

MAX_STRUCTURES, MAX_ATOMS, MAX_FORCES = 10, 400, 120
"""Largest numbers of structures, of all their atoms, and of their force components that tell."""

DECAY_WIDTH, WEIGHT_WIDTH = 0.4, 0.5
"""Standard deviations of the logarithms of decays and weights before there are data."""

MAX_LOG_FACTOR = 1.2
"""Largest logarithm of a decay over the typical one, and of a weight."""

STEP = 1e-4  # of the differences, in theta
OVERFLOW_LOSS = 1e100  # from which a line search turns back
OPTIONS = {"gtol": 1e-3, "ftol": 1e-11, "maxiter": 200, "maxcor": 50}
"""Options of L-BFGS-B, strict so that the optimum does not depend on the path to it."""

DECIMALS = 3  # of theta: less is not known, and rounding errors of energies are gone


def densities_of(theta: NDArray[np.float64], n_species: int) -> Densities:
    """Return the densities that theta `[p]` stands for."""
    types = pair_types(n_species)
    decays, weights = torch.from_numpy(theta).tensor_split([int(types.max()) + 1])
    weight = weights.exp()[types] if n_species > 1 else torch.ones(1, 1, dtype=torch.float64)
    return Densities(DECAY * decays.exp()[types], weight)


def _widths(n_species: int) -> NDArray[np.float64]:
    n_types = n_species * (n_species + 1) // 2
    n_weights = n_types if n_species > 1 else 0
    return np.array([DECAY_WIDTH] * n_types + [WEIGHT_WIDTH] * n_weights)


@final
class JointLikelihood:
    """Energies and force components in units of the problem, and their likelihood.

    Args:
        description: The embedding term.
        radii: Radius of each species, `[species]` Å.
        terms: All terms of the energy.
        soap: The descriptor.
        kernel: Kernel of its dot products.
        data: The training data, of which some structures and forces are taken.
        given: Signal, energy noise and force noise to keep; None fits them.
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
        self.description, self.radii = description, radii
        self.soap, self.data, self.widths = soap, data, _widths(len(radii))
        self.fit = ScaledFit(data, terms, given)
        b = len(data.structures)
        self.rows = ForceRows.draw(data, min(MAX_FORCES, MAX_PROJECTIONS // (a * a * b)))
        atom, axis, factor = self.rows.atom, self.rows.axis, data.noise_factor
        noises = factor * data.structures.counts.sqrt(), factor[data.structures.index[atom]]
        self.weight = torch.cat((1 / noises[0], data.scale.length / noises[1]))
        energies = data.energy / noises[0] / data.scale.energy
        forces = data.forces[atom, axis] / noises[1] / data.scale.force
        self.values = torch.cat((energies, forces))
        self.n_energies = b
        with torch.no_grad():
            K = ExactRows.compute(soap, data, self.rows).covariance(kernel)
        self.K = K * self.weight * self.weight.unsqueeze(-1)
        sizes = [term.n_features for term in terms]
        (k,) = (k for k, term in enumerate(terms) if isinstance(term, FittedEmbeddingTerm))
        self.columns = slice(sum(sizes[:k]), sum(sizes[: k + 1]))
        self.pairs = terms.pairs(data.structures)
        self.T = self._term_features(terms)

    def most_probable_densities(self) -> Densities:
        """Return the densities of highest marginal likelihood times their priors."""
        start = np.concatenate((self.fit.logarithms(), np.zeros_like(self.widths)))
        bounds = [*self.fit.bounds(), *[(-MAX_LOG_FACTOR, MAX_LOG_FACTOR)] * len(self.widths)]
        found = minimize(
            self.loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=OPTIONS
        )
        return densities_of(found.x[-len(self.widths) :].round(DECIMALS), len(self.radii))

    def loss(self, x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return minus log p and its derivatives.

        Args:
            x: Phi, then theta.
        """
        phi, theta = np.split(x, [-len(self.widths)])
        self.fit.set_logarithms(phi)
        s, e, f, *amplitudes = self.fit.scaled_values(self.K)
        std, b = self.fit.terms.weight_std(s, 0, amplitudes), self.n_energies
        T = self.T.clone()
        T[:, self.columns] = self.embedding(theta)
        G = T * std
        D = torch.cat((e.square().expand(b), f.square().expand(len(T) - b)))
        try:
            L = safe_cholesky(s**2 * self.K + G @ G.T + D.diag())
        except RuntimeError:  # of LAPACK: amplitudes that a line search tried have overflowed
            return OVERFLOW_LOSS, np.zeros_like(x)
        a = torch.cholesky_solve(self.values.unsqueeze(-1), L).squeeze(-1)
        value = -float(self.values @ a) / 2 - float(L.diagonal().log().sum())
        prior, slopes = self.fit.log_prior()
        M = torch.outer(a, a) - torch.cholesky_inverse(L)
        noises = M.diagonal() * D
        slopes[0] += float(s**2 * (M * self.K).sum())
        slopes[1] += float(noises[:b].sum())
        slopes[2] += float(noises[b:].sum())
        MG = M @ G
        shares = (MG * G).sum(0)
        for k, block in enumerate(self.fit.terms.amplitude_blocks(0)):
            slopes[3 + k] += float(shares[block].sum())
        changes = (MG * std)[:, self.columns]
        gradient = -theta / self.widths**2
        for k in range(len(theta)):
            step = STEP * np.eye(len(theta))[k]
            change = self.embedding(theta + step) - self.embedding(theta - step)
            gradient[k] += float((changes * change).sum()) / (2 * STEP)
        value += prior - float(np.square(theta / self.widths).sum()) / 2
        return -value, -np.concatenate((slopes, gradient))

    def embedding(self, theta: NDArray[np.float64]) -> Tensor:
        """Return the features of the embedding, `[r, k]`."""
        term = self.description.build(self.radii, densities_of(theta, len(self.radii)))
        return self._term_features(EnergyTerms((term,)))

    def _term_features(self, terms: EnergyTerms) -> Tensor:
        features = self.rows.term_features(terms, self.soap, self.data, self.pairs)
        return self.weight.unsqueeze(-1) * features
