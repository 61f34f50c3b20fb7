"""Distance of fingerprints, and the tolerance below which structures are duplicates."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from bostruct.errors import check_positive

RELATIVE_ROUNDING = 1e-9
"""Relative rounding error up to which limits of distances count as met."""

DUPLICATE_TOLERANCE = 0.05
"""Largest difference between the fingerprints of duplicates, in bond lengths."""

MAX_CHUNK_ELEMENTS = 1 << 24
"""Largest number of elements compared at once; bounds the memory to about 100 MB."""


class FingerprintedStructures(Protocol):
    """Structures of a continuous space, which are compared by their fingerprints.

    Continuous spaces inherit from it.
    """

    atomic_radii: Tensor

    def fingerprint(self, X: Tensor) -> Tensor:
        """Return the fingerprint at X `[..., d]`, `[..., f]` Å, equal for equal structures."""
        ...

    @cached_property
    def fingerprint_tolerance(self) -> float:
        """Largest difference between the fingerprints of duplicates, Å."""
        return DUPLICATE_TOLERANCE * 2 * float(self.atomic_radii.mean())

    def is_duplicate(self, A: Tensor, B: Tensor, tolerance_scale: float = 1.0) -> Tensor:
        """Return whether A and B `[..., d]`, broadcast, have equal fingerprints, `[...]`.

        `tolerance_scale` multiplies the tolerance: below 1 is stricter.

        Raises:
            InputError: the scale is not positive.
        """
        check_positive("tolerance_scale", tolerance_scale, "It multiplies the tolerance.")
        tolerance = tolerance_scale * self.fingerprint_tolerance
        return is_within_tolerance(self.fingerprint(A), self.fingerprint(B), tolerance)


def is_within_tolerance(A: Tensor, B: Tensor, tolerance: float) -> Tensor:
    """Return whether no element of A and B `[..., f]`, broadcast, differs by more, `[...]`."""
    shape = (A[..., :1] + B[..., :1]).shape[:-1] + A.shape[-1:]
    A, B = A.expand(shape), B.expand(shape)
    if A.numel() <= MAX_CHUNK_ELEMENTS or A.dim() == 1:
        return (A - B).abs().amax(-1) < tolerance
    if len(A) == 1:
        return is_within_tolerance(A[0], B[0], tolerance).unsqueeze(0)
    half = len(A) // 2
    first = is_within_tolerance(A[:half], B[:half], tolerance)
    return torch.cat([first, is_within_tolerance(A[half:], B[half:], tolerance)])
