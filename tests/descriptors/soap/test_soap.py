"""The power spectrum: invariances, smoothness, derivatives, and an established SOAP."""

import importlib
from dataclasses import replace

import dscribe.descriptors
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from bostruct.descriptors import SOAP
from bostruct.errors import InputError
from bostruct.structures import Structures, from_ase

NEIGHBORS = importlib.import_module("bostruct.structures.neighbor_lists.neighbor_list")
EXACT = 1e-11  # rounding of sums over neighbors
SECANT = 1e-7  # central differences, step 1e-5 Å
CUTOFF = 4.0


def cluster(formula="Cu5Au4", seed=0, spread=1.9):
    rng = np.random.default_rng(seed)
    atoms = Atoms(formula)
    atoms.positions = rng.normal(size=(len(atoms), 3)) * spread
    return atoms


def salt(size=1.0):
    atoms = bulk("NaCl", "rocksalt", a=5.2 * size) * (2, 1, 1)
    atoms.positions += np.random.default_rng(1).normal(size=(4, 3)) * 0.1 * size
    return atoms


CASES = {
    "cluster": (cluster(), (29, 79)),
    "crystal": (salt(), (11, 17)),
    "atom": (Atoms("Cu"), (29,)),
    "dimer": (Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]]), (29,)),
}


@pytest.fixture(params=[*CASES, "alike"])
def case(request):
    name = "cluster" if request.param == "alike" else request.param
    atoms, species = CASES[name]
    alchemy = 0.8 if request.param == "alike" else 0.0
    return atoms, SOAP(species, CUTOFF, species_similarity=alchemy)


def test_one_row_of_unit_length_per_atom(case):
    atoms, soap = case
    P = soap(from_ase(atoms))
    assert P.shape == (len(atoms), soap.n_features)
    torch.testing.assert_close(P.square().sum(-1), torch.ones_like(P[:, 0]))


def test_rotation_and_translation_change_nothing(case):
    atoms, soap = case
    turned = atoms.copy()
    turned.rotate(37, (1, 2, -1), rotate_cell=True)
    turned.translate((0.3, -7.0, 2.2))
    turned.wrap()
    close(soap(from_ase(turned)), soap(from_ase(atoms)))


def test_reflection_changes_nothing(case):
    atoms, soap = case
    mirrored = atoms.copy()
    mirrored.set_cell(-mirrored.cell[:])
    mirrored.positions *= -1
    close(soap(from_ase(mirrored)), soap(from_ase(atoms)))


def test_permutation_permutes_the_rows(case):
    atoms, soap = case
    order = np.random.default_rng(2).permutation(len(atoms))
    close(soap(from_ase(atoms[order])), soap(from_ase(atoms))[order])


def test_supercell_repeats_the_rows():
    soap = SOAP((11, 17), CUTOFF)
    close(soap(from_ase(salt() * (1, 2, 3))), soap(from_ase(salt())).repeat(6, 1))


def test_enlarged_copy_with_enlarged_cutoff_is_the_same():
    small, large = SOAP((11, 17), CUTOFF), SOAP((11, 17), 1.7 * CUTOFF)
    close(large(from_ase(salt(1.7))), small(from_ase(salt(1.0))))


def test_alchemy_is_the_similarity_of_two_species():
    """Kernels of densities add up species by species: with s.A.A.s' between them."""
    first, second = cluster("Cu2", 4, 1.2), cluster("Cu2", 4, 1.2)
    second.symbols[1] = "Au"
    dots = []
    for alchemy in (0.0, 0.6, 1 - 1e-9):
        soap = SOAP((29, 79), CUTOFF, center_atom_weight=1e-9, species_similarity=alchemy)
        one, other = soap(from_ase([first, second])).view(2, 2, -1)[:, 0]
        dots.append(float(one @ other))
    # one neighbor each: the spectrum is a square, so its product is alchemy squared
    assert dots == pytest.approx([0, 0.36, 1], abs=1e-7)


def test_batch_equals_one_by_one():
    soap = SOAP((11, 17, 29, 79), CUTOFF)
    many = [cluster(seed=1), salt(), cluster("Au3", 2), cluster("Cu60", 3, 3.0)]
    batch = soap(from_ase(many))
    close(batch, torch.cat([soap(from_ase(one)) for one in many]))


