"""Small labelled crystals, and the space of their atoms and cells."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from ase import Atoms
from ase.calculators.emt import EMT
from ase.data import atomic_numbers
from ase.neighborlist import neighbor_list

from bostruct.structures import Structures, covalent_radii, from_ase
from bostruct.structures.strain import VOIGT, strain_derivative

FLAT = np.array([[1.0, 0, 0], [0.3, 1.0, 0], [0.2, 0.4, 0.35]])
"""Flat and oblique."""


def strained(structures, strain):
    """Return structures under a strain `[3, 3]`, at fixed fractional coordinates."""
    change = torch.eye(3, dtype=structures.dtype) + strain
    return replace(
        structures, positions=structures.positions @ change, cell=structures.cell @ change
    )


def by_strain(function, structures, step=1e-4):
    """Return central differences `[..., 6]` of a function of structures by the strain."""
    slopes = []
    for i, j in VOIGT:
        e = torch.zeros(3, 3, dtype=torch.float64)
        e[i, j] += step / 2
        e[j, i] += step / 2
        ends = [function(strained(structures, sign * e)) for sign in (1, -1)]
        slopes.append((ends[0] - ends[1]) / (2 * step))
    return torch.stack(slopes, -1)


def crystals(symbols, n, seed=0, volume=13.0, shape=None, min_distance=1.9):
    """Return random crystals with EMT energies, forces and stresses."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < n:
        cell = np.eye(3) + 0.2 * rng.normal(size=(3, 3)) if shape is None else shape
        cell = cell * (len(symbols) * volume / abs(np.linalg.det(cell))) ** (1 / 3)
        cell = cell * rng.uniform(0.95, 1.1)
        atoms = Atoms(symbols, cell=cell, pbc=True)
        atoms.set_scaled_positions(rng.uniform(size=(len(atoms), 3)))
        if not len(neighbor_list("d", atoms, min_distance)):
            atoms.calc = EMT()
            atoms.get_stress()
            found.append(atoms)
    return from_ase(found)


KINDS = {
    "one atom": (["Cu"], None),
    "two species": (["Cu", "Au"], None),
    "flat cell": (["Cu", "Au"], FLAT),
    "four atoms": (["Cu", "Cu", "Au", "Cu"], None),
}
"""Symbols and shape of cells."""


def slopes_by_autograd(function, structures):
    """Return the strain derivative `[b, 6]` of sums `[b]` by autograd, and second derivatives."""
    positions = structures.positions.clone().requires_grad_()
    cell = structures.cell.clone().requires_grad_()
    value = function(replace(structures, positions=positions, cell=cell))
    both = torch.autograd.grad(value.sum(), (positions, cell), create_graph=True)
    first = strain_derivative(structures, both[0].detach(), both[1].detach())
    second = torch.autograd.grad(
        sum((g * torch.linspace(-1, 1, g.numel()).view_as(g)).sum() for g in both),
        (positions, cell),
    )
    return first, second


def assert_follows_cell(function, structures):
    """Compare first and second derivatives of sums `[b]` with central differences."""
    first, second = slopes_by_autograd(function, structures)
    expected = by_strain(lambda s: function(s).detach(), structures)
    size = float(expected.abs().max())
    assert size > 1e-3
    torch.testing.assert_close(first, expected, rtol=1e-6, atol=1e-7 * size)

    def contracted(structures):
        positions = structures.positions.clone().requires_grad_()
        cell = structures.cell.clone().requires_grad_()
        value = function(replace(structures, positions=positions, cell=cell))
        both = torch.autograd.grad(value.sum(), (positions, cell))
        return sum((g * torch.linspace(-1, 1, g.numel()).view_as(g)).sum() for g in both)

    # along one direction of positions and cells
    generator, step = torch.Generator().manual_seed(1), 1e-4
    moves = [torch.randn(x.shape, generator=generator).double() for x in second]
    ends = [
        contracted(
            replace(
                structures,
                positions=structures.positions + sign * step * moves[0],
                cell=structures.cell + sign * step * moves[1],
            )
        )
        for sign in (1, -1)
    ]
    secant = (ends[0] - ends[1]) / (2 * step)
    found = sum((x * y).sum() for x, y in zip(second, moves, strict=True))
    torch.testing.assert_close(found, secant, rtol=1e-4, atol=1e-5 * size)


@dataclass(frozen=True)
class VariableCell:
    """Fractional coordinates and the logarithm of the strain, in units of a length."""

    symbols: tuple[str, ...]
    volume: float = 13.0

    @cached_property
    def length(self):
        return (len(self.symbols) * self.volume) ** (1 / 3)

    @property
    def numbers(self):
        return torch.tensor([atomic_numbers[symbol] for symbol in self.symbols])

    @property
    def atomic_radii(self):
        return covalent_radii(self.numbers)

    @property
    def dimension(self):
        return 3 * len(self.symbols) + 6

    def sample(self, n, generator):
        X = torch.rand(n, self.dimension, generator=generator, dtype=torch.float64)
        X[:, -6:] = 0.15 * X[:, -6:] - 0.05
        return self.length * X

    def decode(self, X):
        x = X.reshape(-1, self.dimension) / self.length
        S = x.new_zeros(len(x), 3, 3)
        for k, (i, j) in enumerate(VOIGT):
            e = torch.zeros(3, 3, dtype=x.dtype)
            e[i, j] = e[j, i] = 1.0
            S = S + x[:, -6 + k].view(-1, 1, 1) * e
        cell = self.length * torch.linalg.matrix_exp(S)
        fraction, b = x[:, :-6].unflatten(-1, (-1, 3)), len(x)
        a = fraction.shape[1]
        return Structures(
            positions=(fraction @ cell).flatten(0, 1),
            numbers=self.numbers.repeat(b),
            cell=cell,
            pbc=torch.ones(b, 3, dtype=torch.bool),
            index=torch.arange(b).repeat_interleave(a),
            fixed=torch.zeros(a * b, dtype=torch.bool),
            tags=torch.zeros(a * b, dtype=torch.int64),
        )
