"""Neighbor lists with periodic images, for a whole ragged batch at once.

Notation
    n   atoms of all structures together
    g   points: the atoms, wrapped into their cells, and those of their periodic
        images that can have an atom within the cutoff
    r   runs: stretches of consecutive points that one atom has to look at
    p   pairs

Small structures are searched whole: each atom has one run, its own structure. Larger
ones are sorted into bins a little wider than the cutoff, numbered so that bins which
follow each other along z have consecutive numbers; an atom then has nine runs of three
bins each, and the cost grows linearly with the number of atoms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from bostruct.errors import check_positive
from bostruct.structures.structures import Structures

MAX_CHUNK_PAIRS = 1 << 20
"""Candidate pairs looked at in one go; bounds the memory to about 100 MB."""

MAX_ATOMS_ALL_PAIRS = 40
"""Atoms of a structure up to which looking at all pairs beats searching for some."""

MAX_POINTS_WITHOUT_BINS = 128
"""Points up to which a structure is searched whole rather than through bins."""

RELATIVE_MARGIN = 1e-3
"""Relative widening of bins and image ranges; rounding cannot lose a pair."""

MAX_BINS_PER_DIRECTION = 1 << 16
"""Most bins along one direction, so that bin numbers of far-flung atoms fit int64."""


@final
@dataclass(frozen=True, eq=False)
class NeighborList:
    """Every ordered pair of atoms closer than a cutoff, sorted by `center`.

    Attributes:
        center: `[p]` int64, the atom that has the neighbor.
        neighbor: `[p]` int64, the atom that is the neighbor, or whose image is.
        shift: `[p, 3]`, whole lattice vectors from `neighbor` to the image, in the dtype
            of the positions.
        structure_index: `[p]` int64, the structure both belong to.
        n_atoms: n.
        periodic: False if no pair crosses a boundary, so that `shift` is zero.
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
        """Return the vectors from `center` to `other`, `[p, 3]` Å, differentiable.

        Args:
            positions: `[n, 3]` Å.
            cell: `[b, 3, 3]` Å.
        """
        between = positions[self.neighbor] - positions[self.center]
        if not self.periodic:
            return between
        lattice = cell[self.structure_index]  # [p, 3, 3]
        return between + (self.shift.unsqueeze(-2) @ lattice).squeeze(-2)

    def select(self, mask: Tensor) -> NeighborList:
        """Return the pairs given by a boolean `[p]`."""
        return NeighborList(
            center=self.center[mask],
            neighbor=self.neighbor[mask],
            shift=self.shift[mask],
            structure_index=self.structure_index[mask],
            n_atoms=self.n_atoms,
            periodic=self.periodic,
        )

    def to_padded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the list as a table with one row per atom.

        k is the largest number of neighbors, at least 1. Unused places point at the
        atom itself with no shift: their vector is zero, so mask before taking a norm.

        Returns:
            other `[n, k]` int64, shift `[n, k, 3]`, mask `[n, k]` bool.
        """
        counts = torch.bincount(self.center, minlength=self.n_atoms)
        k = max(int(counts.max()), 1) if self.n_atoms else 1
        start = counts.cumsum(0) - counts
        every = torch.arange(len(self), device=self.center.device)
        column = every - start[self.center]
        row = torch.arange(self.n_atoms, device=self.center.device)
        other = row.unsqueeze(-1).repeat(1, k)
        other[self.center, column] = self.neighbor
        shift = self.shift.new_zeros(self.n_atoms, k, 3)
        if self.periodic:
            shift[self.center, column] = self.shift
        mask = torch.arange(k, device=counts.device) < counts.unsqueeze(-1)
        return other, shift, mask


def all_pairs(structures: Structures) -> Tensor | None:
    """Return all other atoms of each atom's structure, `[n, a - 1]`, if that is cheap.

    It is for isolated structures of one small size, and spares the search: whatever
    vanishes beyond a cutoff may as well be summed over all pairs. None otherwise.
    """
    n, b = structures.positions.shape[0], len(structures)
    a = n // b if b else 0
    if a * b != n or not 1 < a <= MAX_ATOMS_ALL_PAIRS or bool(structures.pbc.any()):
        return None
    sizes = structures.index.view(b, a)
    if not bool((sizes == sizes[:, :1]).all()):
        return None
    return _other_atoms(b, a, structures.device)


@lru_cache(maxsize=64)
def _other_atoms(b: int, a: int, device: torch.device) -> Tensor:
    atom = torch.arange(a, device=device)
    others = torch.arange(a - 1, device=device).expand(a, -1)
    others = others + (others >= atom.unsqueeze(-1))  # [a, a - 1]
    first = torch.arange(b, device=device) * a
    return (first.view(-1, 1, 1) + others).flatten(0, 1)


def build_neighbor_list(
    structures: Structures, cutoff: float, *, half: bool = False
) -> NeighborList:
    """Return all pairs of atoms, and of atoms and images, closer than `cutoff`.

    An atom is a neighbor of its own images, never of itself. A distance of exactly
    `cutoff` is outside, as in `ase.neighborlist`.

    Args:
        structures: any mix of sizes, cells and boundary conditions.
        cutoff: Å; it may be larger than the cell.
        half: keep each pair once instead of from both ends.

    Raises:
        InputError: the cutoff is not positive.
    """
    check_positive("cutoff", cutoff, "It is a distance in Å.")
    positions = structures.positions.detach()
    index = structures.index
    points = _periodic_points(structures, cutoff)
    order, row, start, size = _candidate_runs(points, index, len(structures), cutoff)
    # one row per direction: sums over rows are fast, sums over triples are not
    there, here = points.position.T.contiguous(), points.wrapped.T.contiguous()
    found: list[tuple[Tensor, Tensor]] = []
    for run, offset in _iter_expanded_runs(size):
        i = row[run]
        g = order[start[run] + offset]
        between = there.index_select(1, g) - here.index_select(1, i)  # [3, p]
        close = between.square_().sum(0) < cutoff**2
        i, g = i[close], g[close]
        kept = points.real_atom[g] != i
        if half:
            kept &= _is_counted_end(points, i, g)
        found.append((i[kept], g[kept]))
    center = torch.cat([i for i, _ in found])
    point = torch.cat([g for _, g in found])
    other = points.atom[point]
    shift = points.shift[point]
    if points.periodic:
        # vector = (other - its wrap + image) - (center - its wrap), all whole cells
        shift = shift - points.wrap_shift[other] + points.wrap_shift[center]
    return NeighborList(
        center=center,
        neighbor=other,
        shift=shift,
        structure_index=index[center],
        n_atoms=positions.shape[0],
        periodic=points.periodic,
    )


@dataclass(frozen=True, eq=False)
class _Points:
    """Atoms wrapped into their cells, and images near them.

    The images of one structure follow each other, and so do structures.
    """

    position: Tensor  # [g, 3] Å
    atom: Tensor  # [g] the atom, or whose image it is
    real_atom: Tensor  # [g] the atom if it is one and not an image, else -1
    shift: Tensor  # [g, 3] whole lattice vectors
    wrapped: Tensor  # [n, 3] Å, atoms
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
    # Fractional coordinates along the periodic vectors only: the pseudo-inverse
    # gives zero along the others, and 1 / |column| is the height of the cell.
    # It gives that zero up to rounding, which `floor` would not forgive.
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
    many = ((high[index] - fraction).floor() - first + 1).to(torch.int64)
    parts = []
    for atom, offset in _iter_expanded_runs(many.prod(-1)):
        ny, nz = many[atom, 1], many[atom, 2]
        step = torch.stack((offset // (ny * nz), offset // nz % ny, offset % nz), -1)
        parts.append((atom, first[atom] + step))
    atom = torch.cat([a for a, _ in parts])
    shift = torch.cat([s for _, s in parts])
    place = wrapped[atom] + (shift.unsqueeze(-2) @ cell[index[atom]]).squeeze(-2)
    real = torch.where((shift == 0).all(-1), atom, -1)
    return _Points(place, atom, real, shift, wrapped, wrap, True)


def _candidate_runs(
    points: _Points, index: Tensor, b: int, cutoff: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what each atom has to look at.

    Returns:
        order `[g]`: the points, sorted so that runs are contiguous; and for each run
        its atom `[r]`, its start in `order` `[r]`, and its length `[r]`.
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

    def bin_of(place: Tensor, structure: Tensor) -> Tensor:
        step = ((place - low[structure]) / edge[structure]).floor().to(torch.int64)
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
        size: `[r]` int64, the length of each run.
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
    """Return the least and the largest of `values` `[n, 3]` by structure, `[b, 3]`."""
    where = index.unsqueeze(-1).expand_as(values)
    zero = values.new_zeros(b, 3)
    low = zero.scatter_reduce(0, where, values, "amin", include_self=False)
    high = zero.scatter_reduce(0, where, values, "amax", include_self=False)
    return low, high


def _is_counted_end(points: _Points, i: Tensor, g: Tensor) -> Tensor:
    """Return, of the two ends a pair is seen from, whether this one counts, `[p]`."""
    j = points.atom[g]
    x, y, z = points.shift[g].unbind(-1)
    up = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    return (j > i) | ((j == i) & up)