def test_all_pairs_equal_the_neighbor_list(monkeypatch):
    structures = from_ase([cluster(seed=s) for s in range(3)])
    soap = SOAP((29, 79), CUTOFF)
    dense, slopes = soap(structures), soap.gradients(structures)
    monkeypatch.setattr(NEIGHBORS, "MAX_ATOMS_ALL_PAIRS", 0)
    close(soap(structures), dense)
    sparse = soap.gradients(structures)
    close(sparse.features, slopes.features)
    assert len(sparse.center) == len(slopes.center)


def test_gradient_matches_central_differences(case):
    atoms, soap = case
    structures = from_ase(atoms)
    weights = random_like(soap(structures))

    def total(positions):
        return (soap(replace(structures, positions=positions)) * weights).sum()

    compare_with_secant(total, structures.positions)


def test_second_derivative_matches_central_differences(case):
    atoms, soap = case
    structures = from_ase(atoms)
    weights = random_like(soap(structures))
    direction = random_like(structures.positions)

    def slope(positions):
        P = soap(replace(structures, positions=positions))
        total = (P * weights).sum()
        (g,) = torch.autograd.grad(total, positions, create_graph=True)
        return (g * direction).sum()

    compare_with_secant(slope, structures.positions, needs_grad=True)


def test_slopes_are_the_gradient(case):
    atoms, soap = case
    structures = from_ase(atoms)
    slopes = soap.gradients(structures)
    weights = random_like(slopes.features)
    moving = structures.positions.clone().requires_grad_()
    P = soap(replace(structures, positions=moving))
    close(P.detach(), slopes.features)
    (expected,) = torch.autograd.grad((P * weights).sum(), moving)
    push = (slopes.gradients * weights[slopes.center].unsqueeze(1)).sum(-1)
    found = torch.zeros_like(moving).index_add(0, slopes.neighbor, push)
    close(found.index_add(0, slopes.center, -push).detach(), expected)


def test_what_is_frozen_has_no_slopes_and_what_moves_has_its_own():
    soap = SOAP((11, 17), CUTOFF, species_similarity=0.5)
    structures = from_ase(salt())
    fixed = torch.tensor([True, False, True, True])
    structures = replace(structures, fixed=fixed)
    weights = random_like(soap(structures))
    slopes = []
    for frozen in (False, True):
        moving = structures.positions.clone().requires_grad_()
        base = soap.fixed_environment(structures) if frozen else None
        P = soap(replace(structures, positions=moving), base)
        slopes.append(torch.autograd.grad((P * weights).sum(), moving)[0])
    close(slopes[1][~fixed], slopes[0][~fixed])
    assert (slopes[1] - slopes[0])[fixed].abs().max() > 1e-3


@pytest.mark.parametrize("dense", [0, 40])
def test_smooth_when_a_neighbor_crosses_the_cutoff(monkeypatch, dense):
    """Value and slope are continuous; the curvature stays bounded."""
    monkeypatch.setattr(NEIGHBORS, "MAX_ATOMS_ALL_PAIRS", dense)
    soap = SOAP((29,), CUTOFF)

    def at(distance):
        z = torch.tensor(distance, dtype=torch.float64, requires_grad=True)
        rows = torch.stack((torch.zeros(()).to(z), torch.tensor(2.4).to(z), z))
        still = torch.zeros(3, 2, dtype=torch.float64)
        positions = torch.cat((still, rows.unsqueeze(-1)), -1)
        three = from_ase(Atoms("Cu3", positions.detach().numpy()))
        P = soap(replace(three, positions=positions))[0]
        value = (P * torch.linspace(-1, 1, soap.n_features, dtype=torch.float64)).sum()
        return value.detach(), torch.autograd.grad(value, z)[0]

    inside, outside = at(CUTOFF - 1e-6), at(CUTOFF + 1e-6)
    torch.testing.assert_close(inside[0], outside[0], atol=1e-14, rtol=0)
    torch.testing.assert_close(inside[1], outside[1], atol=1e-9, rtol=0)


def test_single_precision_agrees():
    soap = SOAP((29, 79), CUTOFF)
    structures = from_ase(cluster())
    single = soap(structures.to(dtype=torch.float32))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), soap(structures), atol=2e-5, rtol=0)


