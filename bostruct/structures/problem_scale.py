"""Scales of energy and length of a problem, from radii, forces and energies.

A search, a prior or a duplicate is judged by sizes of energies and lengths. What is large for argon
is small for copper, so that none of these sizes is a number of eV or Å: they are multiples of the
scales here.

    length   mean bond length, twice the radius, of the atoms that move
    energy   the larger one of two: the typical force times the length, and `ENERGY_RATIO` times the
             typical deviation of an energy from those of its composition, over the root of the
             number of atoms; for random clusters of metals and rare gases they are about equal

Only structures count in which atoms touch: forces between distant atoms say nothing about bonds.
Typical is the middle one of the largest values, one for each structure, of which there are at least
ten, so that neither one exploded structure nor many relaxed ones set the scale. Forces that are
zero by symmetry, and deviations that the constants of the species take away, tell nothing.

Where no force and no difference tells, as for one crystal of each element, the scale is at least
that of the elements: of a chemical bond, or of dispersion between atoms of noble gases. Stresses
raise it: a virial of N atoms is a force times half a bond times the root of N.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.structures.composition_residuals import (
    ROUNDING,
    composition_residuals,
    species_counts,
)
from bostruct.structures.neighbor_lists.neighbor_list import build_neighbor_list
from bostruct.structures.strain import strained_components, volumes
from bostruct.structures.structures import Structures

MIN_LARGEST, LARGEST_FRACTION = 10, 0.2
"""Number and fraction of the largest values of which the middle one is typical."""

ENERGY_RATIO = 6.0
"""Ratio of force times bond length to the deviation of an energy over the root of the number of
atoms: 4 to 14 for random clusters of copper, gold, Lennard-Jones and Morse atoms, and adatoms."""

MAX_STRUCTURES = 256
"""Largest number of structures that a scale is taken from, evenly spaced with the last one."""

RELATIVE_FORCE = 1e-5
"""Force times length, in units of the scale that energies tell, below which it is zero by symmetry
but for rounding errors, of single precision too."""

BOND_ENERGY = 2.6
"""Scale of energies in eV of elements that form chemical bonds, of data that tell none."""

TROUTON_ENERGY = 10.5 * 8.617333e-5
"""Energy of vaporization over the boiling temperature, eV/K: Trouton's rule, 10.5 kB."""

BOILING_TEMPERATURES = {2: 4.22, 10: 27.1, 18: 87.3, 36: 119.9, 54: 165.1, 86: 211.5}
"""Boiling temperatures of the noble gases by atomic number, K (CRC Handbook of Chemistry and
Physics): their energies of vaporization are those of dispersion, 0.08 eV for argon."""

VIRIAL_LENGTH = 0.5
"""Virial over a force and the root of the number of atoms, in bond lengths."""

CONTACT_FACTOR = 1.5
"""Largest distance of atoms that touch, in bond lengths."""


