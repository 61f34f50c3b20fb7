"""Crystal coordinates: X of fractional coordinates and the log strain of the cell.

    X = (L F, J s),   L = V^(1/3),   J = L a^(1/6)

for a atoms in an expected volume V. J makes the second derivatives of the energy in atoms and cell
be of one size: those in the strain grow with the volume, those in positions with a bond length
(Sheppard et al., J. Chem. Phys. 136, 074103 (2012), eq. 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.spaces.crystals.log_strain import cell_of_log_strain, log_strain_of_cell
from bostruct.spaces.crystals.packing import center_atoms

N_STRAIN_COMPONENTS = 6
"""Number of coordinates of the cell."""


@final
@dataclass(frozen=True)
class CrystalCoordinates:
    """Coordinates X of crystals of a atoms.

    Attributes:
        n_atoms: number of atoms a.
        volume: expected volume of the cell, Å³.
    """

    n_atoms: int
    volume: float

    @property
    def dimension(self) -> int:
        """The number of coordinates d, three for each atom and six for the cell."""
        return 3 * self.n_atoms + N_STRAIN_COMPONENTS

    @property
    def length(self) -> float:
        """The length L that makes coordinates of fractional ones, Å."""
        return float(self.volume ** (1 / 3))

    @property
    def strain_length(self) -> float:
        """The length J that makes coordinates of components of the log strain, Å."""
        return float(self.length * self.n_atoms ** (1 / 6))

    def split(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return fractional coordinates `[..., a, 3]` and log strains `[..., 6]` at X."""
        F = X[..., :-N_STRAIN_COMPONENTS].unflatten(-1, (self.n_atoms, 3)) / self.length
        return F, X[..., -N_STRAIN_COMPONENTS:] / self.strain_length

    def join(self, F: Tensor, s: Tensor) -> Tensor:
        """Return X `[..., d]` of fractional coordinates and log strains."""
        return torch.cat((F.flatten(-2) * self.length, s * self.strain_length), -1)

    def decode(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return fractional coordinates `[..., a, 3]` and cells `[..., 3, 3]` Å at X `[..., d]`."""
        F, s = self.split(X)
        return F, cell_of_log_strain(s, self.length)

    def encode(self, F: Tensor, H: Tensor) -> Tensor:
        """Return X `[..., d]` of fractional coordinates, centered, and cells in any orientation."""
        return self.join(center_atoms(F), log_strain_of_cell(H, self.length))
