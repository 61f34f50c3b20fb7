"""Symmetrization: a crystal is given the operation of symmetry that it almost has.

An operation maps fractional coordinates f of atom i to W f + w, those of an atom p(i) of the same
species, with whole numbers W that leave the metric of the cell as it is. Of some random operations
that do so up to a strain, the one is taken that maps atoms best. The metric is averaged over all
powers of W, and atoms move by turns to

    f_p(i) <- (f_p(i) + W f_i + w) / 2,    w = mean over i of f_p(i) - W f_i

until both are equal. Programs such as spglib find operations of a small tolerance only; here each
crystal has a nearest one, and the symmetry grows with every move.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import final

import torch
from torch import Tensor

from bostruct.spaces.random_tensors import uniform

MAX_METRIC_CHANGE = 0.35
"""Largest change of the metric by an operation, relative to the squares of the lengths."""

N_OPERATIONS = 12
"""Number of operations that are drawn for each crystal."""

N_TRANSLATIONS = 8
"""Largest number of atoms that one of them is mapped onto, to find a translation."""

N_CHOICES = 6
"""Number of operations that map atoms best, of which the first is taken that is consistent."""

N_AVERAGES = 150
"""Number of times that atoms and their images are averaged."""

SYMMETRIC_TOLERANCE = 1e-4
"""Largest difference of fractional coordinates of an atom and its image in the end."""

UNLIKE_COST = 1e3
"""Cost of mapping atoms onto those of another species, in squares of the lattice vectors."""

METRIC_TOLERANCE = 1e-6
"""Largest change of the metric by an operation of a given lattice, relative to its trace."""

MAX_ORDER = 6
"""Largest order of an operation of a lattice."""


@cache
def lattice_operations() -> Tensor:
    """Return whole matrices of finite order with elements up to one, `[g, 3, 3]` float64.

    They are all that leave a reduced cell as it is, but for the identity.
    """
    every = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=9)), dtype=torch.float64)
    W = every.reshape(-1, 3, 3)
    W = W[(torch.linalg.det(W).abs() - 1).abs() < 0.5]
    eye = torch.eye(3, dtype=W.dtype)
    power, is_finite = W, torch.zeros(len(W), dtype=torch.bool)
    for _ in range(MAX_ORDER - 1):
        power = power @ W
        is_finite |= (power == eye).all(-1).all(-1)
    is_identity = (eye == W).all(-1).all(-1)
    return W[is_finite & ~is_identity]


@cache
def layer_operations() -> Tensor:
    """Return those of `lattice_operations` that keep the normal of a layer, or turn it around."""
    W = lattice_operations()
    is_mixed = W[:, 2, :2].any(-1) | W[:, :2, 2].any(-1)
    return W[~is_mixed]


def exact_operations(cell: Tensor, in_plane: bool = False) -> Tensor:
    """Return those of `lattice_operations` that leave a cell as it is, `[g, 3, 3]`.

    Args:
        cell: `[3, 3]` Å.
        in_plane: true for those of `layer_operations` alone.
    """
    W, metric = layer_operations() if in_plane else lattice_operations(), (cell @ cell.mT).double()
    change = (W.mT @ metric @ W - metric).abs().amax((1, 2))
    return W[change < METRIC_TOLERANCE * metric.trace()]


@final
@dataclass(frozen=True, eq=False)
class NearSymmetry:
    """Operation that n crystals almost have.

    Attributes:
        W: `[n, 3, 3]` whole numbers, acting on columns of fractional coordinates.
        target: `[n, a]` int64, the atom that each atom is mapped onto.
        offset: `[n, a, 3]` whole numbers of lattice vectors from it to the image.
    """

    W: Tensor
    target: Tensor
    offset: Tensor

    def images(self, F: Tensor) -> Tensor:
        """Return the image of each atom, `[n, a, 3]`, beside the atom it is mapped onto."""
        image = F @ self.W.mT - self.offset
        return image + (self.targets(F) - image).mean(-2, keepdim=True)

    def is_cyclic(self) -> Tensor:
        """Return whether atoms come back to themselves, `[n]` bool, as W does to the identity."""
        start, eye = torch.arange(self.target.shape[1]), torch.eye(3, dtype=self.W.dtype)
        power, target = self.W, self.target
        comes_back = torch.ones(len(target), dtype=torch.bool)
        for _ in range(MAX_ORDER):
            is_identity = (power == eye).all(-1).all(-1)
            comes_back &= ~is_identity | (target == start).all(-1)
            power, target = power @ self.W, self.target.gather(1, target)
        return comes_back

    def targets(self, F: Tensor) -> Tensor:
        """Return the coordinates of the atom that each atom is mapped onto, `[n, a, 3]`."""
        return F.gather(1, self.target.unsqueeze(-1).expand_as(F))


def symmetrize(
    F: Tensor,
    H: Tensor,
    numbers: Tensor,
    generator: torch.Generator,
    operations: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return crystals with an operation of symmetry more, those without a near one as they are.

    Args:
        F: `[n, a, 3]` fractional coordinates.
        H: `[n, 3, 3]` Å, reduced cells.
        numbers: `[a]` atomic numbers.
        generator: random number generator.
        operations: `[g, 3, 3]` whole matrices that may leave the lattices as they are, the
            inversion among them; all by default.

    Returns:
        fractional coordinates, and cells up to rotation.
    """
    if not len(F):
        return F, H
    n = len(F)
    f, metric = F.cpu().double(), (H @ H.mT).cpu().double()
    u = uniform((n, N_OPERATIONS + N_TRANSLATIONS), generator).cpu()
    every = lattice_operations() if operations is None else operations
    rows = [_near_symmetries(*row, numbers.cpu(), every) for row in zip(f, metric, u, strict=True)]
    symmetry = NearSymmetry(*(torch.cat(parts) for parts in zip(*rows, strict=True)))
    averaged = f.repeat_interleave(N_CHOICES, 0)  # [n choices, a, 3]
    for _ in range(N_AVERAGES):
        mean = (symmetry.targets(averaged) + symmetry.images(averaged)) / 2
        index = symmetry.target.unsqueeze(-1).expand_as(mean)
        averaged = torch.empty_like(mean).scatter_(1, index, mean)
    left = (symmetry.targets(averaged) - symmetry.images(averaged)).abs().amax((1, 2))
    # translations along an axis may contradict each other, and drift
    converged = (left < SYMMETRIC_TOLERANCE) & symmetry.is_cyclic()
    converged = converged.reshape(n, N_CHOICES)
    best = torch.arange(n) * N_CHOICES + converged.int().argmax(-1)
    is_symmetric = converged.any(-1).reshape(-1, 1, 1).to(F.device)
    chosen = zip(metric, symmetry.W[best], strict=True)
    cells = torch.stack([_averaged_cell(*row) for row in chosen])
    return (
        torch.where(is_symmetric, averaged[best].to(F), F),
        torch.where(is_symmetric, cells.to(H), H),
    )


