"""The pair wall: its shape, its ends, its slope."""

from dataclasses import replace

import pytest
import torch
from ase import Atoms
from ase.build import bulk

from bostruct.descriptors import SOAP
from bostruct.errors import InputError
from bostruct.structures import Structures, from_ase
from bostruct.structures.problem_scale import ProblemScale
from bostruct.surrogates import PairRepulsion
from bostruct.surrogates.pair_repulsion import STRENGTH_FACTOR
from tests.descriptors.soap.test_neighbor_vectors import CUTOFF, slabs
from tests.surrogates.crystals import KINDS, assert_follows_cell, by_strain, crystals

WALL = PairRepulsion(strength=20.0)
RADII = torch.tensor([1.32, 1.36], dtype=torch.float64)
R = 1.32  # radius of every atom in these tests, Å
D = 2 * R


def pair(r):
    return from_ase(Atoms("Cu2", positions=[[0, 0, 0], [0, 0, float(r)]]))


def wall(structures, repulsion=None, radius=R):
    radii = torch.full(structures.positions.shape[:1], radius, dtype=torch.float64)
    return (repulsion or WALL)(structures, radii)


def slopes(r):
    """Return the energy of a pair and its first two derivatives."""
    one = pair(r)
    z = one.positions[1, 2].clone().requires_grad_()
    positions = one.positions.clone()
    positions[1, 2] = z
    energy = wall(replace(one, positions=positions)).sum()
    (first,) = torch.autograd.grad(energy, z, create_graph=True)
    (second,) = torch.autograd.grad(first, z)
    return [float(x.detach()) for x in (energy, first, second)]


def test_energy_at_half_the_distance_is_the_strength():
    found = wall(pair(D / 2))
    torch.testing.assert_close(found, torch.tensor([20.0]).double())
    other = wall(pair(0.5 * 0.6 * 2 * R), PairRepulsion(strength=7.0, range_factor=0.6))
    torch.testing.assert_close(other, torch.tensor([7.0]).double())


def test_the_default_strength_is_that_of_the_data():
    scale = ProblemScale(energy=0.04, length=3.8)
    found = PairRepulsion(range_factor=0.9).in_scale(scale)
    assert found == PairRepulsion(strength=STRENGTH_FACTOR * 0.04, range_factor=0.9)
    assert WALL.in_scale(scale) == WALL
    with pytest.raises(InputError, match=r"`strength` must be known, got None.*in_scale"):
        PairRepulsion()(pair(1.0), torch.full((2,), R, dtype=torch.float64))


def test_is_exactly_zero_beyond():
    for r in (D, 1.0001 * D, 2 * D, 50.0):
        assert float(wall(pair(r))) == 0.0


def test_two_derivatives_vanish_at_the_end():
    """E ~ strength (1 - r/d)^3: each order of a small gap is as it should be."""
    for gap in (1e-3, 1e-5):
        energy, first, second = slopes(D * (1 - gap))
        assert energy == pytest.approx(20 * gap**3, rel=0.01)
        assert first == pytest.approx(-60 * gap**2 / D, rel=0.01)
        assert second == pytest.approx(120 * gap / D**2, rel=0.02)


@pytest.mark.parametrize("r", [0.3, 1.0, 1.7, 0.999 * D])
def test_derivatives_match_central_differences(r):
    h = 1e-5
    _, first, second = slopes(r)
    low, high = slopes(r - h), slopes(r + h)
    assert first == pytest.approx((high[0] - low[0]) / (2 * h), rel=1e-5, abs=1e-7)
    assert second == pytest.approx((high[1] - low[1]) / (2 * h), rel=1e-5, abs=1e-4)


@pytest.mark.filterwarnings("error")
def test_coincident_atoms_are_finite():
    one = pair(0.0)
    positions = one.positions.clone().requires_grad_()
    energy = wall(replace(one, positions=positions))
    (slope,) = torch.autograd.grad(energy.sum(), positions)
    assert energy.isfinite().all()
    assert energy > wall(pair(0.01))
    assert slope.isfinite().all()


def test_batch_is_the_sum_of_pairs_with_their_own_radii():
    generator = torch.Generator().manual_seed(0)
    parts, expected, radii = [], [], []
    for size in (2, 5, 3):
        P = 2 * torch.rand(size, 3, dtype=torch.float64, generator=generator)
        r = 0.6 + torch.rand(size, dtype=torch.float64, generator=generator)
        parts.append(from_ase(Atoms(f"Cu{size}", positions=P.numpy())))
        radii.append(r)
        total = 0.0
        for i in range(size):
            for j in range(i):
                d = r[i] + r[j]
                distance = (P[i] - P[j]).norm()
                total += 20 * float((d / distance - 1).clamp(min=0)) ** 3
        expected.append(total)
    found = WALL(Structures.cat(parts), torch.cat(radii))
    torch.testing.assert_close(found, torch.tensor(expected).double())


