"""Thickness window: heights between which the atoms of a layer of bounded thickness may relax.

A layer whose energy falls with the thickness is at rest where the forces that are left press its
lowest and highest atoms outwards. On the way there each coordinate that would leave the window is
put onto its border, so that the energy remains a function of all coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor

REST_TOLERANCE = 1e-3
"""Distance from the border of the window within which an atom rests on it, in thicknesses."""


@final
@dataclass(frozen=True)
class ThicknessWindow:
    """Heights that a bound on the thickness of a layer allows.

    Attributes:
        n_atoms: number of atoms a; the third coordinates of X `[..., d]` are their heights, Å.
        thickness: largest difference of heights, Å.
        middle: height of the middle of the window, Å.
    """

    n_atoms: int
    thickness: float
    middle: float

    def heights(self, X: Tensor) -> Tensor:
        """Return the heights of the atoms at X `[..., d]`, `[..., a]` Å."""
        return X[..., 2 : 3 * self.n_atoms : 3]

    def exceeds(self, X: Tensor) -> bool:
        """Return whether the layer at X `[d]` is thicker than the window."""
        z = self.heights(X)
        return float(z.max() - z.min()) > self.thickness

    def clamp(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` with heights beyond the window on its border."""
        half = self.thickness / 2
        clamped = X.clone()
        z = self.heights(X).clamp(self.middle - half, self.middle + half)
        clamped[..., 2 : 3 * self.n_atoms : 3] = z
        return clamped

    def beyond(self, X: Tensor) -> Tensor:
        """Return which atoms at X `[d]` are beyond the window, `[a]` bool."""
        return (self.heights(X) - self.middle).abs() > self.thickness / 2

    def resting_forces(self, X: Tensor, forces: Tensor) -> Tensor:
        """Return forces without those that press the layer on the bound, `[a, 3]` eV/Å.

        Args:
            X: `[d]` coordinates of the layer.
            forces: `[a, 3]` eV/Å.
        """
        z, left = self.heights(X).to(forces), forces.clone()
        margin = REST_TOLERANCE * self.thickness
        if float(z.max() - z.min()) < self.thickness - margin:
            return left
        along = left[:, 2]
        pressed = ((z > z.max() - margin) & (along > 0)) | ((z < z.min() + margin) & (along < 0))
        left[:, 2] = torch.where(pressed, 0.0, along)
        return left


@runtime_checkable
class SupportsThicknessWindow(Protocol):
    """A space whose layers may relax within a window of heights."""

    def thickness_window(self, x: Tensor) -> ThicknessWindow | None:
        """Return the window of the layer at x `[d]`; None of what is no layer."""
        ...
