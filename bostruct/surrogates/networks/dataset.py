"""Training data of a network, ready for many passes.

Notation
    n, k, d   atoms, neighbors of an atom (padded), inputs
    S    [n, 3 k, d]   1/Å   slopes of an atom's inputs with the places of its neighbors

Slopes of the inputs do not change in training, so they are computed once. They are
what fills the memory, 24 k d bytes for each atom, and are counted before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.descriptors import DescriptorGradients
from bostruct.runtime.memory import check_memory, free_bytes
from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.surrogates.networks.featurizer import Featurizer, fit_standardization
from bostruct.surrogates.networks.network import NetworkConfig
from bostruct.surrogates.species import species_radii
from bostruct.surrogates.training_data import Observations, prepare_observations

CUTOFF_FACTOR = 1.9  # default cut-off in units of the longest bond: past the second shell
STRUCTURES_PER_BATCH = 10  # structures of a pass over all of the data


@final
@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Structures of b energies and n atoms, in the units of the encoder's scale.

    Attributes:
        inputs: `[n, d]` inputs.
        species_index: `[n]` species.
        index: `[n]` structure of each atom.
        energy: `[b]`, less the prior mean.
        forces: `[n, 3]` 1/Å, less the prior's; zero where unknown.
        force_mask: `[n, 3]`, 1 where a force is known and 0 elsewhere.
        noise_factor: `[b]`, factor on the noise deviation, at least 1.
        input_gradients: `[n, 3 k, d]`, S; k = 0 where no force is known.
        neighbors: `[n, k]`, the neighbors; padding points at the atom itself.
        source_rows: `[b]`, which structures of the training data these are.
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
        here = counts[rows]
        index = torch.arange(len(rows)).repeat_interleave(here)
        shift = (here.cumsum(0) - here - starts[rows])[index]
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
        """Return the forces `[M, n, 3]` of energies with slopes `[M, n, d]` in x."""
        M, n, _ = gradients.shape
        pairs = torch.bmm(self.input_gradients, gradients.permute(1, 2, 0))  # [n, 3 k, M]
        pairs = pairs.view(n, -1, 3, M)
        flat = pairs.reshape(-1, 3, M)
        forces = pairs.sum(1).index_add(0, self.neighbors.flatten(), flat, alpha=-1)
        return forces.permute(2, 0, 1)


def prepare_training_set(
    network: NetworkConfig, structures: Structures, space: Space | None
) -> tuple[Featurizer, TrainingSet]:
    """Return what structures with energies, and forces where there are any, teach.

    Args:
        network: descriptor and prior.
        structures: b of them.
        space: as in `Surrogate.fit`.

    Raises:
        InputError: an energy is missing, there is no structure, or the slopes do not
            fit into the memory that is free.
    """
    species, radii = species_radii(structures, space)
    cutoff = network.cutoff or CUTOFF_FACTOR * 2 * float(radii.max())
    soap = network.soap(species, cutoff)
    place = soap.species_index(structures.numbers)
    radii = radii.to(structures.positions)
    data = prepare_observations(structures, network.pair_repulsion, radii[place])
    data, constants = data.subtract_species_energies(place, len(species))
    mean, basis = fit_standardization(soap, data, network.n_components)
    scale = data.energy.new_tensor(data.force_scale())
    encoder = Featurizer(soap, mean, basis, radii, constants, scale, network.pair_repulsion)
    return encoder, _training_set(encoder, data)


def _training_set(featurizer: Featurizer, data: Observations) -> TrainingSet:
    structures = data.structures
    known = data.forces.isfinite()
    parts, others, rows = [], [], []
    start, room = 0, free_bytes(structures.device)
    for part in data.chunks():
        size = len(part.structures.numbers)
        if not bool(known.any()):
            rows.append(featurizer.soap(part.structures).detach())
            continue
        slopes = featurizer.soap.gradients(part.structures)
        S, other = _pad_neighbors(slopes, featurizer.basis)
        parts.append(S)
        others.append(other + start)
        rows.append(slopes.features)
        start += size
        need = 2 * 8 * S[0].numel() * len(known)  # parts, and all of them joined
        way_out = "Train on fewer structures, or take fewer components."
        check_memory("structures", need, room, way_out)
    place = featurizer.soap.species_index(structures.numbers)
    x = (torch.cat(rows) - featurizer.mean[place]) @ featurizer.basis
    slopes_, other = _concatenate_chunks(parts, others, x)
    scale = featurizer.energy_scale
    return TrainingSet(
        inputs=x,
        species_index=place,
        index=structures.index,
        energy=data.energy / scale,
        forces=data.forces.nan_to_num() / scale,
        force_mask=known.to(x),
        noise_factor=data.noise_factor,
        input_gradients=slopes_,
        neighbors=other,
        source_rows=torch.arange(len(structures), device=x.device),
    )


def _pad_neighbors(pairs: DescriptorGradients, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return slopes `[n, k, 3, d]` and neighbors `[n, k]` of pairs sorted by center."""
    n, center = len(pairs.features), pairs.center
    slopes = pairs.gradients @ basis
    counts = torch.bincount(center, minlength=n)
    column = torch.arange(len(center), device=center.device)
    column = column - (counts.cumsum(0) - counts)[center]
    k = int(counts.max())
    S = slopes.new_zeros(n, k, *slopes.shape[1:])
    S[center, column] = slopes
    others = torch.arange(n, device=center.device).unsqueeze(-1).repeat(1, k)
    others[center, column] = pairs.neighbor
    return S, others


def _concatenate_chunks(
    parts: list[Tensor], others: list[Tensor], x: Tensor
) -> tuple[Tensor, Tensor]:
    """Return S `[n, 3 k, d]` and neighbors `[n, k]` of all chunks."""
    n, d = x.shape
    k = max((part.shape[1] for part in parts), default=0)
    S = x.new_zeros(n, k, 3, d)
    other = torch.arange(n, device=x.device).unsqueeze(-1).repeat(1, k)
    start = 0
    for part, own in zip(parts, others, strict=True):
        stop = start + len(part)
        S[start:stop, : part.shape[1]] = part
        other[start:stop, : own.shape[1]] = own
        start = stop
    return S.view(n, 3 * k, d), other
