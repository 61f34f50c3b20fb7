"""Logarithmic warping of high energies.

Where atoms come close the energy rises to many times the depth of any well. A stationary process
that follows such walls is rough everywhere; their height is of no interest. So with the energy h
above the lowest one it is fitted to

    w(h) = h  for h <= T,   w(h) = T (1 + log(h / T))  for h > T,

continuous with its slope, which gradients are multiplied by. Means are warped back, variances by
the slope of the inverse (delta method). Quantiles map to quantiles, so that a bound is sought as
well among warped energies, and low energies are as they are. Snelson, Rasmussen and Ghahramani,
Warped Gaussian processes, Adv. Neural Inf. Process. Syst. 16 (2003).
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor


class LogWarping(NamedTuple):
    """The warping of the energies of a data set.

    Attributes:
        lowest: `[]` eV, lowest energy.
        threshold: `[]` eV, T above, infinite where nothing is warped.
    """

    lowest: Tensor
    threshold: Tensor

    @classmethod
    def of(cls, energies: Tensor) -> Self:
        """Return the warping above the median of energies `[n]` eV."""
        lowest = energies.min()
        median = (energies - lowest).quantile(0.5)
        return cls(lowest, torch.where(median > 0, median, torch.inf))

    def warp(self, energies: Tensor) -> tuple[Tensor, Tensor]:
        """Return warped energies, eV, and the slope of the warping, in the shape of the input."""
        h, T = energies - self.lowest, self.threshold
        above = h.clamp(min=T) if bool(T.isfinite()) else h
        is_above = h > T
        warped = torch.where(is_above, T * (1 + (above / T).log()), h)
        return warped + self.lowest, torch.where(is_above, T / above, torch.ones_like(h))

    def unwarp(self, warped: Tensor) -> tuple[Tensor, Tensor]:
        """Return energies, eV, and the slope of the inverse, in the shape of the input."""
        w, T = warped - self.lowest, self.threshold
        if not bool(T.isfinite()):
            return warped, torch.ones_like(w)
        slope = (w.clamp(min=T) / T - 1).exp()
        is_above = w > T
        energies = torch.where(is_above, T * slope, w)
        return energies + self.lowest, torch.where(is_above, slope, torch.ones_like(w))
