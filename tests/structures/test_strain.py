from dataclasses import replace

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, graphene
from ase.calculators.emt import EMT

from bostruct.structures import from_ase
from bostruct.structures.strain import (
    VOIGT,
    from_voigt,
    has_stress,
    strain_derivative,
    strained_components,
    to_voigt,
    volumes,
)


def test_components_are_those_of_ase():
    from ase.stress import full_3x3_to_voigt_6_stress

    matrix = np.random.default_rng(0).normal(size=(4, 3, 3))
    found = to_voigt(torch.from_numpy(matrix)).numpy()
    for one, six in zip(matrix, found, strict=True):
        np.testing.assert_allclose(six, full_3x3_to_voigt_6_stress(one + one.T) / 2)
    assert VOIGT[3] == (1, 2)


def test_derivative_of_what_is_known():
    """Volume: dV / de is V times the unit matrix. A scaled image of one atom: r . s as a metric."""
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)
    atoms.set_cell(atoms.cell @ [[1, 0.02, 0], [0, 1.03, 0.01], [0.04, 0, 0.99]], scale_atoms=True)
    s = from_ase([atoms, bulk("Cu")])
    cell = s.cell.clone().requires_grad_()
    (by_cell,) = torch.autograd.grad(torch.linalg.det(cell).sum(), cell)
    found = strain_derivative(s, torch.zeros_like(s.positions), by_cell)
    unit = torch.tensor([1.0, 1, 1, 0, 0, 0], dtype=torch.float64)
    expected = torch.linalg.det(s.cell).unsqueeze(-1) * unit
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    squares = strain_derivative(s, s.positions, torch.zeros_like(s.cell))  # of |r|² / 2
    outer = s.positions.unsqueeze(-1) * s.positions.unsqueeze(-2)
    expected = to_voigt(torch.zeros(2, 3, 3).double().index_add(0, s.index, outer))
    torch.testing.assert_close(squares, expected)


def test_volumes_and_which_structures_have_a_stress():
    crystal, slab, held, isolated, wire = (bulk("Cu", cubic=True) for _ in range(5))
    slab.pbc = (True, True, False)
    isolated.pbc = False
    wire.pbc, wire.cell[1] = (True, False, False), 0
    s = from_ase([crystal, slab, held, isolated, wire])
    fixed = s.fixed.clone()
    fixed[8] = True
    s = replace(s, fixed=fixed)
    assert has_stress(s).tolist() == [True, True, False, False, False]
    volume = crystal.get_volume()
    torch.testing.assert_close(volumes(s), volume * torch.tensor([1.0, 1, 1, 1, 0]).double())


def test_stress_is_the_derivative_over_the_volume():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)
    atoms.calc = EMT()
    s = from_ase([atoms])
    step, virial = 1e-5, []
    for i, j in VOIGT:
        ends = []
        for sign in (1, -1):
            e = np.zeros((3, 3))
            e[i, j] += sign * step / 2
            e[j, i] += sign * step / 2
            moved = atoms.copy()
            moved.set_cell(atoms.cell @ (np.eye(3) + e), scale_atoms=True)
            moved.calc = EMT()
            ends.append(moved.get_potential_energy())
        virial.append((ends[0] - ends[1]) / (2 * step))
    found = torch.tensor(virial).double() / volumes(s)
    assert np.abs(found.numpy() - atoms.get_stress()).max() < 1e-7


def test_matrices_and_components_are_those_of_each_other():
    s = torch.arange(12.0).double().view(2, 6)
    matrix = from_voigt(s)
    assert matrix[0].tolist() == [[0, 5, 4], [5, 1, 3], [4, 3, 2]]
    assert torch.equal(to_voigt(matrix), s)


def test_components_along_what_repeats():
    every = strained_components(from_ase([bulk("Cu")]))
    assert every.tolist() == [[True] * 6]
    layer = graphene(vacuum=5.0)
    assert strained_components(from_ase([layer])).tolist() == [[True, True, *[False] * 3, True]]
    upright = Atoms("C", cell=[3, 3, 3], pbc=(True, False, True))
    assert strained_components(from_ase([upright])).tolist() == [
        [True, False, True, False, True, False]
    ]
    layer.rotate(30, "x", rotate_cell=True)  # the plane holds one axis only
    assert strained_components(from_ase([layer])).tolist() == [[True, *[False] * 5]]
    none = Atoms("C2", [[0, 0, 0], [0, 0, 1]])
    assert not bool(strained_components(from_ase([none])).any())
