import math

import pytest
import torch
from ase.build import bulk, fcc100
from ase.calculators.lj import LennardJones as Reference
from torch.autograd import grad

from bostruct.bench.performance.model_potentials import (
    GUPTA_PARAMETERS,
    LANDSCAPES,
    Gupta,
    Landscape,
)
from bostruct.spaces import Cluster, Surface
from bostruct.structures import from_ase, to_ase
from bostruct.testing import seeded_generator


@pytest.mark.parametrize("name", LANDSCAPES)
def test_slopes_are_right(name):
    landscape = LANDSCAPES[name]
    X = landscape.space.sample(2, seeded_generator(0)).requires_grad_()
    (slope,) = grad(landscape.energy(X).sum(), X)
    along = torch.randn(X.shape, generator=seeded_generator(1), dtype=X.dtype)
    with torch.no_grad():
        up, down = (landscape.energy(X + sign * 1e-5 * along) for sign in (1, -1))
    secant = (up - down) / 2e-5
    torch.testing.assert_close((slope * along).sum(-1), secant, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LANDSCAPES)
def test_many_are_as_one(name):
    landscape = LANDSCAPES[name]
    X = landscape.space.sample(3, seeded_generator(0))
    alone = torch.cat([landscape.energy(x.unsqueeze(0)) for x in X])
    torch.testing.assert_close(landscape.energy(X), alone)


def test_lennard_jones_is_that_of_ase():
    landscape = LANDSCAPES["lj19"]
    X = landscape.space.sample(2, seeded_generator(0))
    for x, energy in zip(X, landscape.energy(X).tolist(), strict=True):
        atoms = to_ase(landscape.space.decode(x))[0]
        atoms.calc = Reference(sigma=1.0, epsilon=1.0, rc=1e3, smooth=False)
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-6)


def test_gupta_of_two_atoms_is_its_formula():
    space = Cluster("AuCu")
    x = torch.tensor([[0.0, 0, 0, 2.7, 0, 0]], dtype=torch.float64)
    one, two = GUPTA_PARAMETERS["Au"], GUPTA_PARAMETERS["Cu"]
    A, xi = (math.sqrt(one[k] * two[k]) for k in (0, 1))
    p, q, r0 = ((one[k] + two[k]) / 2 for k in (2, 3, 4))
    s = 2.7 / r0 - 1
    expected = 2 * (A * math.exp(-p * s) - xi * math.exp(-q * s))
    assert float(Gupta(space)(x)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("element", "cohesive"), [("Cu", 3.54), ("Au", 3.78)])
def test_gupta_gives_the_cohesive_energy_of_the_metal(element, cohesive):
    """It was fitted to it; an atom deep in a crystal, cut out as a cluster."""
    atoms = bulk(element, cubic=True).repeat(4)
    middle = atoms.positions.mean(0)
    P = torch.from_numpy(atoms.positions - middle)
    centre = int(P.norm(dim=-1).argmin())
    P = P - P[centre]
    D = P.norm(dim=-1)[P.norm(dim=-1) > 0.1]
    A, xi, p, q, _ = GUPTA_PARAMETERS[element]
    s = D / float(D.min()) - 1
    rows = s < 1.0
    energy = (A * (-p * s[rows]).exp()).sum()
    energy -= (xi**2 * (-2 * q * s[rows]).exp()).sum().sqrt()
    assert -float(energy) == pytest.approx(cohesive, rel=0.03)


def test_a_surface_is_a_cluster_that_repeats():
    """An atom of a large slab feels nearly what it feels on a large cluster."""
    slab = fcc100("Au", (4, 4, 2), vacuum=8.0)
    space = Surface(slab, "Cu")
    X = space.sample(1, seeded_generator(0))
    Q = X.clone()
    Q[0, 2] += 0.3
    surface = Gupta(space)
    climb = float(surface(Q) - surface(X))
    atoms = to_ase(space.decode(X))[0]
    large = atoms[:-1].repeat((3, 3, 1))
    large.positions -= atoms.cell[0] + atoms.cell[1]
    whole = large + atoms[-1:]
    whole.cell, whole.pbc = None, False
    free = Cluster(whole.get_chemical_formula(), radius=99.0, max_gap_factor=99.0)
    low = free.encode(from_ase(whole))
    whole.positions[-1, 2] += 0.3
    high = free.encode(from_ase(whole))
    energy = Gupta(free)
    assert climb == pytest.approx(float(energy(high) - energy(low)), abs=0.03)


def test_a_surface_does_not_see_where_an_image_is():
    landscape = LANDSCAPES["ni4_in_au100"]
    X = landscape.space.sample(1, seeded_generator(0))
    cell = landscape.space.decode(X).cell[0]
    moved = X.clone()
    moved[0, :3] += 2 * cell[0] - cell[1]
    torch.testing.assert_close(landscape.energy(moved), landscape.energy(X))


def test_the_space_is_made_once():
    made = []

    def make():
        made.append(1)
        return Cluster("Cu3")

    landscape = Landscape(make, Gupta)
    assert landscape.space is landscape.space
    assert landscape.energy is landscape.energy
    assert made == [1]
