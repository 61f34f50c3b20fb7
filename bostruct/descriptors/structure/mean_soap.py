"""Structures as the mean of their environments.

Notation
    b, n, m   structures, atoms of all, inducing environments
    p         [n, f]   SOAP of each atom, of unit length
    k         [n, m]   (p . p_m)^power, covariances with the inducing environments
    phi       [b, m]   mean over the atoms of a structure of L^-1 k, K_mm = L L^T

    |phi_A - phi_B|² = K_AA + K_BB - 2 K_AB,   K_AB = mean_ij (p_i . p_j)^power

as far as the inducing environments see: the average kernel of De, Bartók, Csányi and Ceriotti,
Phys. Chem. Chem. Phys. 18, 13754 (2016), eq. 11, not normalised. It does not change when a
structure is turned, moved, written in a larger cell or its atoms in another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct.descriptors.soap.soap import SOAP
from bostruct.descriptors.structure.features import (
    N_SAMPLE_MEMBERS,
    SupportsComposition,
    median_distance,
)
from bostruct.errors import check_count, check_positive
from bostruct.structures import Structures

STRUCTURES_PER_CHUNK = 128  # structures whose environments are in memory at once
RESIDUAL_TOLERANCE = 1e-7  # of an environment, explained by the others to all but this share
MAX_PIVOT_CANDIDATES = 8192  # environments that may become inducing ones


@final
@dataclass(frozen=True)
class MeanSOAP:
    """Mean of the atoms' environments.

    Attributes:
        cutoff: Å, of the environments.
        n_max: radial functions of the descriptor.
        l_max: largest degree of its spherical harmonics.
        zeta: exponent of the kernel between environments.
        max_inducing: the most environments that structures are seen through, which is
            the number of features.

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
        """Return what identifies them, as JSON values."""
        return {"type": "MeanSOAP"} | asdict(self)

    def fit(self, space: SupportsComposition, generator: torch.Generator) -> MeanSOAPFeatures:
        """Return the map whose environments are those of a sample of members."""
        structures = space.decode(space.sample(N_SAMPLE_MEMBERS, generator).unique(dim=0))
        soap = self._soap(tuple(space.numbers.tolist()))
        P = torch.cat([soap(part).double() for part in _split_chunks(structures)])
        step = -(-len(P) // MAX_PIVOT_CANDIDATES)
        chosen, factor = pivoted_cholesky(P[::step], self.zeta, self.max_inducing)
        found = MeanSOAPFeatures(soap, self.zeta, chosen, factor, torch.ones((), dtype=P.dtype))
        scale = median_distance(found.transform(structures))
        return MeanSOAPFeatures(soap, self.zeta, chosen, factor, P.new_tensor(1 / scale))

    def restore(self, tensors: Mapping[str, Tensor]) -> MeanSOAPFeatures:
        """Return the map with these numbers."""
        species = tuple(tensors["species"].tolist())
        radial, angular, power = tensors["sizes"].tolist()
        cutoff, center = tensors["cutoff"].tolist()
        soap = SOAP(species, cutoff, radial, angular, center)
        chosen, factor = tensors["inducing_environments"], tensors["kernel_cholesky"]
        return MeanSOAPFeatures(soap, power, chosen, factor, tensors["scale"])

    def _soap(self, species: tuple[int, ...]) -> SOAP:
        check_positive("cutoff", self.cutoff, "Give a length in Å.")
        return SOAP(species, self.cutoff, self.n_max, self.l_max)


@final
@dataclass(frozen=True, eq=False)
class MeanSOAPFeatures:
    """What `Averaged` becomes.

    Attributes:
        soap: the descriptor.
        zeta: exponent of the kernel.
        inducing_environments: `[m, f]` the inducing ones.
        kernel_cholesky: `[m, m]` L.
        scale: one over the median distance, so that it becomes 1.
    """

    soap: SOAP
    zeta: int
    inducing_environments: Tensor
    kernel_cholesky: Tensor
    scale: Tensor
    cacheable: bool = True

    def __call__(self, space: SupportsComposition, X: Tensor) -> Tensor:
        """Return the features at X `[n, d]`, `[n, m]`."""
        return torch.cat(
            [self.transform(space.decode(part)) for part in X.split(STRUCTURES_PER_CHUNK)]
        )

    @property
    def n_features(self) -> int:
        """The number of features m."""
        return len(self.inducing_environments)

    def transform(self, structures: Structures) -> Tensor:
        """Return the features of b structures, `[b, m]`.

        Raises:
            InputError: an element that the space does not have.
        """
        found = [self.inducing_environments.new_zeros(0, self.n_features)]
        for part in _split_chunks(structures):
            P = self.soap(part).to(self.inducing_environments)
            k = (P @ self.inducing_environments.T) ** self.zeta
            total = k.new_zeros(len(part), self.n_features).index_add(0, part.index, k)
            found.append(total / part.counts.to(k).clamp(min=1).unsqueeze(-1))
        k = torch.cat(found).T.contiguous()
        phi: Tensor = torch.linalg.solve_triangular(self.kernel_cholesky, k, upper=False)
        return phi.T * self.scale

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers it consists of, by name."""
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
    """Return rows that explain the others best, and their factor.

    Pivoted Cholesky: each time the row of which most is left.

    Args:
        P: `[n, f]` environments.
        zeta: exponent of the kernel.
        max_pivots: rows to take at most.

    Returns:
        The rows `[m, f]`, and L `[m, m]` of the kernel between them.
    """
    left = P.square().sum(-1) ** zeta
    columns = P.new_zeros(min(max_pivots, len(P)), len(P))
    taken: list[int] = []
    while len(taken) < len(columns) and float(left.max()) > RESIDUAL_TOLERANCE:
        pivot, step = int(left.argmax()), len(taken)
        column = (P @ P[pivot]) ** zeta - columns[:step, pivot] @ columns[:step]
        columns[step] = column / left[pivot].sqrt()
        left = (left - columns[step].square()).clamp(min=0)
        left[pivot] = 0
        taken.append(pivot)
    factor = columns[: len(taken), taken].T.tril().contiguous()
    return P[taken].contiguous(), factor


def _split_chunks(structures: Structures) -> list[Structures]:
    return [
        structures[i : i + STRUCTURES_PER_CHUNK]
        for i in range(0, len(structures), STRUCTURES_PER_CHUNK)
    ]
