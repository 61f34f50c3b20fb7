"""Neighbor lists with periodic images, for a whole ragged batch at once.

Notation
    n   atoms of all structures together
    g   points: the atoms, wrapped into their cells, and those of their periodic
        images that can have an atom within the cutoff
    r   runs: consecutive points that are candidate neighbors of one atom
    p   pairs

In small structures all atoms are candidates: each atom has one run, its own structure. Larger ones
are sorted into bins a little wider than the cutoff, with consecutive numbers along z; an atom then
has nine runs of three bins each, and the cost grows linearly with the number of atoms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from bostruct.errors import check_positive
from bostruct.structures.structures import Structures

MAX_CHUNK_PAIRS = 1 << 20
"""Candidate pairs of one chunk; bounds the memory to about 100 MB."""

MAX_ATOMS_ALL_PAIRS = 40
"""Atoms of a structure up to which all pairs are faster than a neighbor search."""

MAX_POINTS_WITHOUT_BINS = 128
"""Points of a structure up to which no bins are used."""

RELATIVE_MARGIN = 1e-3
"""Relative widening of bins and image ranges, so that rounding cannot lose a pair."""

MAX_BINS_PER_DIRECTION = 1 << 16
"""Maximum number of bins along one direction, so that bin numbers fit int64."""


@final
@dataclass(frozen=True, eq=False)
class NeighborList:
    """Ordered pairs of atoms closer than a cutoff, sorted by `center`.

    Attributes:
        center: `[p]` int64, index of the central atom.
        neighbor: `[p]` int64, index of the neighbor, or of the atom that it is an image of.
        shift: `[p, 3]`, whole lattice vectors from `neighbor` to the image, in the dtype of the
            positions.
        structure_index: `[p]` int64, index of the structure of the pair.
        n_atoms: number n of atoms of all structures.
        periodic: false if no pair crosses a boundary, so that `shift` is zero.
    """

    center: Tensor
    neighbor: Tensor
    shift: Tensor
    structure_index: Tensor
    n_atoms: int
    periodic: bool

    def __len__(self) -> int:
        return self.center.shape[0]

    def vectors(self, positions: Tensor, cell: Tensor) -> Tensor:
        """Return the vectors from `center` to `neighbor`, `[p, 3]` Å, differentiable.

        Args:
            positions: `[n, 3]` Å, of all atoms.
            cell: `[b, 3, 3]` Å, lattice vectors as rows.
        """
        vectors = positions[self.neighbor] - positions[self.center]
        if not self.periodic:
            return vectors
        lattice = cell[self.structure_index]  # [p, 3, 3]
        return vectors + (self.shift.unsqueeze(-2) @ lattice).squeeze(-2)

    def select(self, mask: Tensor) -> NeighborList:
        """Return the pairs given by a boolean `[p]`."""
        names = ("center", "neighbor", "shift", "structure_index")
        return replace(self, **{name: getattr(self, name)[mask] for name in names})

    def to_padded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the list as a table with one row per atom.

        k is the largest number of neighbors, at least 1. Padding points at the atom itself with no
        shift: its vector is zero, so mask before taking a norm.

        Returns:
            neighbor `[n, k]` int64, shift `[n, k, 3]`, mask `[n, k]` bool.
        """
        counts = torch.bincount(self.center, minlength=self.n_atoms)
        k = max(int(counts.max()), 1) if self.n_atoms else 1
        start = counts.cumsum(0) - counts
        column = torch.arange(len(self), device=self.center.device) - start[self.center]
        row = torch.arange(self.n_atoms, device=self.center.device)
        neighbor = row.unsqueeze(-1).repeat(1, k)
        neighbor[self.center, column] = self.neighbor
        shift = self.shift.new_zeros(self.n_atoms, k, 3)
        if self.periodic:
            shift[self.center, column] = self.shift
        mask = torch.arange(k, device=counts.device) < counts.unsqueeze(-1)
        return neighbor, shift, mask


def all_pairs(structures: Structures) -> Tensor | None:
    """Return all other atoms of each atom's structure, `[n, a - 1]`, for small structures.

    For isolated structures of one small size, None otherwise. No search is needed, as terms that
    vanish beyond a cutoff may be summed over all pairs.
    """
    n, b = structures.positions.shape[0], len(structures)
    a = n // b if b else 0
    if a * b != n or not 1 < a <= MAX_ATOMS_ALL_PAIRS or bool(structures.pbc.any()):
        return None
    index = structures.index.view(b, a)
    if not bool((index == index[:, :1]).all()):
        return None
    return _other_atoms(b, a, structures.device)


