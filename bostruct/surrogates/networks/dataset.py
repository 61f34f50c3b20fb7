"""Training data of a network, prepared for many passes.

Notation
    n, k, d   atoms, neighbors of an atom (padded), inputs
    S    [n, 3 k, d]   1     gradients of an atom's inputs by the positions of its neighbors

Gradients of the inputs do not change in training, so they are computed once. They fill the memory,
24 k d bytes for each atom, and are counted before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from bostruct.runtime.memory import check_memory, free_bytes
from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.surrogates.networks.featurizer import Featurizer, fit_standardization
from bostruct.surrogates.networks.network import NetworkConfig
from bostruct.surrogates.species import species_radii
from bostruct.surrogates.training_data import Observations, prepare_observations

CUTOFF_FACTOR = 1.9  # default cutoff in units of the longest bond: past the second shell
STRUCTURES_PER_BATCH = 10  # structures of a pass over all of the data


@final
@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Structures of b energies and n atoms, in the featurizer's units of energy and length.

    Attributes:
        inputs: Inputs of the atoms, `[n, d]`.
        species_index: Species of the atoms, `[n]`.
        index: Structure of each atom, `[n]`.
        energy: Energies less the prior mean, `[b]`.
        forces: Forces less those of the prior mean, `[n, 3]`; zero where unknown.
        force_mask: 1 where a force is known and 0 elsewhere, `[n, 3]`.
        noise_factor: Factor on the noise standard deviation, `[b]`, at least 1.
        input_gradients: Gradients of the inputs S, `[n, 3 k, d]`; k = 0 where no force is known.
        neighbors: Neighbors of each atom, `[n, k]`; padding points at the atom itself.
        source_rows: Rows of the whole training set, `[b]`.
    """

    inputs: Tensor
    species_index: Tensor
    index: Tensor
    energy: Tensor
    forces: Tensor
    force_mask: Tensor
    noise_factor: Tensor
    input_gradients: Tensor
    neighbors: Tensor
    source_rows: Tensor

    def __len__(self) -> int:
        return len(self.energy)

    @property
    def counts(self) -> Tensor:
        """Atoms of each structure, `[b]`."""
        return torch.bincount(self.index, minlength=len(self)).to(self.energy)

    def subset(self, rows: Tensor) -> TrainingSet:
        """Return some of the structures, `rows` `[r]` int64 on the CPU."""
        counts = torch.bincount(self.index, minlength=len(self)).cpu()
        ends = counts.cumsum(0)
        starts = ends - counts
        ranges = [
            torch.arange(start, end)
            for start, end in zip(starts[rows].tolist(), ends[rows].tolist(), strict=True)
        ]
        sizes = counts[rows]
        index = torch.arange(len(rows)).repeat_interleave(sizes)
        shift = (sizes.cumsum(0) - sizes - starts[rows])[index]
        device = self.inputs.device
        atoms, shift = torch.cat(ranges).to(device), shift.to(device)
        rows = rows.to(device)
        return TrainingSet(
            inputs=self.inputs[atoms],
            species_index=self.species_index[atoms],
            index=index.to(device),
            energy=self.energy[rows],
            forces=self.forces[atoms],
            force_mask=self.force_mask[atoms],
            noise_factor=self.noise_factor[rows],
            input_gradients=self.input_gradients[atoms],
            neighbors=self.neighbors[atoms] + shift.unsqueeze(-1),
            source_rows=self.source_rows[rows],
        )

    def iter_batches(self) -> Iterator[TrainingSet]:
        """Yield all structures, a few at a time."""
        for start in range(0, len(self), STRUCTURES_PER_BATCH):
            yield self.subset(torch.arange(start, min(start + STRUCTURES_PER_BATCH, len(self))))

    def forces_from_gradients(self, gradients: Tensor) -> Tensor:
        """Return the forces `[M, n, 3]` of energies with gradients `[M, n, d]` in x."""
        M, n, _ = gradients.shape
        pairs = torch.bmm(self.input_gradients, gradients.permute(1, 2, 0))  # [n, 3 k, M]
        pairs = pairs.view(n, -1, 3, M)
        flat = pairs.reshape(-1, 3, M)
        forces = pairs.sum(1).index_add(0, self.neighbors.flatten(), flat, alpha=-1)
        return forces.permute(2, 0, 1)


