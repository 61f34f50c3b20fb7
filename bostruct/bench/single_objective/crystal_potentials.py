"""Interatomic potentials of crystals as ASE calculators: energy, forces and stress.

    P -> P (1 + ε),   C -> C (1 + ε)       strain of positions and cell
    F = -dE/dP,   σ = dE/dε / V            by automatic differentiation

Each is a sum over pairs and images within a cutoff, and for ions over reciprocal lattice vectors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from torch import Tensor

from bostruct.bench.single_objective.interatomic_potentials import (
    COULOMB,
    STILLINGER_WEBER_SILICON,
)
from bostruct.structures import NeighborList, build_neighbor_list, from_ase
from bostruct.structures.strain import VOIGT_COLUMNS, VOIGT_ROWS

MIN_VOLUME = 1.5
"""Volume per atom, Å³, of collapsed structures, which are refused."""

MAX_PAIRS = 1_000_000
"""Pairs within the cutoff of a collapsed or very flat structure, which is refused."""


class CrystalPotential(Calculator):  # type: ignore[misc]
    """Base of calculators whose energy is a differentiable function of positions and cell.

    Args:
        cutoff: Cutoff radius of pairs, Å.
    """

    implemented_properties: Sequence[str] = ("energy", "free_energy", "forces", "stress")

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def energy(self, atoms: Atoms, positions: Tensor, cell: Tensor, pairs: NeighborList) -> Tensor:
        """Return the energy, eV.

        Args:
            atoms: One crystal.
            positions: `[a, 3]` Å.
            cell: `[3, 3]` Å.
            pairs: Pairs of atoms and images within the cutoff.
        """
        raise NotImplementedError

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute all properties of a crystal.

        Raises:
            ValueError: it is not periodic along three directions, or has collapsed.
        """
        super().calculate(atoms, properties, system_changes)
        structures = from_ase(self.atoms)
        volume = self.atoms.cell.volume
        if not self.atoms.pbc.all():
            raise ValueError("a structure that is no crystal: it must be periodic along x, y and z")
        if volume < MIN_VOLUME * len(self.atoms):
            raise ValueError(f"a collapsed crystal: {volume:.2f} Å³ for {len(self.atoms)} atoms")
        pairs = build_neighbor_list(structures, self.cutoff)
        if len(pairs) > MAX_PAIRS:
            raise ValueError(f"a collapsed crystal: {len(pairs)} pairs within {self.cutoff} Å")
        P = structures.positions.requires_grad_()
        strain = torch.zeros(3, 3, dtype=P.dtype, requires_grad=True)
        F = torch.eye(3, dtype=P.dtype) + (strain + strain.T) / 2
        energy = self.energy(self.atoms, P @ F, structures.cell[0] @ F, pairs)
        gradient, virial = torch.autograd.grad(energy, (P, strain))
        stress = virial.numpy() / volume
        self.results = {
            "energy": float(energy.detach()),
            "free_energy": float(energy.detach()),
            "forces": -gradient.numpy(),
            "stress": stress[VOIGT_ROWS, VOIGT_COLUMNS],
        }


