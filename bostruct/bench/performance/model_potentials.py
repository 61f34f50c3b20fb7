"""Batched, differentiable model potentials: Lennard-Jones and Gupta.

Some hundred thousand structures a minute, to benchmark a search without a surrogate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import final

import torch
from torch import Tensor

from bostruct.bench.single_objective.interatomic_potentials import GUPTA_PARAMETERS
from bostruct.bench.single_objective.named_tasks import ni4_in_au100, pt8_on_au100
from bostruct.spaces import Cluster, Space
from bostruct.structures import SYMBOLS

MIN_DISTANCE = 0.5
"""Distance below which the Lennard-Jones energy is constant, in units of σ."""

CUTOFF, CUTOFF_WIDTH = 6.0, 0.2
"""Cutoff of pairs on a surface and width of its switching function, Å."""

SQRT_FLOOR = 1e-12
"""Offset that keeps the gradient of the square root finite for an isolated atom, eV²."""


EnergyFunction = Callable[[Tensor], Tensor]
"""Differentiable function from X `[n, d]` to energies `[n]`, eV."""


@final
@dataclass(frozen=True, eq=False)
class Landscape:
    """Search space with a model potential.

    Args:
        make_space: Function that makes the space; called once.
        make_energy: Function from the space to its energy function.
    """

    make_space: Callable[[], Space]
    make_energy: Callable[[Space], EnergyFunction]

    @cached_property
    def space(self) -> Space:
        """Search space, made when it is first needed."""
        return self.make_space()

    @cached_property
    def energy(self) -> EnergyFunction:
        """Energy function, made when it is first needed."""
        return self.make_energy(self.space)


@final
class LennardJones:
    """Lennard-Jones energy of free atoms, in units of σ and ε."""

    def __init__(self, space: Space) -> None:
        a = len(space.numbers)
        self._i, self._j = torch.triu_indices(a, a, 1)

    def __call__(self, X: Tensor) -> Tensor:
        """Return the energy of each structure, ε."""
        P = X.reshape(len(X), -1, 3)
        square = (P[:, self._i] - P[:, self._j]).square().sum(-1)
        sixth = square.clamp(min=MIN_DISTANCE**2) ** -3
        energy: Tensor = 4 * (sixth.square() - sixth).sum(-1)
        return energy


@final
class Gupta:
    """Gupta energy of metal atoms, free or on a surface (second-moment approximation).

    E = sum_i [ sum_j A e^(-p s) - (sum_j ξ² e^(-2 q s))^½ ],  s = r_ij / r0 - 1; for unlike atoms A
    and ξ are geometric means, the others arithmetic ones. Energies of a surface are relative to
    that of its fixed atoms alone.
    """

    def __init__(self, space: Space) -> None:
        template = space.decode(space.sample(1, torch.Generator().manual_seed(0)))
        parameters = torch.tensor([GUPTA_PARAMETERS[SYMBOLS[k]] for k in space.numbers.tolist()])
        parameters = parameters.to(torch.float64)
        first, second = parameters.unsqueeze(1), parameters.unsqueeze(0)
        mean, product = (first + second) / 2, (first * second).sqrt()
        pairs = torch.cat((product[..., :2], mean[..., 2:]), -1).unsqueeze(-2)
        self._A, self._xi, self._p, self._q, self._r0 = pairs.unbind(-1)  # [a, a, 1]
        self._space = space
        self._free_atoms = (~template.fixed).nonzero().squeeze(-1)
        self._fixed_atoms = template.fixed.nonzero().squeeze(-1)
        self._cell, self._pbc = template.cell[0], template.pbc[0]
        steps = [torch.arange(-1, 2) if k else torch.arange(1) for k in self._pbc]
        self._image_shifts = torch.cartesian_prod(*steps).to(self._cell) @ self._cell  # [s, 3]
        self._periodic = bool(self._pbc.any())
        P = template.positions[self._fixed_atoms]
        _, density = self._repulsion_and_hopping(
            P.unsqueeze(0), P.unsqueeze(0), self._fixed_atoms, self._fixed_atoms
        )
        self._fixed_density = density.sum(-1)  # [1, a - f]

    def __call__(self, X: Tensor) -> Tensor:
        """Return the energy of each structure, eV."""
        P = self._space.decode(X).positions.reshape(len(X), -1, 3)
        f, g = self._free_atoms, self._fixed_atoms
        repulsion, density = self._repulsion_and_hopping(P[:, f], P, f, torch.arange(P.shape[1]))
        # Pairs of a free and a fixed atom count twice, once for each of the two.
        repulsive = repulsion[..., f].sum((-1, -2)) + 2 * repulsion[..., g].sum((-1, -2))
        fixed_density = self._fixed_density + density[..., g].sum(-2)
        bonding = (density.sum(-1) + SQRT_FLOOR).sqrt().sum(-1)
        bonding = bonding + (
            (fixed_density + SQRT_FLOOR).sqrt() - (self._fixed_density + SQRT_FLOOR).sqrt()
        ).sum(-1)
        return repulsive - bonding

    def _repulsion_and_hopping(
        self, A: Tensor, B: Tensor, atoms_a: Tensor, atoms_b: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return repulsion and squared hopping integral of atoms A with atoms B, `[n, i, j]`."""
        vector = A.unsqueeze(2) - B.unsqueeze(1)
        if self._periodic:
            images = (vector @ torch.linalg.inv(self._cell)).round() * self._pbc
            vector = vector - images @ self._cell
        square = (vector.unsqueeze(-2) + self._image_shifts).square().sum(-1)  # [n, i, j, s]
        same_atom = (atoms_a.unsqueeze(1) == atoms_b).unsqueeze(-1)
        same_atom = same_atom & (self._image_shifts == 0).all(-1)
        distance = square.masked_fill(same_atom, 1e6).sqrt()
        pair = (atoms_a.unsqueeze(1), atoms_b)
        stretch = distance / self._r0[pair] - 1
        repulsion = self._A[pair] * (-self._p[pair] * stretch).exp()
        density = self._xi[pair] ** 2 * (-2 * self._q[pair] * stretch).exp()
        if self._periodic:
            switch = torch.sigmoid((CUTOFF - distance) / CUTOFF_WIDTH)
            repulsion, density = repulsion * switch, density * switch
        return repulsion.sum(-1), density.sum(-1)


def _lennard_jones_landscape(n: int) -> Landscape:
    return Landscape(partial(Cluster, f"Ar{n}", atomic_radii={"Ar": 0.56}), LennardJones)


def _gupta_landscape(formula: str) -> Landscape:
    return Landscape(partial(Cluster, formula), Gupta)


LANDSCAPES: Mapping[str, Landscape] = {
    "lj19": _lennard_jones_landscape(19),
    "lj26": _lennard_jones_landscape(26),
    "lj38": _lennard_jones_landscape(38),
    "au20": _gupta_landscape("Au20"),
    "cu30": _gupta_landscape("Cu30"),
    "au5cu10": _gupta_landscape("Au5Cu10"),
    "au8cu8": _gupta_landscape("Au8Cu8"),
    "au13cu12": _gupta_landscape("Au13Cu12"),
    "pt8_au100": Landscape(pt8_on_au100, Gupta),
    "ni4_in_au100": Landscape(ni4_in_au100, Gupta),
}
"""Landscapes by name: Lennard-Jones clusters, and metals with the Gupta potential."""
