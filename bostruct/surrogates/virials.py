"""Virials, the derivatives of energies by the strain, as data of a fit.

Notation
    b, n   structures, atoms of all of them together

A virial is a sum over pairs of forces times bonds, half a bond for either atom. So an error f of
the forces, independent from atom to atom, is one of f L N^1/2 of the virial of N atoms, with L
about half a bond: the noise of virials follows from that of the forces. The marginal likelihood is
largest for L of 0.3 to 0.7 bonds, and standard deviations of predicted stresses come out right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.structures import Structures
from bostruct.structures.strain import has_stress, strained_components, volumes

NOISE_LENGTH = 0.5
"""L, in units of the bond length."""


@final
@dataclass(frozen=True, eq=False)
class Virials:
    """Derivatives of energies by the strain, where stresses are known.

    Attributes:
        values: Virials less those of the prior mean, `[b, 6]` eV; NaN where unknown.
        lengths: Noise standard deviations over those of a force, L N^1/2, `[b]` Å.
    """

    values: Tensor
    lengths: Tensor

    @classmethod
    def from_structures(cls, structures: Structures, radii: Tensor) -> Virials | None:
        """Return the virials of known stresses, None without any.

        Args:
            structures: b structures of n atoms in total.
            radii: Radius of each atom, `[n]` Å.
        """
        if structures.stress is None:
            return None
        values = structures.stress * volumes(structures).unsqueeze(-1)
        known = has_stress(structures).unsqueeze(-1) & strained_components(structures)
        values = torch.where(known, values, torch.nan)
        if not bool(values.isfinite().any()):
            return None
        return cls(values, virial_lengths(structures, radii))

    def __getitem__(self, rows: slice) -> Virials:
        return Virials(self.values[rows], self.lengths[rows])


def virial_lengths(structures: Structures, radii: Tensor) -> Tensor:
    """Return the noise standard deviations of virials over those of forces, `[b]` Å.

    Args:
        structures: b structures of n atoms in total.
        radii: Radius of each atom, `[n]` Å.
    """
    bonds = 2 * radii.new_zeros(len(structures)).index_add(0, structures.index, radii)
    return NOISE_LENGTH * bonds / structures.counts.sqrt()