def prepare_training_set(
    network: NetworkConfig, structures: Structures, space: Space | None
) -> tuple[Featurizer, TrainingSet]:
    """Return the featurizer and the training set of structures with energies.

    Args:
        network: Settings of the descriptor and the prior.
        structures: b structures with energies, and forces where there are any.
        space: Adds its species, and its radii replace the covalent ones; or None.

    Raises:
        InputError: an energy is missing, there is no structure, or the gradients do not fit into
            the free memory.
    """
    species, radii = species_radii(structures, space)
    cutoff = network.cutoff or CUTOFF_FACTOR * 2 * float(radii.max())
    soap = network.soap(species, cutoff)
    species_index = soap.species_index(structures.numbers)
    radii = radii.to(structures.positions)
    data = prepare_observations(structures, network.pair_repulsion, radii[species_index])
    data, energies = data.subtract_species_energies(species_index, len(species))
    mean, basis = fit_standardization(soap, data, network.n_components)
    unit = torch.ones_like(energies[0])
    featurizer = Featurizer(soap, mean, basis, radii, energies, unit, data.pair_repulsion)
    scale = data.energy.new_tensor(data.force_scale() * featurizer.length_scale())
    featurizer = replace(featurizer, energy_scale=scale)
    return featurizer, _training_set(featurizer, data)


def _training_set(featurizer: Featurizer, data: Observations) -> TrainingSet:
    structures, known = data.structures, data.forces.isfinite()
    d, room, start, most = featurizer.basis.shape[1], free_bytes(structures.device), 0, 0
    centers = [torch.zeros_like(structures.index)[:0]]
    others, gradients, features = [centers[0]], [structures.positions.new_zeros(0, 3, d)], []
    for chunk in data.chunks():
        if not bool(known.any()):
            features.append(featurizer.soap(chunk.structures).detach())
            continue
        pairs = featurizer.soap.gradients(chunk.structures)
        centers.append(pairs.center + start)
        others.append(pairs.neighbor + start)
        gradients.append(pairs.gradients @ featurizer.basis)
        features.append(pairs.features)
        start += len(pairs.features)
        most = max(most, int(torch.bincount(pairs.center, minlength=1).max()))
        size = 2 * 8 * most * 3 * d * len(known)  # pairs, and a padded table
        hint = "Train on fewer structures, or take fewer components."
        check_memory("structures", size, room, hint)
    species_index = featurizer.soap.species_index(structures.numbers)
    x = (torch.cat(features) - featurizer.mean[species_index]) @ featurizer.basis
    center = torch.cat(centers)
    counts = torch.bincount(center, minlength=len(x))
    column = torch.arange(len(center), device=x.device) - (counts.cumsum(0) - counts)[center]
    input_gradients = x.new_zeros(len(x), most, 3, d)
    columns = column.split([len(part) for part in gradients])
    for part in zip(centers, columns, gradients, strict=True):  # joined first, they would be thrice
        input_gradients[part[:2]] = part[2]
    neighbors = torch.arange(len(x), device=x.device).unsqueeze(-1).repeat(1, most)
    neighbors[center, column] = torch.cat(others)
    scale, length = featurizer.energy_scale, featurizer.length_scale()
    return TrainingSet(
        inputs=x,
        species_index=species_index,
        index=structures.index,
        energy=data.energy / scale,
        forces=data.forces.nan_to_num() * (length / scale),
        force_mask=known.to(x),
        noise_factor=data.noise_factor,
        input_gradients=input_gradients.flatten(1, 2).mul_(length),
        neighbors=neighbors,
        source_rows=torch.arange(len(structures), device=x.device),
    )