@final
class RigidIons(CrystalPotential):
    """Rigid ions: Coulomb by Ewald sums, Buckingham, and a steep wall.

    E_ij = q_i q_j / r + A exp(-r / ρ) - C / r⁶ + W (r_w / r)²⁴, the Buckingham part shifted to zero
    at the cutoff. At distances of crystals the wall is below 1 meV a pair; it keeps random crystals
    out of the hole of C / r⁶. P. P. Ewald, Ann. Phys. 369, 253 (1921); R. A. Buckingham, Proc. R.
    Soc. A 168, 264 (1938).

    Args:
        charges: Charge of each element, e.
        buckingham: A in eV, ρ in Å and C in eV Å⁶ by pair of elements in alphabetical order, as in
            `{"O-Ti": (16957.5, 0.194, 12.59)}`; a pair that is not given has none.
        walls: r_w by pair, Å, likewise.
        wall_energy: W, eV.
        cutoff: Cutoff radius, Å.
        splitting: α of the Ewald sums, 1/Å.
        max_wave_number: Length of the largest reciprocal lattice vector, 1/Å.
    """

    def __init__(
        self,
        charges: Mapping[str, float],
        buckingham: Mapping[str, tuple[float, float, float]],
        walls: Mapping[str, float],
        *,
        wall_energy: float = 20.0,
        cutoff: float = 9.0,
        splitting: float = 0.45,
        max_wave_number: float = 4.2,
    ) -> None:
        super().__init__(cutoff)
        self.charges, self.buckingham, self.walls = charges, buckingham, walls
        self.wall_energy, self.splitting = wall_energy, splitting
        self.max_wave_number = max_wave_number

    def energy(self, atoms: Atoms, positions: Tensor, cell: Tensor, pairs: NeighborList) -> Tensor:
        """Return the energy, eV."""
        q = torch.tensor([self.charges[s] for s in atoms.symbols], dtype=positions.dtype)
        r = torch.linalg.vector_norm(pairs.vectors(positions, cell.unsqueeze(0)), dim=-1)
        i, j = pairs.center, pairs.neighbor
        A, rho, C, wall = self._pair_parameters(atoms)[:, i, j]
        screened = COULOMB * q[i] * q[j] * torch.erfc(self.splitting * r) / r
        shift = A * torch.exp(-self.cutoff / rho) - C / self.cutoff**6
        short = A * torch.exp(-r / rho) - C / r**6 - shift
        real = 0.5 * (screened + short + self.wall_energy * (wall / r) ** 24).sum()
        total: Tensor = real + self._reciprocal_energy(q, positions, cell)
        return total

    def _pair_parameters(self, atoms: Atoms) -> Tensor:
        """Return A, ρ, C and r_w of all pairs of atoms, `[4, a, a]`."""
        symbols = list(atoms.symbols)
        names = [["-".join(sorted((a, b))) for b in symbols] for a in symbols]
        none = (0.0, 1.0, 0.0)
        rows = [
            [(*self.buckingham.get(name, none), self.walls.get(name, 0.0)) for name in row]
            for row in names
        ]
        return torch.tensor(rows, dtype=torch.float64).permute(2, 0, 1)

    def _reciprocal_energy(self, q: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
        """Return the smooth part of the Coulomb energy, less that of each ion with itself."""
        alpha, volume = self.splitting, torch.linalg.det(cell).abs()
        most = (self.max_wave_number * cell.detach().norm(dim=-1) / (2 * math.pi)).ceil().int()
        ranges = [np.arange(-n, n + 1) for n in most.tolist()]
        h = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3)
        h = h[len(h) // 2 + 1 :]  # one of each pair ±h
        k = torch.from_numpy(h).to(cell) @ (2 * math.pi * torch.linalg.inv(cell).T)
        k = k[k.detach().norm(dim=-1) < self.max_wave_number]
        squared = k.square().sum(-1)
        phase = k @ positions.T
        amplitude = (q * phase.cos()).sum(-1) ** 2 + (q * phase.sin()).sum(-1) ** 2
        weight = torch.exp(-squared / (4 * alpha**2)) / squared
        waves = 4 * math.pi / volume * (weight * amplitude).sum()
        itself = alpha / math.sqrt(math.pi) * q.square().sum()
        background = math.pi / (2 * volume * alpha**2) * q.sum() ** 2
        energy: Tensor = COULOMB * (waves - itself - background)
        return energy


def matsui_akaogi() -> RigidIons:
    """Return the potential of TiO₂ of M. Matsui and M. Akaogi, Mol. Simul. 6, 239 (1991)."""
    return RigidIons(
        charges={"Ti": 2.196, "O": -1.098},
        buckingham={
            "Ti-Ti": (31120.1, 0.154, 5.25),
            "O-Ti": (16957.5, 0.194, 12.59),
            "O-O": (11782.8, 0.234, 30.22),
        },
        walls={"Ti-Ti": 1.6, "O-Ti": 1.15, "O-O": 1.55},
    )


@final
class StillingerWeber(CrystalPotential):
    """Silicon: F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985)."""

    def __init__(self) -> None:
        _, _, a, _, _, sigma, _ = STILLINGER_WEBER_SILICON
        super().__init__(a * sigma)

    def energy(self, atoms: Atoms, positions: Tensor, cell: Tensor, pairs: NeighborList) -> Tensor:
        """Return the energy, eV."""
        A, B, _, gamma, strength, sigma, epsilon = STILLINGER_WEBER_SILICON
        vectors = pairs.vectors(positions, cell.unsqueeze(0))
        r = torch.linalg.vector_norm(vectors, dim=-1)
        gap = r - self.cutoff  # below zero
        pair = epsilon * A * (B * (sigma / r) ** 4 - 1) * torch.exp(sigma / gap)
        first, second = _pairs_of_one_center(pairs.center)
        cosine = (vectors[first] * vectors[second]).sum(-1) / (r[first] * r[second])
        weight = torch.exp(gamma * sigma / gap)
        angle = weight[first] * weight[second] * (cosine + 1 / 3) ** 2
        energy: Tensor = 0.5 * pair.sum() + strength * epsilon * angle.sum()
        return energy


def _pairs_of_one_center(center: Tensor) -> tuple[Tensor, Tensor]:
    """Return all combinations of two of the pairs that have one center, `[t]` each."""
    same = (center.unsqueeze(0) == center.unsqueeze(1)).triu(1)
    first, second = same.nonzero().unbind(-1)
    return first, second