def test_kernel_agrees_with_an_established_soap():
    """In the limit of narrow densities, with the same radial basis and weights.

    dscribe's polynomial basis has the span of ours, and the kernel does not depend on
    the basis within the span. Its densities are Gaussians of width σ where ours are
    points, so its kernel differs by a multiple of σ², which extrapolation removes.
    The atom itself is left out of both, as its weight differs.
    """
    atoms = bulk("Cu", cubic=True) * (2, 2, 1)
    atoms = Atoms(atoms.symbols, atoms.positions)
    atoms.rattle(0.25, seed=1)
    atoms.symbols[[1, 4, 6, 9, 11]] = "Au"
    soap = SOAP((29, 79), 5.0, n_max=4, l_max=3, center_atom_weight=1e-9)
    P = soap(from_ase(atoms)).numpy()
    wide, narrow = (_established_kernel(atoms, width) for width in (0.2, 0.2**0.5 / 3))
    share = (0.2**2) / (0.2**2 - 0.2 / 9)
    expected = share * narrow + (1 - share) * wide
    far, near = (np.abs(kernel - P @ P.T).max() for kernel in (wide, narrow))
    assert near < 0.7 * far < 0.03
    np.testing.assert_allclose(P @ P.T, expected, atol=1.5e-3)


def _established_kernel(atoms, width):
    established = dscribe.descriptors.SOAP(
        species=["Cu", "Au"],
        r_cut=5.0,
        n_max=4,
        l_max=3,
        sigma=width,
        rbf="polynomial",
        weighting={"function": "pow", "r0": 1e6, "c": 1, "d": 1, "m": 1, "w0": 0},
        periodic=False,
    )
    rows = established.create(atoms)
    # dscribe weighs degree l by pi sqrt(8 / (2 l + 1)), and stores half of the
    # symmetric products of one species with itself, all of those with another
    for pair in (("Cu", "Cu"), ("Cu", "Au"), ("Au", "Au")):
        rows[:, established.get_location(pair)] *= _weights(pair[0] == pair[1])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def _weights(same):
    return np.array(
        [
            np.sqrt(1.0 if same and n == m else 2.0) / np.sqrt(2 * ell + 1)
            for ell in range(4)
            for n in range(4)
            for m in range(n if same else 0, 4)
        ]
    )


def test_refuses_species_it_was_not_made_for():
    with pytest.raises(InputError, match=r"species, got \[79\]. The descriptor was"):
        SOAP((29,), CUTOFF)(from_ase(cluster()))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"species": ()}, "`species` must name each atomic number once"),
        ({"species": (29, 29)}, "`species` must name each atomic number once"),
        ({"cutoff": 0.0}, "`cutoff` must be positive"),
        ({"n_max": 0}, "`n_max` must be an integer of at least 1"),
        ({"l_max": -1}, "`l_max` must be an integer of at least 0"),
        ({"center_atom_weight": -3.0}, "`center_atom_weight` must be positive"),
        (
            {"species_similarity": 1.0},
            "`species_similarity` must be a similarity from 0 to below 1, got 1.0",
        ),
        ({"species_similarity": -0.1}, "`species_similarity` must be a similarity from 0"),
    ],
)
def test_refuses(arguments, match):
    with pytest.raises(InputError, match=match):
        SOAP(**({"species": (29,), "cutoff": CUTOFF} | arguments))


def test_follows_the_device_of_its_input(device):
    soap = SOAP((29, 79), CUTOFF)
    structures = from_ase([cluster(seed=s) for s in range(3)])
    P = soap(structures.to(device))
    assert P.device.type == device.type
    close(P.cpu(), soap(structures))


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=EXACT, rtol=0)


def random_like(x):
    generator = torch.Generator().manual_seed(9)
    return torch.randn(x.shape, dtype=x.dtype, generator=generator)


def compare_with_secant(function, positions, needs_grad=False):
    moving = positions.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(moving), moving, allow_unused=True)
    slope = torch.zeros_like(moving) if slope is None else slope
    h = 1e-5
    for atom in range(min(len(positions), 3)):
        for axis in range(3):
            step = torch.zeros_like(positions)
            step[atom, axis] = h
            ends = [
                function((positions + sign * step).requires_grad_(needs_grad)) for sign in (1, -1)
            ]
            secant = (ends[0] - ends[1]).detach() / (2 * h)
            size = slope.abs().max().clamp(min=1.0)
            assert (slope[atom, axis] - secant).abs() < SECANT * size


def test_structures_are_not_changed():
    structures = from_ase(cluster())
    before = structures.positions.clone()
    SOAP((29, 79), CUTOFF).gradients(structures)
    assert isinstance(structures, Structures)
    assert torch.equal(structures.positions, before)
