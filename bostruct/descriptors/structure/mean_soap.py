"""Mean SOAP: structures as the mean of their atomic environments.

Notation
    b, n, m   structures, atoms of all, inducing environments
    p         [n, f]   SOAP of each atom, of unit length
    k         [n, m]   (p . p_m)^zeta, covariances with the inducing environments
    phi       [b, m]   mean over the atoms of a structure of L^-1 k, K_mm = L L^T

    |phi_A - phi_B|² = K_AA + K_BB - 2 K_AB,   K_AB = mean_ij (p_i . p_j)^zeta

up to the Nyström approximation: the average kernel of De, Bartók, Csányi and Ceriotti, Phys. Chem.
Chem. Phys. 18, 13754 (2016), eq. 11, not normalised. It is invariant under rotation, translation,
permutation of atoms and choice of the cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from bostruct.descriptors.soap.soap import SOAP
from bostruct.descriptors.structure.features import (
    N_SAMPLE_MEMBERS,
    SupportsComposition,
    median_distance,
)
from bostruct.errors import check_count
from bostruct.structures import Structures

STRUCTURES_PER_CHUNK = 128  # structures whose environments are in memory at once
RESIDUAL_TOLERANCE = 1e-7  # unexplained variance of an environment that ends the selection
MAX_PIVOT_CANDIDATES = 8192  # environments that inducing ones are selected from


@final
@dataclass(frozen=True)
class MeanSOAP:
    """Mean of the SOAP vectors of a structure in a Nyström feature space.

    Attributes:
        cutoff: cutoff radius of the environments, Å.
        n_max: number of radial functions.
        l_max: largest degree of the spherical harmonics.
        zeta: exponent of the kernel between environments.
        max_inducing: maximum number of inducing environments and of features.

    Raises:
        InputError: a number is out of range.
    """

    cutoff: float = 5.0
    n_max: int = 6
    l_max: int = 4
    zeta: int = 2
    max_inducing: int = 256

    def __post_init__(self) -> None:
        check_count("zeta", self.zeta)
        check_count("max_inducing", self.max_inducing)
        self._soap((1,))

    def description(self) -> dict[str, Any]:
        """Return the class name and the constructor arguments, as JSON values."""
        return {"type": "MeanSOAP"} | asdict(self)

    def fit(self, space: SupportsComposition, generator: torch.Generator) -> MeanSOAPFeatures:
        """Return the feature map with inducing environments from a sample of members."""
        structures = space.decode(space.sample(N_SAMPLE_MEMBERS, generator).unique(dim=0))
        soap = self._soap(tuple(space.numbers.tolist()))
        P = torch.cat([soap(chunk).double() for chunk in _split_chunks(structures)])
        step = -(-len(P) // MAX_PIVOT_CANDIDATES)
        inducing, factor = pivoted_cholesky(P[::step], self.zeta, self.max_inducing)
        unscaled = MeanSOAPFeatures(soap, self.zeta, inducing, factor, P.new_ones(()))
        scale = median_distance(unscaled.transform(structures))
        return replace(unscaled, scale=P.new_tensor(1 / scale))

    def restore(self, tensors: Mapping[str, Tensor]) -> MeanSOAPFeatures:
        """Return the feature map of stored tensors."""
        species = tuple(tensors["species"].tolist())
        n_max, l_max, zeta = tensors["sizes"].tolist()
        cutoff, center_atom_weight = tensors["cutoff"].tolist()
        soap = SOAP(species, cutoff, n_max, l_max, center_atom_weight)
        inducing, factor = tensors["inducing_environments"], tensors["kernel_cholesky"]
        return MeanSOAPFeatures(soap, zeta, inducing, factor, tensors["scale"])

    def _soap(self, species: tuple[int, ...]) -> SOAP:
        return SOAP(species, self.cutoff, self.n_max, self.l_max)


@final
@dataclass(frozen=True, eq=False)
class MeanSOAPFeatures:
    """Mean Nyström features of a fitted `MeanSOAP`, scaled.

    Attributes:
        soap: descriptor of the atoms.
        zeta: exponent of the kernel.
        inducing_environments: `[m, f]`, SOAP vectors of the inducing environments.
        kernel_cholesky: `[m, m]`, L, Cholesky factor of the kernel between them.
        scale: `[]`, one over the median distance between random members.
        cacheable: true, as features are slow to compute.
    """

    soap: SOAP
    zeta: int
    inducing_environments: Tensor
    kernel_cholesky: Tensor
    scale: Tensor
    cacheable: bool = True

    def __call__(self, space: SupportsComposition, X: Tensor) -> Tensor:
        """Return the features at X `[n, d]`, `[n, m]`."""
        chunks = X.split(STRUCTURES_PER_CHUNK)
        return torch.cat([self.transform(space.decode(chunk)) for chunk in chunks])

    @property
    def n_features(self) -> int:
        """Number of features m."""
        return len(self.inducing_environments)

    def transform(self, structures: Structures) -> Tensor:
        """Return the features of b structures, `[b, m]`.

        Raises:
            InputError: an element does not belong to the space.
        """
        means = [self.inducing_environments.new_zeros(0, self.n_features)]
        for chunk in _split_chunks(structures):
            P = self.soap(chunk).to(self.inducing_environments)
            k = (P @ self.inducing_environments.T) ** self.zeta
            total = k.new_zeros(len(chunk), self.n_features).index_add(0, chunk.index, k)
            means.append(total / chunk.counts.to(k).clamp(min=1).unsqueeze(-1))
        k = torch.cat(means).T.contiguous()
        phi: Tensor = torch.linalg.solve_triangular(self.kernel_cholesky, k, upper=False)
        return phi.T * self.scale

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of the map, by name."""
        soap, like = self.soap, self.kernel_cholesky
        return {
            "species": torch.tensor(soap.species),
            "sizes": torch.tensor([soap.n_max, soap.l_max, self.zeta]),
            "cutoff": like.new_tensor([soap.cutoff, soap.center_atom_weight]),
            "inducing_environments": self.inducing_environments,
            "kernel_cholesky": self.kernel_cholesky,
            "scale": self.scale,
        }


def pivoted_cholesky(P: Tensor, zeta: int, max_pivots: int) -> tuple[Tensor, Tensor]:
    """Return the pivot rows of a pivoted Cholesky factorisation, and their factor.

    Each pivot is the row of the largest unexplained variance.

    Args:
        P: `[n, f]`, SOAP vectors of environments.
        zeta: exponent of the kernel.
        max_pivots: maximum number of pivots.

    Returns:
        The pivot rows `[m, f]`, and L `[m, m]` of the kernel between them.
    """
    residual = P.square().sum(-1) ** zeta
    columns = P.new_zeros(min(max_pivots, len(P)), len(P))
    pivots: list[int] = []
    while len(pivots) < len(columns) and float(residual.max()) > RESIDUAL_TOLERANCE:
        pivot, step = int(residual.argmax()), len(pivots)
        column = (P @ P[pivot]) ** zeta - columns[:step, pivot] @ columns[:step]
        columns[step] = column / residual[pivot].sqrt()
        residual = (residual - columns[step].square()).clamp(min=0)
        residual[pivot] = 0
        pivots.append(pivot)
    factor = columns[: len(pivots), pivots].T.tril().contiguous()
    return P[pivots].contiguous(), factor


def _split_chunks(structures: Structures) -> list[Structures]:
    return [
        structures[i : i + STRUCTURES_PER_CHUNK]
        for i in range(0, len(structures), STRUCTURES_PER_CHUNK)
    ]
