"""Descriptors of atoms and their derivatives by the vectors to their neighbors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from bostruct.structures.strain import VOIGT


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
        out = self.features.new_zeros(n, 6, f)
        for k, (i, j) in enumerate(VOIGT):
            each = self.vectors[:, i, None] * self.gradients[:, j]
            if i != j:
                each = (each + self.vectors[:, j, None] * self.gradients[:, i]) / 2
            out[:, k] = out[:, k].index_add(0, self.center, each)
        return out
