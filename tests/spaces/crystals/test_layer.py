"""Layers: one of them has many descriptions, and none of their images matters."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import graphene, mx2
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from bostruct.campaign import Campaign
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.report.export import images_to_export
from bostruct.campaign.stop import Evaluations
from bostruct.candidates import BasinHopping
from bostruct.errors import InputError
from bostruct.evaluators import Calculator
from bostruct.spaces import Crystal
from bostruct.spaces.crystals.layer import oriented_layer
from bostruct.structures import from_ase, to_ase
from bostruct.testing import seeded_generator

LAYER = (True, True, False)


def gold():
    """Return a buckled layer of gold and copper."""
    cell = [[4.6, 0, 0], [0.7, 4.9, 0], [0, 0, 0]]
    positions = [[0, 0, 0], [2.4, 2.3, 0.7], [0.2, 2.4, 1.1], [2.5, 0.1, -0.3]]
    return Atoms("Au2Cu2", positions, cell=cell, pbc=LAYER)


def turned(atoms, seed):
    """Return atoms under a random rotation, or rotation and reflection."""
    Q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return Atoms(atoms.symbols, atoms.positions @ Q, cell=atoms.cell @ Q, pbc=atoms.pbc)


def equivalents(atoms):
    yield turned(atoms, 1)
    yield turned(atoms, 2)
    sheared = atoms.copy()
    sheared.cell[1] -= 2 * sheared.cell[0]
    yield sheared
    exchanged = atoms.copy()
    exchanged.cell[:] = exchanged.cell[[1, 0, 2]]
    yield exchanged
    cyclic = atoms.copy()
    cyclic.set_cell(atoms.cell[[2, 0, 1]])
    cyclic.pbc = (False, True, True)
    yield turned(cyclic, 3)
    shifted = atoms.copy()
    shifted.positions += [1.3, -7.0, 5.0]
    shifted.wrap(pbc=LAYER)
    yield shifted[[2, 0, 3, 1]]
    upside_down = atoms.copy()
    upside_down.positions[:, 2] *= -1
    yield upside_down
    yield turned(sheared, 5)
    leaning = atoms.copy()  # the third vector of a layer is anything
    leaning.cell[2] = [3.0, 1.0, 9.0]
    yield leaning


def energy(atoms):
    atoms.calc = EMT()
    return atoms.get_potential_energy()


def test_every_description_of_a_layer_is_the_same():
    space = Crystal("Au2Cu2", periodic=LAYER, area=5.5)
    x = space.encode(from_ase([gold()]))
    expected = energy(gold())
    assert bool(space.contains(x).all())
    for other in equivalents(gold()):
        y = space.encode(from_ase([other]))
        assert bool(space.is_duplicate(x, y, 0.01).all())
        assert energy(to_ase(space.decode(y))[0]) == pytest.approx(expected, abs=1e-9)


def test_vacuum_is_no_part_of_a_layer():
    """Another vacuum gives the same energies, neighbors and samples of atoms."""
    arguments = {"periodic": LAYER, "area": 5.5, "thickness": 2.5}
    near, far = (Crystal("Au2Cu2", vacuum=v, **arguments) for v in (10.0, 30.0))
    layers = from_ase([gold()])
    fingerprints = [space.fingerprint(space.encode(layers)) for space in (near, far)]
    torch.testing.assert_close(*fingerprints)
    X = far.sample(5, seeded_generator(0))
    for atoms in to_ase(far.decode(X)):
        y = near.encode(from_ase([atoms]))
        again = to_ase(near.decode(y))[0]
        assert again.cell[2, 2] == pytest.approx(12.5)
        assert energy(again) == pytest.approx(energy(atoms), abs=1e-9)


def test_forces_and_stress_turn_with_a_layer():
    atoms = gold()
    atoms.cell[2] = [0, 0, 10]
    other = turned(atoms, 4)
    other.calc = EMT()
    results = {"energy": other.get_potential_energy(), "forces": other.get_forces()}
    results["stress"] = other.get_stress()
    other.calc = SinglePointCalculator(other, **results)
    found = oriented_layer(from_ase([other]), 20.0)
    again = to_ase(found)[0]
    again.calc = EMT()
    np.testing.assert_allclose(found.forces, again.get_forces(), atol=1e-9)
    np.testing.assert_allclose(found.stress[0], again.get_stress(), atol=1e-12)


@pytest.mark.parametrize("symbol", ["Cu", "C", "Ar"])
def test_one_atom_makes_a_flat_layer_by_default(symbol):
    """The area of a sphere of its volume in a square, hexagonal ones are within the range."""
    space = Crystal(symbol, periodic=LAYER)
    assert space.freedom.edge**2 == pytest.approx(space.volume ** (2 / 3))
    assert space.contains(space.sample(2, torch.Generator().manual_seed(0))).all()


def test_known_layers_are_within_the_default_bounds():
    for formula, atoms in (("C2", graphene()), ("MoS2", mx2("MoS2")), ("WSe2", mx2("WSe2"))):
        atoms.pbc = LAYER
        space = Crystal(formula, periodic=LAYER)
        assert bool(space.contains(space.encode(from_ase([atoms]))).all())


def test_too_thick_layers_are_not_contained_and_are_flattened():
    space = Crystal("Au2Cu2", periodic=LAYER, area=5.5, thickness=1.0)
    x = space.encode(from_ase([gold()]))
    assert not bool(space.contains(x))
    z = space.decode(space.project(x)).positions[:, 2]
    assert float(z.max() - z.min()) == pytest.approx(1.0)
    (bound,) = [b for b in space.active_bounds(x[0]) if b.argument == "thickness"]
    assert bound.atoms.tolist() == [2, 3]
    assert bound.outward[:, 2].tolist() == [1.0, -1.0]


GIVEN = {
    "of its own": gold().cell[:],
    "as a layer of atoms": gold(),
    "turned": turned(gold(), 3).cell[:],
    "left-handed": gold().cell[:][[1, 0, 2]],
    "sheared": gold().cell[:] + np.outer([0, 1, 0], gold().cell[0]),
}


@pytest.mark.parametrize("name", GIVEN)
def test_layers_keep_a_given_cell(name):
    """However they are given and drawn, and whatever moves them."""
    space = Crystal("Au2Cu2", periodic=LAYER, cell=GIVEN[name], thickness=2.0)
    area = np.linalg.norm(np.cross(*gold().cell[:2]))
    assert space.n_cell_coordinates == 0
    x = space.encode(from_ase([gold()]))
    for other in equivalents(gold()):
        y = space.encode(from_ase([other]))
        assert bool(space.contains(y).all())
        assert bool(space.is_duplicate(x, y, 0.01).all())
        assert energy(to_ase(space.decode(y))[0]) == pytest.approx(energy(gold()), abs=1e-9)
    X = space.generators()["symmetric"](6, seeded_generator(0))
    for move in space.moves().values():
        for atoms in to_ase(space.decode(move(X, seeded_generator(1)))):
            np.testing.assert_allclose(atoms.cell[:], space.freedom.given, atol=1e-9)
            assert np.linalg.norm(np.cross(*atoms.cell[:2])) == pytest.approx(area)
            assert np.ptp(atoms.positions[:, 2]) < 2.0 + 1e-9
    again = Crystal.from_description(space.description())
    assert again.description() == space.description()
    assert torch.equal(again.sample(2, seeded_generator(0)), space.sample(2, seeded_generator(0)))


def test_structures_keep_the_axes_of_a_given_layer():
    """So that they lie on the substrate whose cell it is."""
    space = Crystal("Au2Cu2", periodic=LAYER, cell=gold(), vacuum=12.0)
    atoms = to_ase(space.decode(space.encode(from_ase([gold()]))))[0]
    np.testing.assert_allclose(atoms.cell[:2], gold().cell[:2], atol=1e-9)
    shift = atoms.positions - gold().positions
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:1], shift.shape), atol=1e-9)


def test_layers_of_another_cell_are_refused():
    space = Crystal("Au2Cu2", periodic=LAYER, cell=[4.6, 4.9, 0])
    with pytest.raises(InputError, match="be in the cell of the space"):
        space.encode(from_ase([gold()]))


def test_what_is_no_layer_is_refused():
    space = Crystal("C2", periodic=LAYER)
    with pytest.raises(InputError, match=r"periodic along two lattice vectors, got C2 with pbc=\["):
        space.encode(from_ase([Atoms("C2", [[0, 0, 0], [0, 0, 1]], cell=[3, 3, 9], pbc=True)]))
    four = graphene(size=(2, 1, 1))
    four.pbc = LAYER
    with pytest.raises(InputError, match="all be C2 in the cell of the space, got C4"):
        space.encode(from_ase([four]))


def test_a_campaign_finds_the_hexagonal_layer(tmp_path):
    """The ground state of Lennard-Jones atoms in a plane; exports say which group it has."""

    def lennard_jones():
        return LennardJones(sigma=2.5, epsilon=0.1, rc=10.0, ro=8.0, smooth=True)

    space = Crystal("Ar2", periodic=LAYER, area=7.2, thickness=0.2)
    search = BasinHopping(n_candidates=6, n_rounds=2)
    campaign = Campaign(space, Calculator(lennard_jones), search=search)
    log = campaign.run(tmp_path / "run", seed=0, stop=Evaluations(5), progress=False)
    (best,) = images_to_export(log)
    assert best.pbc.tolist() == list(LAYER)
    hexagonal = Atoms("Ar", cell=[2.78, 2.78, 20, 90, 90, 120], pbc=LAYER)
    hexagonal.calc = lennard_jones()
    filtered = FrechetCellFilter(hexagonal, mask=[1, 1, 0, 0, 0, 1])
    BFGS(filtered, logfile=None).run(fmax=1e-4)
    flat = 2 * hexagonal.get_potential_energy()
    assert flat - 0.02 < best.get_potential_energy() < flat + 0.005  # it may buckle a little
    assert "layer_group_number" in best.info
    assert verify_log(log).is_valid
