"""Data of a fit: outcomes at coordinates of a space, and energies and forces prepared for it.

Of prepared ones the prior mean is subtracted, and outliers are down-weighted.

Notation
    b, n   structures, atoms of all of them together
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.structures import Structures
from bostruct.structures.composition_residuals import composition_residuals
from bostruct.structures.composition_residuals import species_counts as species_counts
from bostruct.structures.problem_scale import ProblemScale, few_values_factor
from bostruct.surrogates.pair_repulsion import PairRepulsion
from bostruct.surrogates.virials import Virials

PAIRS_PER_CHUNK = 8192  # pairs of atoms whose descriptor gradients are in memory at once
OUTLIER_RATIO = 3.0  # of a force or an energy to its median; above, the noise grows
MIN_MEDIAN_FORCE, MIN_MEDIAN_ENERGY = 1.0, 0.04  # in units of the scale, per atom: least medians
EXCLUSION_RATIO = 5.0  # noise factor above which a structure is as good as left out
MIN_FORCE_SCALE = 0.05  # in units of the scale: all structures may be relaxed ones
LENGTH_FRACTION = 0.38  # of a bond: length over which energies change
NEIGHBORS_PER_ATOM = 64  # atoms within a cut-off, for the estimate of pairs


@final
@dataclass(frozen=True, eq=False)
class TrainingData:
    """Evaluated structures of a space and their outcomes.

    Attributes:
        X: `[t, d]` coordinates in the space.
        Y: `[t, k]` outcomes; NaN where unknown.
        outcome_names: the name of each column of Y.
        structures: the t structures with their energies in eV and, where known, forces in eV/Å;
            None where only X and Y are of use.
    """

    X: Tensor
    Y: Tensor
    outcome_names: tuple[str, ...]
    structures: Structures | None = None


@final
@dataclass(frozen=True, eq=False)
class Observations:
    """Energies, forces and virials that a surrogate is fitted to.

    Attributes:
        structures: b structures of n atoms in total.
        energy: Energies less the prior mean, `[b]` eV.
        forces: Forces less those of the prior mean, `[n, 3]` eV/Å; NaN where unknown.
        noise_factor: Factor on the noise standard deviation of each structure, `[b]`, at least 1.
        scale: Scale of the problem, of all its structures.
        pair_repulsion: The pair prior with its strength, or None.
        virials: The virials, or None where no stress is known.
    """

    structures: Structures
    energy: Tensor
    forces: Tensor
    noise_factor: Tensor
    scale: ProblemScale
    pair_repulsion: PairRepulsion | None
    virials: Virials | None = None

    @property
    def has_virials(self) -> bool:
        """True if a virial is known."""
        return self.virials is not None and bool(self.virials.values.isfinite().any())

    def is_identical(self, other: Observations) -> bool:
        """Return whether all numbers equal those of others, to the last bit."""
        mine, others = (data._numbers() for data in (self, other))
        return len(mine) == len(others) and all(map(torch.equal, mine, others))

    def _numbers(self) -> list[Tensor]:
        """Return all numbers that a fit depends on."""
        numbers = [
            self.structures.positions,
            self.structures.numbers,
            self.structures.index,
            self.structures.cell,
            self.structures.pbc,
            self.energy,
            self.forces.nan_to_num(torch.inf),
            self.noise_factor,
        ]
        if self.virials is not None:
            numbers += [self.virials.values.nan_to_num(torch.inf), self.virials.lengths]
        return numbers

    def chunks(self) -> Iterator[Observations]:
        """Yield parts of the data whose descriptor gradients fit into memory."""
        largest = int(self.structures.counts.max())
        size = max(1, PAIRS_PER_CHUNK // (largest * min(largest, NEIGHBORS_PER_ATOM)))
        for start in range(0, len(self.structures), size):
            yield self.subset(slice(start, start + size))

    def subset(self, rows: slice) -> Observations:
        """Return some of the structures."""
        atoms = torch.split(self.forces, self.structures.counts.tolist())
        return replace(
            self,
            structures=self.structures[rows],
            energy=self.energy[rows],
            forces=torch.cat(atoms[rows]),
            noise_factor=self.noise_factor[rows],
            virials=None if self.virials is None else self.virials[rows],
        )

    def subsample(self, max_count: int) -> Observations:
        """Return at most `max_count` structures, evenly spaced, with the last one."""
        step = -(-len(self.structures) // max_count)
        return self.subset(slice((len(self.structures) - 1) % step, None, step))

    def subtract_species_energies(
        self, species_index: Tensor, n_species: int
    ) -> tuple[Observations, Tensor]:
        """Subtract the mean energy of an atom of each species.

        Weighted least squares of the energies on the composition; the solution of least norm where
        the composition does not vary.

        Args:
            species_index: Species of each atom, `[n]`.
            n_species: Number of species.

        Returns:
            The data with the residual energies, and the means `[species]` eV.
        """
        counts = species_counts(self.structures, species_index, n_species)
        weighted = torch.linalg.pinv(self.composition(species_index, n_species))
        residual, means = self.energy, self.energy.new_zeros(n_species)
        for _ in range(2):  # once more for what rounding leaves of large totals
            correction = weighted @ (residual / self.noise_factor)
            residual, means = residual - counts @ correction, means + correction
        return replace(self, energy=residual), means

    def composition(self, species_index: Tensor, n_species: int) -> Tensor:
        """Return the numbers of atoms over the noise factors, `[b, species]`."""
        counts = species_counts(self.structures, species_index, n_species)
        return counts / self.noise_factor.unsqueeze(-1)

    def force_scale(self) -> float:
        """Return the root mean square force, eV/Å, at least `MIN_FORCE_SCALE` of the scale.

        Where no forces are known, the standard deviation of the energies stands in, with the
        correction of few ones.
        """
        forces = self.forces / self.noise_factor[self.structures.index].unsqueeze(-1)
        known = forces[forces.isfinite()]
        factor = 1.0
        if not known.numel():
            known = self.energy / self.structures.counts.sqrt() / self.noise_factor
            known = known / self.length_scale()
            species, species_index = self.structures.numbers.unique(return_inverse=True)
            factor = few_values_factor(self.composition(species_index, len(species)))
        typical = factor * float(known.square().mean().sqrt())
        return max(typical, MIN_FORCE_SCALE * self.scale.force)

    def length_scale(self) -> float:
        """Return the length over which energies change, Å."""
        return LENGTH_FRACTION * self.scale.length


def prepare_observations(
    structures: Structures, pair_repulsion: PairRepulsion | None, radii: Tensor
) -> Observations:
    """Return energies, forces and virials of structures, less those of the pair prior.

    Args:
        structures: Structures with `energy`, and `forces` and `stress` where there are any.
        pair_repulsion: The pair prior, or None.
        radii: Radius of each atom, `[n]` Å.

    Raises:
        InputError: an energy is missing, or there is no structure.
    """
    if len(structures) == 0:
        raise InputError(error_message("structures", "hold at least one structure", "none"))
    energy, forces = structures.energy, structures.forces
    if energy is None or not bool(energy.isfinite().all()):
        hint = "Leave out structures that have none, or compute them first."
        raise InputError(error_message("energy", "be known and finite", "missing", hint))
    if forces is None:
        forces = torch.full_like(structures.positions, torch.nan)
    scale = ProblemScale.from_structures(structures, radii)
    virials = Virials.from_structures(structures, radii)
    if pair_repulsion is not None:
        pair_repulsion = pair_repulsion.in_scale(scale)
        prior, gradient, _ = pair_repulsion.energy_and_gradients(structures, radii)
        energy, forces = energy - prior, forces + gradient
        if virials is not None:
            prior = pair_repulsion.strain_derivative(structures, radii)
            virials = replace(virials, values=virials.values - prior)
    noise_factor = _noise_factor(structures, energy, forces, scale)
    if virials is not None:
        noise_factor = torch.maximum(noise_factor, _virial_noise_factor(structures, virials, scale))
    bare = structures.without_results()
    return Observations(bare, energy, forces, noise_factor, scale, pair_repulsion, virials)


def prior_mean(
    structures: Structures,
    species_index: Tensor,
    species_energies: Tensor,
    pair_repulsion: PairRepulsion | None,
    radii: Tensor,
) -> Tensor:
    """Return the prior mean of the energies, `[b]` eV, differentiable in the positions.

    Args:
        structures: b structures of n atoms in total.
        species_index: Species of each atom, `[n]`.
        species_energies: Mean energy of an atom of each species, `[species]` eV.
        pair_repulsion: The pair prior, or None.
        radii: Radius of each species, `[species]` Å.
    """
    energy = species_energies.new_zeros(len(structures))
    energy = energy.index_add(0, structures.index, species_energies[species_index])
    if pair_repulsion is None:
        return energy
    return energy + pair_repulsion(structures, radii[species_index])


def _noise_factor(
    structures: Structures, energy: Tensor, forces: Tensor, scale: ProblemScale
) -> Tensor:
    """Return the factor `[b]` on the noise of each structure, at least 1.

    Structures whose largest force, or energy per atom above the lowest, is many times the median
    say little about low minima, and one with overlapping atoms must not spoil the fit. Energies
    are compared less those of the composition.
    """
    species, species_index = structures.numbers.unique(return_inverse=True)
    composition = species_counts(structures, species_index, len(species))
    per_atom = composition_residuals(energy, composition) / structures.counts
    height = per_atom - per_atom.min()
    size = torch.linalg.vector_norm(forces.nan_to_num(), dim=-1)
    largest = torch.zeros_like(height).scatter_reduce(0, structures.index, size, "amax")
    factor = torch.ones_like(height)
    minima = MIN_MEDIAN_ENERGY * scale.energy, MIN_MEDIAN_FORCE * scale.force
    for value, minimum in zip((height, largest), minima, strict=True):
        factor = torch.maximum(factor, _outlier_factor(value, value.median(), minimum))
    return _excluding(factor)


def _virial_noise_factor(structures: Structures, virials: Virials, scale: ProblemScale) -> Tensor:
    """Return the factor `[b]` on the noise of each structure by its virial, at least 1."""
    largest = virials.values.nan_to_num().abs().amax(-1) / structures.counts
    known = largest[virials.values.isfinite().any(-1)]
    return _excluding(_outlier_factor(largest, known.median(), MIN_MEDIAN_FORCE * scale.energy))


def _outlier_factor(value: Tensor, median: Tensor, minimum: float) -> Tensor:
    """Return the factor `[b]`, at least 1, by which values are larger than the usual ones."""
    return (value / (OUTLIER_RATIO * median.clamp(min=minimum))).clamp(min=1)


def _excluding(factor: Tensor) -> Tensor:
    """Return factors that leave out structures above `EXCLUSION_RATIO`."""
    return factor * (factor / EXCLUSION_RATIO).clamp(min=1) ** 3
