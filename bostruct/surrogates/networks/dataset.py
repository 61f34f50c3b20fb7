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

from bostruct.descriptors import Slopes
from bostruct.runtime.memory import check_memory, free_bytes
from bostruct.structures import Structures
from bostruct.surrogates.base import Decodes
from bostruct.surrogates.networks.featurizer import Encoder, standardise
from bostruct.surrogates.networks.network import Network
from bostruct.surrogates.species import species_radii
from bostruct.surrogates.training_data import Observations, observations

REACH = 1.9  # default cut-off in units of the longest bond: past the second shell
BLOCK = 10  # structures of a pass over all of the data


@final
@dataclass(frozen=True, eq=False)
class Lesson:
    """Structures of b energies and n atoms, in the units of the encoder's scale.

    Attributes:
        x: `[n, d]` inputs.
        place: `[n]` species.
        index: `[n]` structure of each atom.
        energy: `[b]`, less the prior mean.
        forces: `[n, 3]` 1/Å, less the prior's; zero where unknown.
        known: `[n, 3]`, 1 where a force is known and 0 elsewhere.
        trust: `[b]`, factor on the noise deviation, at least 1.
        slopes: `[n, 3 k, d]`, S; k = 0 where no force is known.
        other: `[n, k]`, the neighbors; padding points at the atom itself.
        rows: `[b]`, which structures of the training data these are.
    """

    x: Tensor
    place: Tensor
    index: Tensor
    energy: Tensor
    forces: Tensor
    known: Tensor
    trust: Tensor
    slopes: Tensor
    other: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.energy)

    @property
    def counts(self) -> Tensor:
        """Atoms of each structure, `[b]`."""
        return torch.bincount(self.index, minlength=len(self)).to(self.energy)

    def take(self, rows: Tensor) -> Lesson:
        """Return some of the structures, `rows` `[r]` int64 on the CPU."""
        counts = torch.bincount(self.index, minlength=len(self)).cpu()
        ends = counts.cumsum(0)
        starts = ends - counts
        ranges = [
            torch.arange(start, end)
            for start, end in zip(
                starts[rows].tolist(), ends[rows].tolist(), strict=True
            )
        ]
        here = counts[rows]
        index = torch.arange(len(rows)).repeat_interleave(here)
        shift = (here.cumsum(0) - here - starts[rows])[index]
        device = self.x.device
        atoms, shift = torch.cat(ranges).to(device), shift.to(device)
        rows = rows.to(device)
        return Lesson(
            x=self.x[atoms],
            place=self.place[atoms],
            index=index.to(device),
            energy=self.energy[rows],
            forces=self.forces[atoms],
            known=self.known[atoms],
            trust=self.trust[rows],
            slopes=self.slopes[atoms],
            other=self.other[atoms] + shift.unsqueeze(-1),
            rows=self.rows[rows],
        )

    def blocks(self) -> Iterator[Lesson]:
        """Yield all structures, a few at a time."""
        for start in range(0, len(self), BLOCK):
            yield self.take(torch.arange(start, min(start + BLOCK, len(self))))

    def pull(self, slopes: Tensor) -> Tensor:
        """Return the forces `[M, n, 3]` of energies with slopes `[M, n, d]` in x."""
        M, n, _ = slopes.shape
        pairs = torch.bmm(self.slopes, slopes.permute(1, 2, 0))  # [n, 3 k, M]
        pairs = pairs.view(n, -1, 3, M)
        flat = pairs.reshape(-1, 3, M)
        forces = pairs.sum(1).index_add(0, self.other.flatten(), flat, alpha=-1)
        return forces.permute(2, 0, 1)


def prepare(
    network: Network, structures: Structures, space: Decodes | None
) -> tuple[Encoder, Lesson]:
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
    cutoff = network.cutoff or REACH * 2 * float(radii.max())
    soap = network.soap(species, cutoff)
    place = soap.place(structures.numbers)
    radii = radii.to(structures.positions)
    data = observations(structures, network.repulsion, radii[place])
    data, constants = data.centred(place, len(species))
    mean, basis = standardise(soap, data, network.components)
    scale = data.energy.new_tensor(data.force_scale())
    encoder = Encoder(soap, mean, basis, radii, constants, scale, network.repulsion)
    return encoder, _lesson(encoder, data)


def _lesson(encoder: Encoder, data: Observations) -> Lesson:
    structures = data.structures
    known = data.forces.isfinite()
    parts, others, rows = [], [], []
    start, room = 0, free_bytes(structures.device)
    for part in data.chunks():
        size = len(part.structures.numbers)
        if not bool(known.any()):
            rows.append(encoder.soap(part.structures).detach())
            continue
        slopes = encoder.soap.slopes(part.structures)
        S, other = _padded(slopes, encoder.basis)
        parts.append(S)
        others.append(other + start)
        rows.append(slopes.features)
        start += size
        need = 2 * 8 * S[0].numel() * len(known)  # parts, and all of them joined
        way_out = "Train on fewer structures, or take fewer components."
        check_memory("structures", need, room, way_out)
    place = encoder.soap.place(structures.numbers)
    x = (torch.cat(rows) - encoder.mean[place]) @ encoder.basis
    slopes_, other = _joined(parts, others, x)
    scale = encoder.scale
    return Lesson(
        x=x,
        place=place,
        index=structures.index,
        energy=data.energy / scale,
        forces=data.forces.nan_to_num() / scale,
        known=known.to(x),
        trust=data.trust,
        slopes=slopes_,
        other=other,
        rows=torch.arange(len(structures), device=x.device),
    )


def _padded(pairs: Slopes, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return slopes `[n, k, 3, d]` and neighbors `[n, k]` of pairs sorted by center."""
    n, center = len(pairs.features), pairs.center
    slopes = pairs.slopes @ basis
    counts = torch.bincount(center, minlength=n)
    column = torch.arange(len(center), device=center.device)
    column = column - (counts.cumsum(0) - counts)[center]
    k = int(counts.max())
    S = slopes.new_zeros(n, k, *slopes.shape[1:])
    S[center, column] = slopes
    others = torch.arange(n, device=center.device).unsqueeze(-1).repeat(1, k)
    others[center, column] = pairs.other
    return S, others


def _joined(
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
