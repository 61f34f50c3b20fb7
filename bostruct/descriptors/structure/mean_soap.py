"""Structures as the mean of their environments.

Notation
    b, n, m   structures, atoms of all, inducing environments
    p         [n, f]   SOAP of each atom, of unit length
    k         [n, m]   (p . p_m)^power, covariances with the inducing environments
    phi       [b, m]   mean over the atoms of a structure of L^-1 k, K_mm = L L^T

    |phi_A - phi_B|² = K_AA + K_BB - 2 K_AB,   K_AB = mean_ij (p_i . p_j)^power

as far as the inducing environments see: the average kernel of De, Bartók, Csányi and
Ceriotti, Phys. Chem. Chem. Phys. 18, 13754 (2016), eq. 11, not normalised. It does not
change when a structure is turned, moved, written in a larger cell or its atoms in
another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct.descriptors.soap.soap import SOAP
from bostruct.descriptors.structure.features import SAMPLE, Source, median
from bostruct.errors import check_count, check_positive
from bostruct.structures import Structures

CHUNK = 128  # structures whose environments are in memory at once
LEFT = 1e-7  # of an environment, explained by the others to all but this share
POOL = 8192  # environments that may become inducing ones


@final
@dataclass(frozen=True)
class Averaged:
    """Mean of the atoms' environments.

    Attributes:
        cutoff: Å, of the environments.
        radial: radial functions of the descriptor.
        angular: largest degree of its spherical harmonics.
        power: exponent of the kernel between environments.
        inducing: the most environments that structures are seen through, which is
            the number of features.

    Raises:
        InputError: a number is out of range.
    """

    cutoff: float = 5.0
    radial: int = 6
    angular: int = 4
    power: int = 2
    inducing: int = 256

    def __post_init__(self) -> None:
        check_count("power", self.power)
        check_count("inducing", self.inducing)
        self._soap((1,))

    def description(self) -> dict[str, Any]:
        """Return what identifies them, as JSON values."""
        return {"features": "averaged"} | asdict(self)

    def prepared(self, source: Source, generator: torch.Generator) -> Average:
        """Return the map whose environments are those of a sample of members."""
        structures = source.decode(source.sample(SAMPLE, generator).unique(dim=0))
        soap = self._soap(tuple(source.numbers.tolist()))
        P = torch.cat([soap(part).double() for part in _parts(structures)])
        step = -(-len(P) // POOL)
        chosen, factor = pivots(P[::step], self.power, self.inducing)
        found = Average(soap, self.power, chosen, factor, torch.ones((), dtype=P.dtype))
        scale = median(found.of(structures))
        return Average(soap, self.power, chosen, factor, P.new_tensor(1 / scale))

    def restore(self, tensors: Mapping[str, Tensor]) -> Average:
        """Return the map with these numbers."""
        species = tuple(tensors["species"].tolist())
        radial, angular, power = tensors["sizes"].tolist()
        cutoff, center = tensors["cutoff"].tolist()
        soap = SOAP(species, cutoff, radial, angular, center)
        chosen, factor = tensors["environments"], tensors["factor"]
        return Average(soap, power, chosen, factor, tensors["scale"])

    def _soap(self, species: tuple[int, ...]) -> SOAP:
        check_positive("cutoff", self.cutoff, "Give a length in Å.")
        return SOAP(species, self.cutoff, self.radial, self.angular)


@final
@dataclass(frozen=True, eq=False)
class Average:
    """What `Averaged` becomes.

    Attributes:
        soap: the descriptor.
        power: exponent of the kernel.
        environments: `[m, f]` the inducing ones.
        factor: `[m, m]` L.
        scale: one over the median distance, so that it becomes 1.
    """

    soap: SOAP
    power: int
    environments: Tensor
    factor: Tensor
    scale: Tensor
    costly: bool = True

    def __call__(self, source: Source, X: Tensor) -> Tensor:
        """Return the features at X `[n, d]`, `[n, m]`."""
        return torch.cat([self.of(source.decode(part)) for part in X.split(CHUNK)])

    @property
    def size(self) -> int:
        """The number of features m."""
        return len(self.environments)

    def of(self, structures: Structures) -> Tensor:
        """Return the features of b structures, `[b, m]`.

        Raises:
            InputError: an element that the space does not have.
        """
        found = [self.environments.new_zeros(0, self.size)]
        for part in _parts(structures):
            P = self.soap(part).to(self.environments)
            k = (P @ self.environments.T) ** self.power
            total = k.new_zeros(len(part), self.size).index_add(0, part.index, k)
            found.append(total / part.counts.to(k).clamp(min=1).unsqueeze(-1))
        k = torch.cat(found).T.contiguous()
        phi: Tensor = torch.linalg.solve_triangular(self.factor, k, upper=False)
        return phi.T * self.scale

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers it consists of, by name."""
        soap, like = self.soap, self.factor
        return {
            "species": torch.tensor(soap.species),
            "sizes": torch.tensor([soap.radial, soap.angular, self.power]),
            "cutoff": like.new_tensor([soap.cutoff, soap.center]),
            "environments": self.environments,
            "factor": self.factor,
            "scale": self.scale,
        }


def pivots(P: Tensor, power: int, count: int) -> tuple[Tensor, Tensor]:
    """Return rows that explain the others best, and their factor.

    Pivoted Cholesky: each time the row of which most is left.

    Args:
        P: `[n, f]` environments.
        power: exponent of the kernel.
        count: rows to take at most.

    Returns:
        The rows `[m, f]`, and L `[m, m]` of the kernel between them.
    """
    left = P.square().sum(-1) ** power
    columns = P.new_zeros(min(count, len(P)), len(P))
    taken: list[int] = []
    while len(taken) < len(columns) and float(left.max()) > LEFT:
        pivot, step = int(left.argmax()), len(taken)
        column = (P @ P[pivot]) ** power - columns[:step, pivot] @ columns[:step]
        columns[step] = column / left[pivot].sqrt()
        left = (left - columns[step].square()).clamp(min=0)
        left[pivot] = 0
        taken.append(pivot)
    factor = columns[: len(taken), taken].T.tril().contiguous()
    return P[taken].contiguous(), factor


def _parts(structures: Structures) -> list[Structures]:
    return [structures[i : i + CHUNK] for i in range(0, len(structures), CHUNK)]
