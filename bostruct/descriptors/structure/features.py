"""Protocols of structure features, and element fractions as features.

Notation
    b, f   structures, features of one
    X      [..., d]   coordinates of a space
    D      distance between features; about 1 between two random members

A kernel over structures needs a distance. `StructureFeatures` is a configuration that does not
depend on a space; its `fit` samples members of a space and returns a `FeatureMap`, which consists
of tensors and is logged with a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from bostruct.structures import Structures

N_SAMPLE_MEMBERS = 512  # members of a space that a feature map is fitted to


class SupportsComposition(Protocol):
    """Discrete space whose members have compositions and structures."""

    @property
    def numbers(self) -> Tensor:
        """Atomic numbers of the elements, `[k]`."""
        ...

    @property
    def atomic_radii(self) -> Tensor:
        """Radii of the elements, `[k]` Å."""
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
    """Map from members of a space to features, which consists of tensors alone."""

    @property
    def cacheable(self) -> bool:
        """True if features are so slow to compute that they should be cached."""
        ...

    @property
    def n_features(self) -> int:
        """Number of features f."""
        ...

    def __call__(self, space: SupportsComposition, X: Tensor) -> Tensor:
        """Return the features at X `[n, d]`, `[n, f]` float64."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of the map, by name."""
        ...


@runtime_checkable
class StructureFeatures(Protocol):
    """Configuration of structure features, independent of a space."""

    def description(self) -> dict[str, Any]:
        """Return the class name as "type" and the constructor arguments, as JSON values."""
        ...

    def fit(self, space: SupportsComposition, generator: torch.Generator) -> FeatureMap:
        """Return the feature map fitted to members of a space."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> FeatureMap:
        """Return the feature map of stored tensors."""
        ...


@final
@dataclass(frozen=True)
class ElementFractions:
    """Composition: k fractions as k - 1 Cartesian coordinates of the simplex.

    Fractions sum to one; in an orthonormal basis of that plane (Helmert's) all elements are
    equivalent, distances are those between fractions, and the origin is the equimolar composition.
    """

    def description(self) -> dict[str, Any]:
        """Return the class name, as JSON values."""
        return {"type": "ElementFractions"}

    def fit(
        self, space: SupportsComposition, generator: torch.Generator
    ) -> ElementFractionFeatures:
        """Return the map in units of the median distance between members."""
        fractions = space.composition(space.sample(N_SAMPLE_MEMBERS, generator)).double()
        basis = helmert_basis(fractions.shape[-1])
        return ElementFractionFeatures(basis / median_distance(fractions @ basis))

    def restore(self, tensors: Mapping[str, Tensor]) -> ElementFractionFeatures:
        """Return the feature map of stored tensors."""
        return ElementFractionFeatures(tensors["basis"])


@final
@dataclass(frozen=True, eq=False)
class ElementFractionFeatures:
    """Coordinates of compositions of a fitted `ElementFractions`.

    Attributes:
        basis: `[k, k - 1]`, orthogonal columns of equal norms and of zero sum.
        cacheable: false, as features are fast to compute.
    """

    basis: Tensor
    cacheable: bool = False

    @property
    def n_features(self) -> int:
        """Number of coordinates k - 1."""
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
    """Return the median distance between different rows `[n, f]`, 1 if there are none."""
    if not features.shape[-1]:
        return 1.0
    D = torch.pdist(features)
    D = D[1e-9 * D.max() < D] if len(D) else D
    return float(D.median()) if len(D) else 1.0
