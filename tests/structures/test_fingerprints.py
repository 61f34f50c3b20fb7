import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, make_supercell, molecule
from ase.calculators.lj import LennardJones
from ase.optimize import BFGS

from bostruct.errors import InputError
from bostruct.structures import from_ase, is_same_structure, structure_fingerprint


def shuffled(atoms, seed=0):
    """The same structure, turned, mirrored, shifted, renumbered."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = atoms[rng.permutation(len(atoms))]
    found.positions = found.positions @ turn + rng.normal(size=3)
    found.cell = np.asarray(found.cell) @ turn
    if found.pbc.any():
        found.wrap()
    return found


IMAGES = [
    molecule("C2H6"),
    molecule("CH3CH2OH"),
    bulk("NaCl", "rocksalt", 5.6, cubic=True),
    bulk("Cu") * (2, 2, 1),
    Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.7]], cell=[2, 3, 0], pbc=[1, 1, 0]),
]


def test_ignores_how_a_structure_is_written():
    for seed in range(3):
        one, two = from_ase(IMAGES), from_ase([shuffled(x, seed) for x in IMAGES])
        assert is_same_structure(one, two).all()
        assert is_same_structure(one, two, tolerance=1e-6).all()


def test_ignores_the_choice_of_the_cell():
    cubic = bulk("Cu", cubic=True)
    skewed = make_supercell(cubic, [[1, 0, 0], [3, 1, 0], [-2, 1, 1]])
    assert is_same_structure(from_ase(cubic), from_ase(skewed)).all()


def test_sees_differences():
    moved = [x.copy() for x in IMAGES]
    for atoms in moved:
        atoms.positions[0] += [0.3, 0.2, 0.1]
    assert not is_same_structure(from_ase(IMAGES), from_ase(moved)).any()


def test_sees_exchanged_species():
    one = Atoms("CuAuCuAu", positions=[[0, 0, 0], [2, 0, 0], [4, 0, 0], [6, 0, 0]])
    two = Atoms("AuCuCuAu", positions=one.positions)
    assert not is_same_structure(from_ase(one), from_ase(two)).any()
    one.cell = two.cell = [8, 4, 4]
    one.pbc = two.pbc = True
    assert not is_same_structure(from_ase(one), from_ase(two)).any()


def test_small_movements_do_not_matter():
    """The fingerprint changes by at most twice the largest movement."""
    rng = np.random.default_rng(0)
    for atoms in IMAGES:
        moved = atoms.copy()
        step = rng.uniform(-1, 1, size=(len(atoms), 3)) * 0.02
        moved.positions += step
        change = structure_fingerprint(from_ase(atoms)) - structure_fingerprint(from_ase(moved))
        assert change.abs().max() <= 2 * np.linalg.norm(step, axis=1).max() + 1e-12


def test_tells_minima_apart():
    """Of relaxed LJ7, those of one energy are the same, and no others."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(10):
        atoms = Atoms("Ar7", positions=rng.normal(size=(7, 3)))
        atoms.calc = LennardJones(sigma=1, epsilon=1, rc=100, smooth=False)
        BFGS(atoms, logfile=None, maxstep=0.2).run(fmax=1e-3, steps=500)
        images.append(atoms)
    energy = np.array([atoms.get_potential_energy() for atoms in images])
    i, j = np.triu_indices(len(images), 1)
    batch = from_ase(images)
    found = is_same_structure(batch[torch.tensor(i)], batch[torch.tensor(j)], 0.05).numpy()
    equal = abs(energy[i] - energy[j]) < 1e-4
    assert found.any()
    assert np.array_equal(found, equal)


def test_other_formulas_and_boundaries_are_others():
    one = from_ase([molecule("H2O"), Atoms("Cu"), molecule("CO")])
    solid = Atoms("Cu", cell=[3, 3, 3], pbc=True)
    two = from_ase([molecule("CH4"), solid, molecule("CO")])
    assert is_same_structure(one, two).tolist() == [False, False, True]


def test_fingerprints_of_nothing():
    assert len(structure_fingerprint(from_ase(molecule("H2"))[[]])) == 0


def test_refuses():
    water, solid = molecule("H2O"), bulk("Cu")
    with pytest.raises(InputError, match="all have one formula, got CO, H2O"):
        structure_fingerprint(from_ase([water, molecule("CO")]))
    with pytest.raises(InputError, match="all be periodic, or none"):
        structure_fingerprint(from_ase([solid, Atoms("Cu")]))
    with pytest.raises(InputError, match=r"as the other batch \(1\), got 2"):
        is_same_structure(from_ase(water), from_ase([water, water]))
    with pytest.raises(InputError, match="`tolerance` must be positive"):
        is_same_structure(from_ase(water), from_ase(water), tolerance=0)
