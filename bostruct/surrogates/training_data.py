"""Energies and forces made ready for a fit: less the prior, and weighed.

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
from bostruct.surrogates.pair_repulsion import PairRepulsion

PAIRS_PER_CHUNK = 8192  # pairs of atoms whose descriptor slopes are in memory at once
OUTLIER_RATIO = 3.0  # forces and energies above so many medians are trusted less
MIN_MEDIAN_FORCE, MIN_MEDIAN_ENERGY = (
    1.0,
    0.1,
)  # eV/Å, eV per atom: medians below count as these
EXCLUSION_RATIO = 5.0  # times that, a structure has exploded and is as good as left out
MIN_FORCE_SCALE = 0.05  # eV/Å: relaxed structures do not mean that nothing ever changes
NEIGHBORS_PER_ATOM = 64  # atoms within a cut-off, for the estimate of pairs


@final
@dataclass(frozen=True, eq=False)
class Observations:
    """What a surrogate is fitted to.

    Attributes:
        structures: b of them.
        energy: `[b]` eV, less the prior mean.
        forces: `[n, 3]` eV/Å, less the prior's, NaN where unknown.
        noise_factor: `[b]`, factor on the noise deviation of each structure, at least 1.
    """

    structures: Structures
    energy: Tensor
    forces: Tensor
    noise_factor: Tensor

    def chunks(self) -> Iterator[Observations]:
        """Yield parts of the batch that are small enough for the memory."""
        largest = int(self.structures.counts.max())
        each = max(1, PAIRS_PER_CHUNK // (largest * min(largest, NEIGHBORS_PER_ATOM)))
        for start in range(0, len(self.structures), each):
            yield self.subset(slice(start, start + each))

    def subset(self, rows: slice) -> Observations:
        """Return some of the structures."""
        atoms = torch.split(self.forces, self.structures.counts.tolist())
        return Observations(
            self.structures[rows],
            self.energy[rows],
            torch.cat(atoms[rows]),
            self.noise_factor[rows],
        )

    def subsample(self, max_count: int) -> Observations:
        """Return at most `max_count` structures, evenly over all, the last among them."""
        step = -(-len(self.structures) // max_count)
        return self.subset(slice((len(self.structures) - 1) % step, None, step))

    def subtract_species_energies(
        self, species_index: Tensor, n_species: int
    ) -> tuple[Observations, Tensor]:
        """Take off the mean energy of an atom of each species.

        Least squares of the energies on the composition, weighed by trust; the
        shortest solution where the composition does not vary.

        Args:
            species_index: `[n]`, species of each atom.
            n_species: how many there are.

        Returns:
            The rest, and the means `[species]` eV.
        """
        rows = torch.nn.functional.one_hot(species_index, n_species).to(self.energy)
        counts = rows.new_zeros(len(self.structures), n_species)
        counts = counts.index_add(0, self.structures.index, rows)
        weighed = torch.linalg.pinv(counts / self.noise_factor.unsqueeze(-1))
        means = weighed @ (self.energy / self.noise_factor)
        return replace(self, energy=self.energy - counts @ means), means

    def force_scale(self) -> float:
        """Return the typical force, eV/Å, at least `QUIET`.

        Where no forces are known, the spread of the energies stands in.
        """
        forces = self.forces / self.noise_factor[self.structures.index].unsqueeze(-1)
        known = forces[forces.isfinite()]
        scale = float(known.square().mean().sqrt()) if known.numel() else 0.0
        if not known.numel():
            spread = self.energy / self.structures.counts.sqrt() / self.noise_factor
            scale = float(spread.square().mean().sqrt())
        return max(scale, MIN_FORCE_SCALE)


def prepare_observations(
    structures: Structures, pair_repulsion: PairRepulsion | None, radii: Tensor
) -> Observations:
    """Return energies and forces of structures, less the pair prior.

    Args:
        structures: with `energy` known, and `forces` where there are any.
        pair_repulsion: the pair prior, or None.
        radii: `[n]` Å.

    Raises:
        InputError: an energy is missing, or there is no structure.
    """
    if len(structures) == 0:
        raise InputError(error_message("structures", "hold at least one structure", "none"))
    energy, forces = structures.energy, structures.forces
    if energy is None or not bool(energy.isfinite().all()):
        way_out = "Leave out structures that have none, or compute them first."
        raise InputError(error_message("energy", "be known and finite", "missing", way_out))
    if forces is None:
        forces = torch.full_like(structures.positions, torch.nan)
    if pair_repulsion is not None:
        moving = structures.positions.detach().clone().requires_grad_()
        with torch.enable_grad():
            wall = pair_repulsion(replace(structures, positions=moving), radii)
            (slope,) = torch.autograd.grad(wall.sum(), moving)
        energy, forces = energy - wall.detach(), forces + slope
    bare = structures.without_results()
    return Observations(bare, energy, forces, _noise_factor(structures, energy, forces))


def _noise_factor(structures: Structures, energy: Tensor, forces: Tensor) -> Tensor:
    """Return the factor `[b]` on the noise of each structure, at least 1.

    Structures whose largest force, or energy per atom above the lowest, is many times
    the median say little about the low minima that are searched for, and an
    exploded one must not spoil the fit.
    """
    per_atom = energy / structures.counts
    height = per_atom - per_atom.min()
    size = torch.linalg.vector_norm(forces.nan_to_num(), dim=-1)
    largest = torch.zeros_like(height)
    largest = largest.scatter_reduce(0, structures.index, size, "amax")
    factor = torch.ones_like(height)
    for value, least in ((height, MIN_MEDIAN_ENERGY), (largest, MIN_MEDIAN_FORCE)):
        typical = value.median().clamp(min=least)
        factor = torch.maximum(factor, value / (OUTLIER_RATIO * typical))
    return factor * (factor / EXCLUSION_RATIO).clamp(min=1) ** 3
