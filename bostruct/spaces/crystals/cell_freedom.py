"""Cell freedom: the strains by which the cells of a space may vary, and what keeps them so.

    "all"      any cell
    "volume"   a given cell, enlarged or shrunk
    "none"     a given cell, of a crystal or of a layer
    "plane"    two lattice vectors of a layer, the third one normal to it and of fixed length

(as `cell_dofree` of Quantum ESPRESSO, and masks of strains in ASE). Cells are symmetric matrices up
to a choice of lattice vectors, see `bostruct.spaces.crystals.log_strain`, and the log strain less
that of a reference cell is a linear combination B q of allowed ones, so that nothing else enters
coordinates, gradients or relaxations. The normal of a layer is along z.

Notation
    F, H   [n, a, 3], [n, 3, 3] Å   fractional coordinates, cells
    B      [6, k]                   orthonormal components of the log strain
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, final

import torch
from torch import Tensor

from bostruct.spaces.crystals.log_strain import log_strain_of_cell, polar_factor
from bostruct.spaces.crystals.packing import center_atoms, push_apart, reduced, wrap_atoms

Freedom = Literal["all", "volume", "none", "plane"]
"""Strains by which cells may vary."""

STRAIN_BASES: dict[Freedom, tuple[tuple[float, ...], ...]] = {
    "all": tuple(tuple(float(i == j) for i in range(6)) for j in range(6)),
    "volume": ((math.sqrt(1 / 3),) * 3 + (0.0,) * 3,),
    "none": (),
    "plane": ((1.0, 0, 0, 0, 0, 0), (0, 1.0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 1.0)),
}
"""Rows of B, in Voigt's order."""

N_CONFINED_PUSHES = 4
"""Number of times that atoms of a layer are pushed apart and moved back into it by turns."""

NORMAL_LENGTHENING = 1e3
"""Factor on the third lattice vector of layers in which the first two are reduced, so that it is
the longest one."""