def _near_symmetries(
    F: Tensor, metric: Tensor, u: Tensor, numbers: Tensor, every: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the operations that map one crystal best, of some drawn by uniform numbers u.

    The rarest species has few translations to try: its first atom is mapped onto each of them.

    Args:
        F: `[a, 3]` fractional coordinates.
        metric: `[3, 3]` Å², the metric of the cell.
        u: uniform random numbers, one for each operation and translation.
        numbers: `[a]` atomic numbers.
        every: `[g, 3, 3]` operations to draw from.

    Returns:
        `N_CHOICES` operations, best first, and their mappings of atoms, see `NearSymmetry`.
    """
    from scipy.optimize import linear_sum_assignment

    lengths = metric.diagonal().sqrt()
    change = (every.mT @ metric @ every - metric).abs() / (lengths.unsqueeze(1) * lengths)
    near = every[change.amax((1, 2)) < MAX_METRIC_CHANGE]
    u, v = u[:N_OPERATIONS], u[N_OPERATIONS:]
    W = near[(u * len(near)).long()]  # never empty: the inversion leaves all metrics as they are
    species, counts = numbers.unique(return_counts=True)
    rarest = (numbers == species[counts.argmin()]).nonzero().squeeze(-1)
    turned = F @ W.mT  # [g, a, 3]
    first, some = rarest[:1], rarest
    if len(rarest) > N_TRANSLATIONS:
        some = rarest[(v * len(rarest)).long()]
    w = F[some] - turned[:, first]  # [g, t, 3]
    difference = (turned.unsqueeze(1) + w.unsqueeze(2)).unsqueeze(3) - F  # [g, t, a, a, 3]
    offset = difference.round()
    difference = difference - offset
    square = ((difference @ metric) * difference).sum(-1)
    square = square.masked_fill(numbers.unsqueeze(1) != numbers, torch.inf)
    misfit, shifts = square.amin(-1).mean(-1).min(-1)  # [g]
    rows, worst = torch.arange(len(F)), UNLIKE_COST * float(metric.trace())
    targets, offsets = [], []
    operations = misfit.argsort(stable=True)[:N_CHOICES]
    for k in operations.tolist():
        cost = square[k, shifts[k]].clamp(max=worst)
        targets.append(torch.as_tensor(linear_sum_assignment(cost)[1]))  # no two atoms onto one
        offsets.append(offset[k, shifts[k], rows, targets[-1]])
    return W[operations], torch.stack(targets), torch.stack(offsets)


def _averaged_cell(metric: Tensor, W: Tensor) -> Tensor:
    """Return the cell `[3, 3]` Å, up to rotation, of a metric averaged over powers of W."""
    power, total = W, metric
    while not torch.equal(power, torch.eye(3, dtype=W.dtype)):
        total = total + power.T @ metric @ power
        power = power @ W
    mean = total * (torch.linalg.det(metric) / torch.linalg.det(total)).pow(1 / 3)
    values, vectors = torch.linalg.eigh(mean)
    cell: Tensor = (vectors * values.sqrt()) @ vectors.T
    return cell