@lru_cache(maxsize=64)
def _other_atoms(b: int, a: int, device: torch.device) -> Tensor:
    atom = torch.arange(a, device=device)
    others = torch.arange(a - 1, device=device).expand(a, -1)
    others = others + (others >= atom.unsqueeze(-1))  # [a, a - 1]
    first = torch.arange(b, device=device) * a
    return (first.view(-1, 1, 1) + others).flatten(0, 1)


def build_neighbor_list(structures: Structures, cutoff: float) -> NeighborList:
    """Return all pairs of atoms, and of atoms and images, closer than `cutoff`.

    An atom is a neighbor of its own images, never of itself. A distance of exactly
    `cutoff` is outside, as in `ase.neighborlist`.

    Args:
        structures: batch of any sizes, cells and boundary conditions.
        cutoff: cutoff radius, Å; it may be larger than the cell.

    Raises:
        InputError: the cutoff is not positive.
    """
    check_positive("cutoff", cutoff, "It is a distance in Å.")
    positions = structures.positions.detach()
    index = structures.index
    points = _periodic_points(structures, cutoff)
    order, row, start, size = _candidate_runs(points, index, len(structures), cutoff)
    # One row per direction: sums over rows are faster than sums over triples.
    point_rows, atom_rows = points.position.T.contiguous(), points.wrapped.T.contiguous()
    pairs: list[tuple[Tensor, Tensor]] = []
    for run, offset in _iter_expanded_runs(size):
        i = row[run]
        g = order[start[run] + offset]
        vectors = point_rows.index_select(1, g) - atom_rows.index_select(1, i)  # [3, p]
        inside = vectors.square_().sum(0) < cutoff**2
        i, g = i[inside], g[inside]
        kept = points.real_atom[g] != i
        pairs.append((i[kept], g[kept]))
    center = torch.cat([i for i, _ in pairs])
    point = torch.cat([g for _, g in pairs])
    neighbor = points.atom[point]
    shift = points.shift[point]
    if points.periodic:
        # vector = (neighbor - its wrap + image) - (center - its wrap), all whole cells
        shift = shift - points.wrap_shift[neighbor] + points.wrap_shift[center]
    return NeighborList(
        center=center,
        neighbor=neighbor,
        shift=shift,
        structure_index=index[center],
        n_atoms=positions.shape[0],
        periodic=points.periodic,
    )


@dataclass(frozen=True, eq=False)
class _Points:
    """Atoms wrapped into their cells, and images near them, sorted by structure."""

    position: Tensor  # [g, 3] Å
    atom: Tensor  # [g] index of the atom that the point is an image of
    real_atom: Tensor  # [g] index of the atom, -1 for images
    shift: Tensor  # [g, 3] whole lattice vectors
    wrapped: Tensor  # [n, 3] Å, positions of wrapped atoms
    wrap_shift: Tensor  # [n, 3] whole lattice vectors taken off each atom
    periodic: bool