@final
@dataclass(frozen=True)
class ProblemScale:
    """Scales of a problem, the units of all constants that are energies or lengths.

    Attributes:
        energy: Force times bond length of a random structure, eV.
        length: Mean bond length, Å.
    """

    energy: float
    length: float

    @property
    def force(self) -> float:
        """Scale of the forces, eV/Å."""
        return self.energy / self.length

    def energy_std(self, n_atoms: float) -> float:
        """Return the standard deviation of energies of random structures, eV.

        Args:
            n_atoms: Number of the atoms that move.
        """
        return self.energy * math.sqrt(n_atoms) / ENERGY_RATIO

    @classmethod
    def from_structures(cls, structures: Structures, radii: Tensor) -> ProblemScale:
        """Return the scale of structures with energies and forces, as far as they are known.

        Args:
            structures: b structures of n atoms in total, at least one.
            radii: Radius of each atom, `[n]` Å.
        """
        if (n := len(structures)) > MAX_STRUCTURES:
            chosen = torch.zeros(n, dtype=torch.bool, device=radii.device)
            chosen[torch.arange(1, MAX_STRUCTURES + 1) * n // MAX_STRUCTURES - 1] = True
            radii, structures = radii[chosen[structures.index]], structures[chosen]
        index, moving = structures.index, ~structures.fixed
        n_moving = _sum_over_atoms(moving.to(radii), structures)
        moving = moving | (n_moving == 0)[index]  # nothing moves: all atoms count
        counts = _sum_over_atoms(moving.to(radii), structures)
        length = 2 * float(radii[moving].mean())
        touches = _has_contact(structures, radii, moving)
        factor, by_energy, rounding = 1.0, 0.0, 0.0
        if structures.energy is not None:
            species, species_index = structures.numbers.unique(return_inverse=True)
            composition = species_counts(structures, species_index, len(species))
            deviation = _deviations(structures.energy, composition) / counts.sqrt()
            by_energy = ENERGY_RATIO * _typical(deviation[touches])
            factor = few_values_factor(composition[touches])
            rounding = _rounding(structures.energy)
        by_force = 0.0
        if structures.forces is not None:
            known = structures.forces.isfinite() & moving.unsqueeze(-1)
            squares = structures.forces.masked_fill(~known, 0).square().sum(-1)
            n_known = _sum_over_atoms(known.sum(-1).to(radii), structures)
            mean_square = _sum_over_atoms(squares.to(radii), structures) / n_known.clamp(min=1)
            work = mean_square.sqrt() * length
            tells = touches & (work > max(RELATIVE_FORCE * by_energy, rounding))
            by_force = _typical(work[tells])
        energy = max(by_force, by_energy if by_force else factor * by_energy)
        if not energy:
            energy = max(_by_stress(structures), unknown_energy(structures.numbers[moving]))
        return cls(energy, length)

    @classmethod
    def from_energies(cls, energies: Tensor, radii: Tensor, numbers: Tensor) -> ProblemScale:
        """Return the scale of energies `[t]` eV of structures of the same atoms.

        Args:
            energies: `[t]` eV.
            radii: Radius of each atom, `[a]` Å.
            numbers: `[a]` atomic numbers.
        """
        counts = energies.new_ones(len(energies), 1)
        typical = _typical(_deviations(energies, counts)) / math.sqrt(len(radii))
        energy = ENERGY_RATIO * typical or unknown_energy(numbers)
        return cls(energy, 2 * float(radii.mean()))


def unknown_energy(numbers: Tensor) -> float:
    """Return the scale of energies of which data tell nothing, by the elements, eV.

    Args:
        numbers: `[a]` atomic numbers of the atoms that move.
    """
    elements = set(numbers.tolist())
    if not elements or not elements <= set(BOILING_TEMPERATURES):
        return BOND_ENERGY
    return TROUTON_ENERGY * max(BOILING_TEMPERATURES[z] for z in elements)


def few_values_factor(composition: Tensor) -> float:
    """Return the factor on the root mean square of few deviations that makes it a scale.

    The logarithm of a standard deviation σ given b normal values, of which a fit has taken the
    means of k compositions, has the mean log(S / 2) / 2 - ψ(ν / 2) / 2 with the sum of squares S
    and ν = b - k (scaled inverse χ²; Gelman et al., Bayesian Data Analysis, 3rd ed., section 3.2).
    Two energies that are alike by chance tell little: the factor is 2.7 for two, and 1.1 for ten.

    Args:
        composition: `[b, species]`.
    """
    b = len(composition)
    nu = b - int(torch.linalg.matrix_rank(composition)) if b else 0
    if nu < 1:
        return 1.0
    return math.sqrt(b / 2) * math.exp(-float(torch.special.digamma(torch.tensor(nu / 2))) / 2)


def _by_stress(structures: Structures) -> float:
    """Return the typical force times bond length that stresses tell, eV; 0 without any."""
    if structures.stress is None:
        return 0.0
    virials = structures.stress * volumes(structures).unsqueeze(-1)
    known = virials.isfinite() & strained_components(structures)
    mean_square = virials.masked_fill(~known, 0).square().sum(-1) / known.sum(-1).clamp(min=1)
    return _typical(mean_square.sqrt() / (VIRIAL_LENGTH * structures.counts.sqrt()))


def _has_contact(structures: Structures, radii: Tensor, moving: Tensor) -> Tensor:
    """Return which structures have `moving` atoms `[n]` that touch another one, `[b]` bool."""
    neighbors = build_neighbor_list(structures, CONTACT_FACTOR * 2 * float(radii.max()))
    center, neighbor = neighbors.center, neighbors.neighbor
    r = torch.linalg.vector_norm(neighbors.vectors(structures.positions, structures.cell), dim=-1)
    touches = moving[center] & (r <= CONTACT_FACTOR * (radii[center] + radii[neighbor]))
    found = torch.zeros(len(structures), dtype=torch.bool, device=r.device)
    found[structures.index[center[touches]]] = True
    return found


def _deviations(energy: Tensor, composition: Tensor) -> Tensor:
    """Return the deviations `[b]` of energies from those of compositions `[b, species]`, or 0.

    A fit of k constants by least absolute deviations goes through k energies (Bloomfield and
    Steiger, Least Absolute Deviations, 1983, section 1.3): the k smallest deviations are 0.
    """
    if not len(energy):
        return energy
    size = composition_residuals(energy, composition).abs()
    size = size * (size > _rounding(energy))
    k = int(torch.linalg.matrix_rank(composition))
    return size.index_fill(0, size.argsort()[:k], 0.0)


def _rounding(energy: Tensor | None) -> float:
    """Return the size of differences of energies `[b]` that are rounding errors, eV."""
    return ROUNDING * float(energy.abs().max()) if energy is not None and len(energy) else 0.0


def _sum_over_atoms(values: Tensor, structures: Structures) -> Tensor:
    """Return the sums `[b]` of values `[n]` over the atoms of each structure."""
    return values.new_zeros(len(structures)).index_add(0, structures.index, values)


def _typical(values: Tensor) -> float:
    """Return the middle one of the largest values that are positive and finite; 0 without any.

    Of an even number it is the geometric mean of the two in the middle: one of them may be far off.
    """
    values = values[values.isfinite() & (values > 0)].sort(descending=True).values
    if not len(values):
        return 0.0
    count = max(MIN_LARGEST, math.ceil(LARGEST_FRACTION * len(values)))
    largest = values[:count].tolist()
    low, high = largest[len(largest) // 2], largest[(len(largest) - 1) // 2]
    return math.sqrt(low * high)