def test_periodic_images_repel():
    """A squeezed crystal: the energy per atom does not depend on the cell."""
    squeezed = bulk("Cu", "fcc", a=2.8)  # nearest neighbors at 1.98 Å < d
    primitive, cubic = from_ase(squeezed), from_ase(squeezed * (2, 3, 1))
    one = wall(primitive)
    near = 2.8 / 2**0.5
    expected = 6 * 20 * (D / near - 1) ** 3  # 12 neighbors, each shared by two
    assert float(one) == pytest.approx(expected)
    assert float(wall(cubic)) == pytest.approx(6 * expected)


@pytest.mark.parametrize("periodic", [False, True])
def test_the_compiled_loop_equals_operations_of_torch(periodic):
    """Energies, slopes and the slopes of these."""
    generator = torch.Generator().manual_seed(1)
    atoms = bulk("NaCl", "rocksalt", a=5.0) * (1, 2, 1)
    atoms.rattle(0.2, seed=1)
    atoms.pbc = (periodic, periodic, False)
    structures = from_ase([atoms, atoms[:3]])
    n = len(structures.positions)
    radii = 1.5 + 0.3 * torch.rand(n, dtype=torch.float64, generator=generator)
    weights = torch.randn(n, 3, dtype=torch.float64, generator=generator)
    found = []
    for function in (WALL, WALL.differentiable_energies):
        positions = structures.positions.clone().requires_grad_()
        energy = function(replace(structures, positions=positions), radii)
        total = (energy * torch.tensor([1.0, 3.0])).sum()
        (plain,) = torch.autograd.grad(total, positions, retain_graph=True)
        (slope,) = torch.autograd.grad(total, positions, create_graph=True)
        (second,) = torch.autograd.grad((slope * weights).sum(), positions)
        found.append((energy.detach(), plain, slope.detach(), second))
    assert found[0][0].min() > 0.1
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-11)


def test_a_lone_atom_feels_nothing(device):
    one = from_ase(Atoms("Cu"), device=device)
    radii = torch.full((1,), R, dtype=torch.float64, device=device)
    found = WALL(one, radii)
    assert found.tolist() == [0.0]
    assert found.device.type == device.type


def test_follows_the_dtype():
    one = pair(1.0).to(dtype=torch.float32)
    found = WALL(one, torch.full((2,), R, dtype=torch.float32))
    assert found.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"strength": 0.0}, "`strength` must be positive .* energy in eV"),
        ({"range_factor": -1.0}, "`range_factor` must be positive .* fraction of the bond"),
    ],
)
def test_refuses(arguments, match):
    with pytest.raises(InputError, match=match):
        PairRepulsion(**arguments)


def test_typical_force_is_the_slope_at_three_quarters():
    wall, bond = PairRepulsion(strength=30.0, range_factor=0.9), 2.5
    pair = from_ase(Atoms("Cu2", [(0, 0, 0), (0.75 * 0.9 * bond, 0, 0)]))
    pair = replace(pair, positions=pair.positions.requires_grad_())
    radii = torch.full((2,), bond / 2, dtype=torch.float64)
    (slope,) = torch.autograd.grad(wall(pair, radii), pair.positions)
    assert wall.typical_force(bond) == pytest.approx(-float(slope[1, 0]))


@pytest.mark.parametrize("fixed", [False, True])
def test_listed_pairs_give_the_same_energies_and_gradients(fixed):
    structures = slabs(layers=2)
    structures = replace(structures, positions=0.8 * structures.positions)
    soap, radii = SOAP((29, 79), CUTOFF), torch.full((len(structures.numbers),), R).double()
    base = soap.fixed_environment(structures) if fixed else None
    spectra = soap.power_spectra(structures, base)
    energy, gradient = WALL.listed_energy_and_gradient(spectra, structures, radii)
    expected, force, _ = WALL.energy_and_gradients(structures, radii)
    if fixed:
        one = base.fixed_atoms.atoms
        energy = energy + WALL(one, radii[: len(one.numbers)])
    moves = ~structures.fixed | (not fixed)
    assert float(force[moves].abs().max()) > 1
    torch.testing.assert_close(energy, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient[moves], force[moves], rtol=1e-12, atol=1e-11)


@pytest.fixture(scope="module", params=KINDS)
def some(request):
    symbols, shape = KINDS[request.param]
    return crystals(symbols, 3, shape=shape).without_results()


def test_repulsion_follows_the_cell(some):
    hard = PairRepulsion(strength=3.0, range_factor=1.3)
    radii = RADII[(some.numbers == 79).long()]
    assert_follows_cell(lambda structures: hard(structures, radii), some)
    expected = by_strain(lambda structures: hard(structures, radii), some)
    found = hard.strain_derivative(some, radii)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_repulsion_of_listed_pairs(some):
    hard, radii = PairRepulsion(strength=3.0, range_factor=1.3), RADII[(some.numbers == 79).long()]
    moved = replace(some, cell=some.cell.clone().requires_grad_())
    spectra = SOAP((29, 79), 4.2).power_spectra(moved)
    for found, expected in zip(
        hard.listed_gradients(spectra, moved, radii),
        hard.energy_and_gradients(moved, radii),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