def _periodic_points(structures: Structures, cutoff: float) -> _Points:
    positions = structures.positions.detach()
    every = torch.arange(positions.shape[0], device=positions.device)
    if not structures.pbc.any():
        zero = positions.new_zeros(()).expand_as(positions)
        return _Points(positions, every, every, zero, positions, zero, False)
    index = structures.index
    cell = structures.cell.detach() * structures.pbc.unsqueeze(-1)  # [b, 3, 3]
    # Fractional coordinates along the periodic vectors only: the pseudo-inverse gives zero along
    # the others, up to rounding, which `floor` would amplify. 1 / |column| is the cell's height.
    periodic = structures.pbc.unsqueeze(-2)  # [b, 1, 3]
    dual = torch.where(periodic, torch.linalg.pinv(cell), 0)  # [b, 3, 3]
    fraction = (positions.unsqueeze(-2) @ dual[index]).squeeze(-2)  # [n, 3]
    wrap = fraction.floor()
    fraction = fraction - wrap
    wrapped = positions - (wrap.unsqueeze(-2) @ cell[index]).squeeze(-2)
    reach = cutoff * (1 + RELATIVE_MARGIN) * torch.linalg.vector_norm(dual, dim=-2)  # [b, 3]
    low, high = _structure_bounds(fraction, index, len(structures))
    low, high = low - reach - RELATIVE_MARGIN, high + reach + RELATIVE_MARGIN
    # images s of an atom at f are needed where low <= f + s <= high
    first = (low[index] - fraction).ceil()  # [n, 3]
    n_images = ((high[index] - fraction).floor() - first + 1).to(torch.int64)
    images = []
    for atom, offset in _iter_expanded_runs(n_images.prod(-1)):
        ny, nz = n_images[atom, 1], n_images[atom, 2]
        step = torch.stack((offset // (ny * nz), offset // nz % ny, offset % nz), -1)
        images.append((atom, first[atom] + step))
    atom = torch.cat([a for a, _ in images])
    shift = torch.cat([s for _, s in images])
    position = wrapped[atom] + (shift.unsqueeze(-2) @ cell[index[atom]]).squeeze(-2)
    real_atom = torch.where((shift == 0).all(-1), atom, -1)
    return _Points(position, atom, real_atom, shift, wrapped, wrap, True)


def _candidate_runs(
    points: _Points, index: Tensor, b: int, cutoff: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the runs of candidate neighbors of each atom.

    Returns:
        order `[g]`: the points, sorted so that runs are contiguous; and for each run its atom
        `[r]`, its start in `order` `[r]`, and its length `[r]`.
    """
    owner = index[points.atom]  # [g]
    counts = torch.bincount(owner, minlength=b)  # [b]
    every = torch.arange(index.numel(), device=index.device)
    if counts.numel() == 0 or int(counts.max()) <= MAX_POINTS_WITHOUT_BINS:
        start = counts.cumsum(0) - counts
        order = torch.arange(owner.numel(), device=index.device)
        return order, every, start[index], counts[index]
    low, high = _structure_bounds(points.position, owner, b)  # [b, 3]
    edge = ((high - low) / MAX_BINS_PER_DIRECTION).clamp(min=cutoff * (1 + RELATIVE_MARGIN))
    edge = torch.where((counts <= MAX_POINTS_WITHOUT_BINS).unsqueeze(-1), torch.inf, edge)
    size = ((high - low) / edge).floor().amax(0).to(torch.int64) + 3  # [3] padded
    stride = torch.stack((size[1] * size[2], size[2], torch.ones_like(size[2])))
    block = size.prod()

    def bin_of(position: Tensor, structure: Tensor) -> Tensor:
        step = ((position - low[structure]) / edge[structure]).floor().to(torch.int64)
        return structure * block + ((step + 1) * stride).sum(-1)

    bins, order = bin_of(points.position, owner).sort(stable=True)
    step = torch.arange(-1, 2, device=index.device)
    across = (step.unsqueeze(-1) * stride[0] + step * stride[1]).flatten()  # [9]
    middle = bin_of(points.wrapped, index).unsqueeze(-1) + across  # [n, 9]
    start = torch.searchsorted(bins, middle - 1)
    end = torch.searchsorted(bins, middle + 1, right=True)
    row = every.unsqueeze(-1).expand(-1, 9)
    return order, row.flatten(), start.flatten(), (end - start).flatten()


def _iter_expanded_runs(size: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (run, offset in the run) for all elements of ragged runs, in chunks.

    Args:
        size: `[r]` int64, length of each run.
    """
    end = size.cumsum(0)
    total = int(end[-1]) if end.numel() else 0
    if total <= MAX_CHUNK_PAIRS:
        run = torch.repeat_interleave(size, output_size=total)
        flat = torch.arange(total, device=size.device)
        yield run, flat - (end - size)[run]
        return
    for low in range(0, total, MAX_CHUNK_PAIRS):
        flat = torch.arange(low, min(low + MAX_CHUNK_PAIRS, total), device=size.device)
        run = torch.searchsorted(end, flat, right=True)
        yield run, flat - (end - size)[run]


def _structure_bounds(values: Tensor, index: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """Return the minimum and maximum of `values` `[n, 3]` by structure, `[b, 3]`."""
    rows, zero = index.unsqueeze(-1).expand_as(values), values.new_zeros(b, 3)
    low = zero.scatter_reduce(0, rows, values, "amin", include_self=False)
    high = zero.scatter_reduce(0, rows, values, "amax", include_self=False)
    return low, high
