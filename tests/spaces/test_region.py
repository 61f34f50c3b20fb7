import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import fcc111

from bostruct.spaces import Cluster, Surface
from bostruct.spaces.region import chain_length, packed_radius
from bostruct.structures import from_ase
from bostruct.testing import seeded_generator


def straight_chain(symbol, n, bond):
    return Atoms(f"{symbol}{n}", [[0, 0, bond * k] for k in range(n)])


def ring(symbol, n, bond):
    angle = 2 * np.pi * np.arange(n) / n
    circle = np.stack((np.cos(angle), np.sin(angle), 0 * angle), -1)
    return Atoms(f"{symbol}{n}", bond / (2 * math.sin(math.pi / n)) * circle)


def water_ring(n, oxygens=2.8):
    """Molecules of water that each give one hydrogen bond to the next one."""
    corners = ring("O", n, oxygens).positions
    atoms = Atoms()
    for k, oxygen in enumerate(corners):
        bond = corners[(k + 1) % n] - oxygen
        outward = oxygen / np.linalg.norm(oxygen)
        free = 0.6 * outward + 0.8 * (-1) ** k * np.array([0, 0, 1])
        hydrogens = oxygen + 0.97 * np.stack((bond / np.linalg.norm(bond), free))
        atoms += Atoms("OH2", [oxygen, *hydrogens])
    return atoms


def water_chain(n, oxygens=2.8):
    """Molecules of water in a line, each with a hydrogen bond to the next one."""
    atoms = Atoms()
    for k in range(n):
        molecule = [[0, 0, 0], [0.97, 0, 0], [-0.25, 0.93, 0]]
        atoms += Atoms("OH2", np.array(molecule) + np.array([k * oxygens, 0, 0]))
    return atoms


def alkane(n):
    """The all-trans isomer of CnH2n+2."""
    half, bond = math.radians(111.5 / 2), 1.53
    step, rise = bond * math.sin(half), bond * math.cos(half)
    carbons = np.array([[step * k, 0, rise * (k % 2)] for k in range(n)])
    up = np.where(np.arange(n) % 2, 1, -1)
    hydrogens = [
        carbon + 1.1 * np.array([0, side, 0.57 * sign])
        for carbon, sign in zip(carbons, up, strict=True)
        for side in (0.82, -0.82)
    ]
    ends = [carbons[0] + [-0.98, 0, 0.44], carbons[-1] + [0.98, 0, -0.44 * up[-1]]]
    return Atoms(f"C{n}H{2 * n + 2}", [*carbons, *hydrogens, *ends])


MOLECULES = {
    "C7": straight_chain("C", 7, 1.28),
    "Cu15": straight_chain("Cu", 15, 2.4),
    "Au38": ring("Au", 38, 2.8),
    "Ar13": straight_chain("Ar", 13, 2.5),
    "C30": ring("C", 30, 1.3),
    "(H2O)5": water_ring(5),
    "(H2O)6": water_ring(6),
    "(OH2)6": water_chain(6),
    **{f"C{n}H{2 * n + 2}": alkane(n) for n in range(5, 9)},
}


@pytest.mark.parametrize("formula", MOLECULES)
def test_the_default_region_holds_chains_and_rings(formula):
    space = Cluster(formula)
    X = space.encode(from_ase([MOLECULES[formula]]))
    assert space.contains(X).all()
    assert torch.allclose(space.project(X), X, rtol=0, atol=1e-12)
    farthest = space.decode(X).positions.norm(dim=-1).max()
    assert farthest > space.sampling_radius  # or the test shows nothing


def test_the_lengths_are_those_of_touching_spheres():
    assert packed_radius(torch.tensor([2.0])) == pytest.approx(2 / 0.64 ** (1 / 3))
    radii = torch.tensor([1.0, 2.0, 0.5])
    assert chain_length(radii) == pytest.approx(1.25 * 7)
    assert chain_length(3 * radii) == pytest.approx(3 * chain_length(radii))


@pytest.mark.parametrize("formula", ["Cu15", "Au5Cu10", "C7", "(H2O)3"])
def test_a_larger_region_does_not_make_random_clusters_looser(formula):
    space = Cluster(formula)
    small = Cluster(formula, radius=space.sampling_radius)
    name = "compact" if "compact" in space.generators() else "random"  # trees need the room
    samples = [each.generators()[name](16, seeded_generator(3)) for each in (space, small)]
    assert torch.equal(*samples)
    symmetric = [each.generators()["symmetric"](16, seeded_generator(3)) for each in (space, small)]
    assert torch.equal(*symmetric)


def test_a_radius_that_is_given_bounds_samples_too():
    space = Cluster("Cu13", radius=3.2)
    assert space.sampling_radius == 3.2
    assert space.contains(space.sample(8, seeded_generator(0))).all()


def test_the_region_of_an_earlier_version_is_continued():
    space = Cluster("Au5Cu10", max_gap_factor=1.4)
    earlier = space.description() | {"radius": space.sampling_radius}
    continued = space.with_region_of(earlier)
    assert continued.description() == earlier
    assert continued.radius < space.radius
    for given in (Cluster("Au5Cu10", radius=9.0), Cluster("Au5Cu10", radius=space.sampling_radius)):
        assert given.with_region_of(earlier) is given
    assert space.with_region_of(space.description()) is space
    assert space.with_region_of(earlier | {"radius": 9.0}) is space


def platinum(vacuum=20.0):
    return fcc111("Pt", (3, 3, 2), vacuum=vacuum)


def upright(space, n, bond):
    """Return X of an upright chain of carbon on the first atom of a slab's topmost layer."""
    top = space.slab.positions[space.slab.positions[:, 2].argmax()]
    heights = torch.tensor([2.0 + bond * k for k in range(n)], dtype=torch.float64)
    return (top + heights.unsqueeze(-1) * torch.tensor([0.0, 0.0, 1.0])).flatten()


def test_the_default_region_of_a_surface_holds_upright_chains():
    space = Surface(platinum(), "C7")
    X = upright(space, 7, 1.3)
    assert space.contains(X)
    assert space.sampling_height < 2.0 + 6 * 1.3 < space.region[1]
    low = Surface(platinum(), "C7", region=(0.5, space.sampling_height))
    assert not low.contains(X)


def test_random_structures_on_a_surface_stay_as_low_as_before():
    space = Surface(platinum(), "C7")
    small = Surface(platinum(), "C7", region=(space.region[0], space.sampling_height))
    samples = [each.sample(8, seeded_generator(3)) for each in (space, small)]
    assert torch.equal(*samples)


def test_the_region_ends_with_the_cell():
    tight = Surface(platinum(4.0), "C7")
    assert tight.region[1] == pytest.approx(4.0)
    assert tight.sampling_height == tight.region[1]


def test_the_region_of_an_earlier_version_of_a_surface_is_continued():
    space = Surface(platinum(), "C7")
    earlier = space.description() | {"region": [space.region[0], space.sampling_height]}
    continued = space.with_region_of(earlier)
    assert continued.description() == earlier
    X = upright(space, 7, 1.3)
    assert space.contains(X)
    assert not continued.contains(X)
    assert space.with_region_of(space.description()) is space
    given = Surface(platinum(), "C7", region=(0.5, 7.0))
    assert given.with_region_of(earlier) is given
