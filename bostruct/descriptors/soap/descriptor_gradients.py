"""Descriptors of atoms and their derivatives by the vectors to their neighbors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from bostruct.structures.strain import VOIGT

PAIRS_PER_CHUNK = 1024  # pairs whose derivatives by the strain are in memory at once


@final
@dataclass(frozen=True, eq=False)
class DescriptorGradients:
    """Descriptor and its derivatives with respect to neighbor vectors.

    Attributes:
        features: `[n, f]`, descriptor of each atom.
        center: `[p]`, index of the central atom of each pair.
        neighbor: `[p]`, index of the neighbor of each pair.
        gradients: `[p, 3, f]` 1/Å, derivative of `features[center]` with respect to the
            vector from `center` to `neighbor`. Moving `center` has the opposite effect.
        vectors: `[p, 3]` Å, vector from `center` to `neighbor`.
    """

    features: Tensor
    center: Tensor
    neighbor: Tensor
    gradients: Tensor
    vectors: Tensor

    def by_strain(self) -> Tensor:
        """Return the derivatives of the features by the strain, `[n, 6, f]`; see `strain`."""
        n, f = self.features.shape
        out, x = self.features.new_zeros(n, len(VOIGT), f), self.vectors / 2
        strain = x.new_zeros(len(x), len(VOIGT), 3)  # vectors change by its products
        for k, (i, j) in enumerate(VOIGT):
            strain[:, k, j] += x[:, i]
            strain[:, k, i] += x[:, j]
        for start in range(0, len(x), PAIRS_PER_CHUNK):
            pairs = slice(start, start + PAIRS_PER_CHUNK)
            out.index_add_(0, self.center[pairs], strain[pairs] @ self.gradients[pairs])
        return out
