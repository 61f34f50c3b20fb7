"""Features of whole structures.

Notation
    b, f   structures, features of one
    X      [..., d]   coordinates of a space
    D      distance between features; about 1 between two random members

What a kernel over structures needs is a distance. `Features` is a description that can
be written down before there is a space; `prepared` looks at a sample of a space's
members and returns a `Map`, which is all numbers, and goes with a model into the log.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from bostruct.structures import Structures

N_SAMPLE_MEMBERS = 512  # members that are looked at


class SupportsComposition(Protocol):
    """What features need of a space of separate structures."""

    @property
    def numbers(self) -> Tensor:
        """Atomic numbers that may occur, `[k]`."""
        ...

    @property
    def atomic_radii(self) -> Tensor:
        """Their radii, `[k]` Å."""
        ...

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random members, `[n, d]`."""
        ...

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major."""
        ...

    def composition(self, X: Tensor) -> Tensor:
        """Return the compositions at X `[..., d]`, `[..., k]`."""
        ...


class FeatureMap(Protocol):
    """Features of members of a space. It consists of numbers alone."""

    @property
    def cacheable(self) -> bool:
        """Whether features are better kept than computed again."""
        ...

    @property
    def n_features(self) -> int:
        """The number of features f."""
        ...

    def __call__(self, space: SupportsComposition, X: Tensor) -> Tensor:
        """Return the features at X `[n, d]`, `[n, f]` float64."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers it consists of, by name."""
        ...


@runtime_checkable
class StructureFeatures(Protocol):
    """Kinds of features, before there is a space."""

    def description(self) -> dict[str, Any]:
        """Return what identifies them, as JSON values; their "features" is a name."""
        ...

    def fit(self, space: SupportsComposition, generator: torch.Generator) -> FeatureMap:
        """Return the map that suits a space."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> FeatureMap:
        """Return the map with these numbers."""
        ...


@final
@dataclass(frozen=True)
class ElementFractions:
    """Composition: k fractions as k - 1 Cartesian coordinates of the simplex.

    Fractions sum to one; in an orthonormal basis of that plane (Helmert's) none is left out,
    distances are those between fractions, and the origin is the equimolar composition.
    """

    def description(self) -> dict[str, Any]:
        """Return what identifies them, as JSON values."""
        return {"type": "ElementFractions"}

    def fit(
        self, space: SupportsComposition, generator: torch.Generator
    ) -> ElementFractionFeatures:
        """Return the map in units of the median distance between members."""
        fractions = space.composition(space.sample(N_SAMPLE_MEMBERS, generator)).double()
        basis = helmert_basis(fractions.shape[-1])
        return ElementFractionFeatures(basis / median_distance(fractions @ basis))

    def restore(self, tensors: Mapping[str, Tensor]) -> ElementFractionFeatures:
        """Return the map with these numbers."""
        return ElementFractionFeatures(tensors["basis"])


@final
@dataclass(frozen=True, eq=False)
class ElementFractionFeatures:
    """What `Fractions` becomes.

    Attributes:
        basis: `[k, k - 1]`, of equal norms, orthogonal, and to the sum as well.
    """

    basis: Tensor
    cacheable: bool = False

    @property
    def n_features(self) -> int:
        """The number of coordinates k - 1."""
        return self.basis.shape[1]

    def __call__(self, space: SupportsComposition, X: Tensor) -> Tensor:
        """Return the coordinates at X `[n, d]`, `[n, k - 1]`."""
        return space.composition(X).to(self.basis) @ self.basis

    def tensors(self) -> dict[str, Tensor]:
        """Return the basis."""
        return {"basis": self.basis}


def helmert_basis(n_elements: int) -> Tensor:
    """Return an orthonormal basis of the plane of constant sum, `[k, k - 1]`."""
    basis = torch.zeros(n_elements, n_elements - 1, dtype=torch.float64)
    for j in range(1, n_elements):
        basis[:j, j - 1] = 1 / math.sqrt(j * (j + 1))
        basis[j, j - 1] = -j / math.sqrt(j * (j + 1))
    return basis


def median_distance(features: Tensor) -> float:
    """Return the median distance between different rows of Z `[n, f]`; 1 of none."""
    if not features.shape[-1]:
        return 1.0
    D = torch.pdist(features)
    D = D[1e-9 * D.max() < D] if len(D) else D
    return float(D.median()) if len(D) else 1.0