@final
@dataclass(frozen=True, eq=False)
class CellFreedom:
    """Strains by which cells of one space vary about a reference cell.

    Attributes:
        kind: allowed strains.
        cell: `[3, 3]` Å, reference cell as a symmetric matrix; coordinates of atoms are Cartesian
            ones in it.
        frame: `[3, 3]` rotation, or rotation and reflection, from the axes of symmetric cells to
            those of structures.
        thickness: largest difference of the heights of atoms of a layer, Å; infinite of crystals.
        given: `[3, 3]` Å, the reference cell as it was given; None where none was.
    """

    kind: Freedom
    cell: Tensor
    frame: Tensor = field(default_factory=lambda: torch.eye(3, dtype=torch.float64))
    thickness: float = math.inf
    given: Tensor | None = None

    @classmethod
    def cube(cls, volume: float) -> CellFreedom:
        """Return the freedom of any cell, about a cube of a volume in Å³."""
        return cls("all", volume ** (1 / 3) * torch.eye(3, dtype=torch.float64))

    @classmethod
    def of_cell(cls, kind: Freedom, cell: Tensor, thickness: float = math.inf) -> CellFreedom:
        """Return the freedom of a given cell: "none", or "volume".

        Args:
            kind: allowed strains.
            cell: `[3, 3]` Å; of layers right-handed, the third vector along z.
            thickness: largest difference of the heights of atoms of layers, Å.
        """
        symmetric = polar_factor(cell)
        frame = torch.linalg.solve(symmetric, cell)
        return cls(kind, symmetric, frame, thickness, given=cell)

    @classmethod
    def layer(cls, area: float, height: float, thickness: float) -> CellFreedom:
        """Return the freedom of a layer, about a square.

        Args:
            area: expected area of the cell, Å².
            height: length of the third lattice vector, Å.
            thickness: largest difference of the heights of atoms, Å.
        """
        edges = torch.tensor([area**0.5, area**0.5, height], dtype=torch.float64)
        return cls("plane", edges.diag(), thickness=thickness)

    @property
    def n_coordinates(self) -> int:
        """The number k of coordinates of the cell."""
        return len(STRAIN_BASES[self.kind])

    @property
    def is_layer(self) -> bool:
        """True if the cells repeat along two lattice vectors."""
        return math.isfinite(self.thickness)

    @property
    def varies_shape(self) -> bool:
        """True if angles and ratios of lattice vectors vary."""
        return self.kind in ("all", "plane")

    @property
    def n_strained_axes(self) -> int:
        """The number of axes along which cells strain at constant volume."""
        return {"all": 3, "plane": 2}.get(self.kind, 0)

    @property
    def volume(self) -> float:
        """The volume of the reference cell, Å³."""
        return float(torch.linalg.det(self.cell))

    @property
    def edge(self) -> float:
        """The edge of a cube of the volume, or of a square of the area of a layer, Å."""
        if self.kind == "plane":
            return float(self.cell[0, 0])
        if self.is_layer:
            return math.sqrt(float(torch.linalg.det(self.cell[:2, :2])))
        return float(self.volume ** (1 / 3))

    def strain_basis(self, like: Tensor) -> Tensor:
        """Return B `[6, k]`, in the dtype and on the device of a tensor."""
        return like.new_tensor(STRAIN_BASES[self.kind]).reshape(-1, 6).mT

    def reference_strain(self, like: Tensor) -> Tensor:
        """Return the log strain of the reference cell `[6]`, in the dtype of a tensor."""
        if self.kind == "all":
            return like.new_zeros(6)
        return log_strain_of_cell(self.cell, self.volume ** (1 / 3)).to(like)

    def normal_strain(self, like: Tensor) -> Tensor:
        """Return the allowed log strain `[6]` that multiplies volume or area by e; zero where none.

        Args:
            like: tensor of the dtype to return.
        """
        B = self.strain_basis(like)
        traces = B[:3].sum(0)
        normal: Tensor = B @ traces / traces.square().sum().clamp(min=torch.finfo(B.dtype).tiny)
        return normal

    def to_frame(self, vectors: Tensor) -> Tensor:
        """Return vectors `[..., 3]` of symmetric cells along the axes of structures."""
        if self.kind in ("all", "plane"):
            return vectors
        return vectors @ self.frame.to(vectors)

    def reduced(self, F: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
        """Return crystals in cells with the shortest lattice vectors, where these are free."""
        if self.kind == "all":
            return reduced(F, H)
        if self.kind != "plane":
            return F, H
        factor = H.new_tensor([1.0, 1.0, NORMAL_LENGTHENING]).unsqueeze(-1)
        F, H = reduced(center_atoms(F), factor * H)  # centered, as heights are not to be wrapped
        return F, H / factor

    def wrapped(self, F: Tensor) -> Tensor:
        """Return fractional coordinates in the cell along what repeats, centered afterwards."""
        if not self.is_layer:
            return wrap_atoms(F)
        return center_atoms(torch.cat((F[..., :2] - F[..., :2].floor(), F[..., 2:]), -1))

    def heights(self, F: Tensor) -> Tensor:
        """Return the heights of the atoms of layers `[..., a]` Å."""
        heights: Tensor = F[..., 2] * self.cell[2, 2].to(F)
        return heights

    def is_confined(self, F: Tensor, slack: float) -> Tensor:
        """Return whether the heights of layers differ by no more than the thickness, `[...]`.

        Args:
            F: `[..., a, 3]` fractional coordinates.
            slack: rounding error up to which a bound counts as met, relative to the cell.
        """
        if not self.is_layer:
            return torch.ones(F.shape[:-2], dtype=torch.bool, device=F.device)
        z = self.heights(F)
        allowed = self.thickness + slack * float(self.cell[2, 2])
        return z.amax(-1) - z.amin(-1) <= allowed

    def confine(self, F: Tensor) -> Tensor:
        """Return layers `[..., a, 3]` with heights that are too different brought together."""
        if not self.is_layer:
            return F
        z, height = F[..., 2], float(self.cell[2, 2])
        top, bottom = z.amax(-1, keepdim=True), z.amin(-1, keepdim=True)
        middle, extent = (top + bottom) / 2, height * (top - bottom)
        factor = self.thickness / extent.clamp(min=self.thickness)
        confined = middle + (z - middle) * factor
        z = torch.where(extent > self.thickness, confined, z)
        return torch.cat((F[..., :2], z.unsqueeze(-1)), -1)

    def push_apart(self, F: Tensor, H: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
        """Return crystals after atoms that are too close have pushed each other apart.

        See `bostruct.spaces.crystals.packing.push_apart`; atoms of a layer stay in it.
        """
        if not self.is_layer:
            return push_apart(F, H, W, n_strained_axes=self.n_strained_axes)
        for _ in range(N_CONFINED_PUSHES):
            F, H = push_apart(F, H, W, n_strained_axes=self.n_strained_axes)
            F = self.confine(F)
        return F, H

    def conform(self, F: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
        """Return crystals in allowed cells: a given one, layers of their area, or as they are.

        Args:
            F: fractional coordinates.
            H: cells; of layers the third lattice vector is normal to the others.
        """
        if self.kind == "all":
            return F, H
        if self.kind != "plane":
            factor = torch.ones_like(H[:, 0, 0]) if self.kind == "none" else self._edges(H)
            return F, self.cell.to(H) * factor.reshape(-1, 1, 1)
        height = self.cell[2, 2].to(H)
        plane = polar_factor(H[:, :2] @ H[:, :2].mT, is_metric=True)
        cells = H.new_zeros(H.shape)
        cells[:, :2, :2], cells[:, 2, 2] = plane, height
        stretch = torch.linalg.vector_norm(H[:, 2], dim=-1) / height
        z = 0.5 + (F[..., 2:] - 0.5) * stretch.reshape(-1, 1, 1)
        return torch.cat((F[..., :2], z), -1), cells

    def _edges(self, H: Tensor) -> Tensor:
        """Return the cube roots of the volumes of cells over that of the reference, `[n]`."""
        edges: Tensor = (torch.linalg.det(H).abs() / self.volume).pow(1 / 3)
        return edges
