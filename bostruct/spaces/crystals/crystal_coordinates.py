"""Crystal coordinates: X of fractional coordinates and the log strain of the cell.

    X = (F H₀, J q),   s = s₀ + B q,   J = l a^(1/2)

for a atoms, a reference cell H₀ of log strain s₀, the allowed strains B, and the distance of atoms
l: the cube root of the volume per atom, or the square root of the area per atom of a layer. Where
all cells are allowed H₀ is a cube. J makes the second derivatives of the energy in atoms and cell
be of one size: those in the strain grow with the volume, those in positions with a bond length
(Sheppard et al., J. Chem. Phys. 136, 074103 (2012), eq. 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.log_strain import cell_of_log_strain, log_strain_of_cell
from bostruct.spaces.crystals.packing import center_atoms


@final
@dataclass(frozen=True)
class CrystalCoordinates:
    """Coordinates X of crystals of a atoms.

    Attributes:
        n_atoms: number of atoms a.
        freedom: cells that are allowed.
    """

    n_atoms: int
    freedom: CellFreedom

    @property
    def dimension(self) -> int:
        """The number of coordinates d, three for each atom and those of the cell."""
        return 3 * self.n_atoms + self.freedom.n_coordinates

    @property
    def length(self) -> float:
        """The reference length L of log strains, the edge of a cube of the volume, Å."""
        return float(self.freedom.volume ** (1 / 3))

    @property
    def strain_length(self) -> float:
        """The length J that makes coordinates of components of the log strain, Å."""
        if self.freedom.is_layer:
            return self.freedom.edge
        return float(self.length * self.n_atoms ** (1 / 6))

    def split(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return fractional coordinates `[..., a, 3]` and log strains `[..., 6]` at X."""
        R = X[..., : 3 * self.n_atoms].unflatten(-1, (self.n_atoms, 3))
        q = X[..., 3 * self.n_atoms :] / self.strain_length
        if self.freedom.kind == "all":
            return R / self.length, q
        F = R @ torch.linalg.inv(self.freedom.cell).to(X)
        return F, self.freedom.reference_strain(X) + q @ self.freedom.strain_basis(X).mT

    def join(self, F: Tensor, s: Tensor) -> Tensor:
        """Return X `[..., d]` of fractional coordinates and log strains."""
        if self.freedom.kind == "all":
            R, q = F * self.length, s
        else:
            R = F @ self.freedom.cell.to(F)
            q = (s - self.freedom.reference_strain(s)) @ self.freedom.strain_basis(s)
        return torch.cat((R.flatten(-2), q * self.strain_length), -1)

    def decode(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return fractional coordinates `[..., a, 3]` and cells `[..., 3, 3]` Å at X `[..., d]`."""
        F, s = self.split(X)
        return F, cell_of_log_strain(s, self.length)

    def encode(self, F: Tensor, H: Tensor) -> Tensor:
        """Return X `[..., d]` of fractional coordinates, centered, and cells in any orientation."""
        return self.join(center_atoms(F), log_strain_of_cell(H, self.length))
