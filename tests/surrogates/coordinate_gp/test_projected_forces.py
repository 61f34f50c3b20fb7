"""Forces projected on coordinates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from ase import Atoms
from ase.calculators.emt import EMT
from numpy.typing import NDArray
from torch import Tensor

from bostruct.spaces import Coordinates
from bostruct.structures import Structures, from_ase, to_ase
from bostruct.surrogates.coordinate_gp.projected_forces import energy_gradients
from bostruct.testing import seeded_generator


def crystal(x: NDArray[np.float64]) -> Atoms:
    """Return a copper crystal whose cell varies."""
    cell = np.array([[x[0], x[0], 0], [x[0], 0, x[0]], [0, x[0], x[1]]])
    return Atoms("Cu", [(0, 0, 0)], cell=cell, pbc=True)


def trimer(x: NDArray[np.float64]) -> Atoms:
    """Return three copper atoms, one of which moves."""
    return Atoms("Cu3", [(0, 0, 0), (2.3, 0, 0), (x[0], x[1], 0.3)])


CRYSTALS = Coordinates(crystal, {"a": (1.6, 2.1), "c": (1.6, 2.1)})
TRIMERS = Coordinates(trimer, {"x": (0.5, 2.0), "y": (1.5, 3.0)})


def evaluated(space: Coordinates, X: Tensor) -> Structures:
    images = to_ase(space.decode(X))
    for atoms in images:
        atoms.calc = EMT()
        atoms.get_forces()
        if atoms.pbc.all():
            atoms.get_stress()
    return from_ase(images)


def test_gradients_are_differences_of_energies() -> None:
    """With forces alone, and with stresses where the cell varies."""
    X = torch.tensor([[1.7, 1.9], [1.9, 1.8]], dtype=torch.float64)
    for space in (TRIMERS, CRYSTALS):
        gradient = energy_gradients(space, X, evaluated(space, X))
        for k in range(2):
            step = torch.zeros(2, dtype=torch.float64).index_fill(0, torch.tensor([k]), 1e-4)
            ends = [evaluated(space, X + sign * step).energy for sign in (1, -1)]
            secant = (ends[0] - ends[1]) / 2e-4
            torch.testing.assert_close(gradient[:, k], secant, rtol=1e-4, atol=1e-4)


def test_each_structure_has_the_gradient_it_has_among_others() -> None:
    """The work of the stress counts for a single crystal, and for crystals of equal cells."""
    X = torch.tensor([[1.7, 1.9], [1.9, 1.8], [1.9, 1.8]], dtype=torch.float64)
    data = evaluated(CRYSTALS, X)
    together = energy_gradients(CRYSTALS, X, data)
    assert together.abs().min() > 0.01
    torch.testing.assert_close(energy_gradients(CRYSTALS, X[1:], data[[1, 2]]), together[1:])
    torch.testing.assert_close(energy_gradients(CRYSTALS, X[:1], data[0]), together[:1])
    assert energy_gradients(CRYSTALS, X[:1], replace(data[0], stress=None)).isnan().all()


def test_unknown_forces_and_stresses_give_no_gradient() -> None:
    """NaN where a term is not known; fixed atoms need no force."""
    X = torch.tensor([[1.7, 1.9], [1.9, 1.8]], dtype=torch.float64)
    crystals, trimers = evaluated(CRYSTALS, X), evaluated(TRIMERS, X)
    assert energy_gradients(CRYSTALS, X, replace(crystals, stress=None)).isnan().all()
    assert energy_gradients(TRIMERS, X, replace(trimers, forces=None)).isnan().all()
    forces = trimers.forces.clone()
    forces[0] = torch.nan
    one = energy_gradients(TRIMERS, X, replace(trimers, forces=forces))
    assert one.isnan().all(-1).tolist() == [True, False]
    fixed = torch.tensor([True, False, False, False, False, False])
    known = energy_gradients(TRIMERS, X, replace(trimers, forces=forces, fixed=fixed))
    torch.testing.assert_close(known, energy_gradients(TRIMERS, X, trimers))


def test_forces_of_rotated_structures_are_rotated_back() -> None:
    """An isolated structure may be turned as a whole."""
    X = torch.tensor([[1.7, 1.9], [1.9, 1.8]], dtype=torch.float64)
    data = evaluated(TRIMERS, X)
    R = torch.linalg.qr(torch.randn(3, 3, generator=seeded_generator(1), dtype=torch.float64)).Q
    R = R * torch.linalg.det(R).sign()
    turned = replace(data, positions=data.positions @ R.T + 1.0, forces=data.forces @ R.T)
    torch.testing.assert_close(
        energy_gradients(TRIMERS, X, turned), energy_gradients(TRIMERS, X, data)
    )
