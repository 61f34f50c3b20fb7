"""Terms of the energy beside the environments, against calculus and physics."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import fcc100

from bostruct.descriptors import SOAP
from bostruct.spaces import Surface
from bostruct.structures import Structures, from_ase
from bostruct.structures.fixed_atoms import shared_fixed_atoms
from bostruct.surrogates import EmbeddingTerm, PairTerm, SpeciesConstants
from bostruct.surrogates.local_gp.energy_terms import (
    NO_TERMS,
    EnergyTerms,
    find_pairs,
    pair_types,
)
from tests.surrogates.crystals import KINDS, assert_follows_cell, by_strain, crystals

EXACT = {"rtol": 0, "atol": 1e-12}
RADII = torch.tensor([1.32, 1.36], dtype=torch.float64)
TERMS = (PairTerm(), EmbeddingTerm())


def structures_of(periodic):
    """Return two structures of gold and copper, of five and three atoms, and their species."""
    rng = np.random.default_rng(0)
    cells = [5, 5.5, 6], [[5, 0, 0], [1, 5.5, 0], [0, 1, 6]]
    images = [
        Atoms(name, rng.uniform(0, 5, (len(Atoms(name)), 3)), cell=cell, pbc=periodic)
        for name, cell in zip(("Cu2Au3", "CuAu2"), cells, strict=True)
    ]
    structures = from_ase(images)
    return structures, (structures.numbers == 79).to(torch.int64)


@pytest.fixture(params=[False, True], ids=["cluster", "crystal"])
def case(request):
    return structures_of(request.param)


@pytest.fixture(params=TERMS, ids=["pair", "embedding"])
def term(request):
    return request.param.build(RADII)


def features(term, structures, species, positions=None):
    if positions is not None:
        structures = replace(structures, positions=positions)
    return term.features(structures, species, structures.index, len(structures))


def random_like(x, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(x.shape, dtype=torch.float64, generator=generator)


def test_forces_are_minus_the_slopes_of_energies(term, case):
    structures, species = case
    found = term.force_features(structures, species)
    assert found.shape == (8, 3, term.n_features)
    h = 1e-5
    for atom, axis in ((0, 1), (3, 2), (6, 0)):
        step = torch.zeros_like(structures.positions)
        step[atom, axis] = h
        ends = [
            features(term, structures, species, structures.positions + sign * step).sum(0)
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * h)
        torch.testing.assert_close(found[atom, axis], -slope, rtol=0, atol=1e-8)
    assert found.abs().max() > 0.1


def test_gradients_are_those_of_the_forces(term, case):
    structures, species = case
    positions = structures.positions.clone().requires_grad_()
    F = features(term, structures, species, positions)
    g = random_like(F)
    (slope,) = torch.autograd.grad((g * F).sum(), positions)
    forces = term.force_features(structures, species)
    expected = -torch.einsum("nxk,nk->nx", forces, g[structures.index])
    torch.testing.assert_close(slope, expected, **EXACT)


def test_second_derivatives_are_slopes_of_the_first(term, case):
    structures, species = case
    g = random_like(features(term, structures, species))

    def slope(positions, create_graph=False):
        positions = positions.detach().requires_grad_()
        value = (g * features(term, structures, species, positions)).sum()
        (found,) = torch.autograd.grad(value, positions, create_graph=create_graph)
        return positions, found

    along = random_like(structures.positions, seed=1)
    h = 1e-5
    ends = [slope(structures.positions + sign * h * along)[1] for sign in (1, -1)]
    positions, first = slope(structures.positions, create_graph=True)
    (second,) = torch.autograd.grad((first * along).sum(), positions)
    torch.testing.assert_close(second, (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-6)


def test_rotations_and_permutations_change_nothing(term):
    structures, species = structures_of(periodic=False)
    expected = features(term, structures, species)
    turn = torch.linalg.qr(random_like(torch.zeros(3, 3))).Q
    turned = features(term, structures, species, structures.positions @ turn)
    torch.testing.assert_close(turned, expected, **EXACT)
    order = torch.tensor([1, 0, 4, 2, 3, 5, 7, 6])
    moved = replace(
        structures, positions=structures.positions[order], numbers=structures.numbers[order]
    )
    torch.testing.assert_close(features(term, moved, species[order]), expected, **EXACT)


def test_supercells_have_as_many_times_the_features(term):
    structures, species = structures_of(periodic=True)
    one, a = structures[:1], len(species[:5])
    cell = one.cell[0].numpy()
    atoms = Atoms("Cu2Au3", one.positions.numpy(), cell=cell, pbc=True) * (2, 1, 3)
    found = features(term, from_ase(atoms), species[:a].repeat(6))
    torch.testing.assert_close(found, 6 * features(term, one, species[:a]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("description", TERMS, ids=["pair", "embedding"])
@pytest.mark.parametrize("scale", [0.3, 20.0])
def test_lengths_have_no_unit(description, case, scale):
    """Structures and radii in another unit have the same features."""
    structures, species = case
    scaled = replace(structures, positions=scale * structures.positions)
    scaled = replace(scaled, cell=scale * structures.cell)
    expected = features(description.build(RADII), structures, species)
    found = features(description.build(scale * RADII), scaled, species)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_atoms_share_what_they_add_up_to(term, case):
    structures, species = case
    each = term.features(structures, species, torch.arange(8), 8)
    sums = each.new_zeros(2, each.shape[1]).index_add(0, structures.index, each)
    torch.testing.assert_close(sums, features(term, structures, species), **EXACT)
    assert (each.square().sum(-1) > 0).all()


@pytest.mark.parametrize("layers", [1, 3])
def test_fixed_atoms_are_put_aside(term, layers):
    """What the fixed atoms share is computed once, and nothing is lost."""
    space = Surface(fcc100("Au", (2, 2, layers), vacuum=6.0), "Cu2")
    structures = space.decode(space.sample(3, torch.Generator().manual_seed(0)))
    fixed = shared_fixed_atoms(structures)
    assert (fixed is not None) == bool(structures.fixed.any())
    species = (structures.numbers == 79).to(torch.int64)
    positions = structures.positions.clone().requires_grad_()
    moving = replace(structures, positions=positions)
    found = term.features(moving, species, structures.index, 3, fixed)
    expected = features(term, structures, species)
    torch.testing.assert_close(found, expected, **EXACT)
    g = random_like(found)
    (slope,) = torch.autograd.grad((g * found).sum(), positions)
    forces = torch.einsum("nxk,nk->nx", term.force_features(structures, species), g[moving.index])
    free = ~structures.fixed
    torch.testing.assert_close(slope[free], -forces[free], **EXACT)
    again = term.features(structures, species, structures.index, 3, fixed)
    torch.testing.assert_close(again, expected, **EXACT)


def test_coincident_atoms_have_features_and_no_force_between_them(term):
    structures = from_ase([Atoms("Cu2", [(0, 0, 0), (0, 0, 0)])])
    species = torch.zeros(2, dtype=torch.int64)
    assert features(term, structures, species).square().sum() > 0
    assert (term.force_features(structures, species) == 0).all()


def test_terms_survive_their_state(term, case):
    structures, species = case
    again = type(term).from_state({name: x.clone() for name, x in term.state().items()})
    assert torch.equal(features(again, structures, species), features(term, structures, species))
    assert type(term).from_state({}) is None


@pytest.mark.parametrize("description", [*TERMS, SpeciesConstants()])
def test_refuses_numbers_that_are_not_positive(description):
    for name in vars(description):
        with pytest.raises(ValueError, match=f"`{name}` must be positive"):
            replace(description, **{name: 0.0})


def test_float32_stays(term, case):
    structures, species = case
    single = structures.to(torch.device("cpu"), torch.float32)
    found = features(term, single, species)
    assert found.dtype == term.force_features(single, species).dtype == torch.float32
    expected = features(term, structures, species)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)


def test_pair_types_are_symmetric():
    types = pair_types(4)
    assert torch.equal(types, types.T)
    assert sorted(types[torch.triu_indices(4, 4).unbind()].tolist()) == list(range(10))


def test_no_terms_add_nothing(case):
    structures, species = case
    K = random_like(torch.zeros(2, 5))
    assert NO_TERMS.append_features(K, structures, species, structures.index) is K
    assert NO_TERMS.append_force_features(K, structures, species) is K
    assert NO_TERMS.state() == NO_TERMS.hyperparameters() == {}


def test_columns_are_the_features_of_some_terms(case):
    structures, species = case
    pairs, embedding, shorter = (one.build(RADII) for one in (*TERMS, PairTerm(length_scale=0.2)))
    every = EnergyTerms((pairs, embedding)).with_more([shorter])
    some = EnergyTerms((shorter, embedding))
    K = random_like(torch.zeros(2, 3))
    arguments = K, structures, species, structures.index
    columns = every.columns(some, 3)
    assert torch.equal(
        every.append_features(*arguments)[:, columns], some.append_features(*arguments)
    )


def test_features_and_deviations_stand_in_one_order(case):
    structures, species = case
    one = torch.ones(2, dtype=torch.float64)
    constants = SpeciesConstants().build(torch.eye(2).double(), one, 2.0)
    parts = (*(term.build(RADII) for term in TERMS), constants)
    terms = EnergyTerms(parts)
    sizes = [term.n_features for term in terms]
    found = terms.append_features(one.view(2, 1), structures, species, structures.index)
    assert found.shape[1] == 1 + sum(sizes) == 1 + terms.n_features
    for block, part in zip(found[:, 1:].split(sizes, -1), parts, strict=True):
        torch.testing.assert_close(block, features(part, structures, species))
    forces = terms.append_force_features(torch.zeros(8, 3, 1).double(), structures, species)
    assert (forces[..., -2:] == 0).all()
    std = terms.weight_std(one[0], 4, [3 * one[0], 5 * one[0], 7 * one[0]])
    blocks = terms.amplitude_blocks(4)
    assert [float(std[block].unique()) for block in blocks] == [3.0, 5.0, 7.0]
    assert [block.start for block in blocks] == [4, 4 + parts[0].n_short, 4 + sizes[0]]
    assert float(std[:4].unique()) == 1.0
    torch.testing.assert_close(std[-2:], constants.weight_std)
    fitted = terms.with_amplitudes(std, 4)
    assert fitted.hyperparameters() == {
        "pair_term_eV": 3.0,
        "long_range_pairs_eV": 5.0,
        "embedding_term_eV": 7.0,
    }


@pytest.fixture(scope="module", params=KINDS)
def some(request):
    symbols, shape = KINDS[request.param]
    return crystals(symbols, 3, shape=shape).without_results()


def place_of(structures):
    return (structures.numbers == 79).long()


@pytest.mark.parametrize("term", [PairTerm(range_factor=2.0), EmbeddingTerm(range_factor=2.0)])
def test_terms_follow_the_cell(some, term):
    built = term.build(RADII)
    g = torch.randn(built.n_features, generator=torch.Generator().manual_seed(0)).double()

    def function(structures):
        return built.features(structures, place_of(structures), some.index, 3) @ g

    assert_follows_cell(function, some)
    expected = by_strain(
        lambda s: built.features(s, place_of(s), some.index, 3).detach(), some
    ).transpose(1, 2)
    found = built.strain_features(some, place_of(some))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    if isinstance(term, PairTerm):
        pairs = find_pairs(some, built.cutoff)
        sums = built.tensor_strain(some.positions, pairs, place_of(some), some.index, 3)
        torch.testing.assert_close(sums @ built.root, found, rtol=1e-9, atol=1e-10)


def test_constants_do_not_change(some):
    counts = torch.tensor([[2.0, 1.0]], dtype=torch.float64)
    constants = SpeciesConstants().build(counts, torch.zeros(2), 1.0)
    assert not constants.strain_features(some, place_of(some)).any()
    terms = EnergyTerms((constants, PairTerm().build(RADII)))
    K = torch.ones(3, 6, 2, dtype=torch.float64)
    found = terms.append_strain_features(K, some, place_of(some))
    assert found.shape == (3, 6, 2 + terms.n_features)
    torch.testing.assert_close(found[..., 4:], terms.terms[1].strain_features(some, place_of(some)))


def test_cells_that_are_equal_have_gradients_of_their_own(some):
    """As has each of copies of one crystal."""
    one = some[0]
    both = Structures.cat([one, one, one])
    cell = both.cell.clone().requires_grad_()
    soap, term = SOAP((29, 79), 4.2), PairTerm().build(RADII)
    moved = replace(both, cell=cell)
    P = soap(moved)
    F = term.features(moved, place_of(both), both.index, 3)
    weight = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    ramp = torch.linspace(0, 1, soap.n_features, dtype=torch.float64)
    value = (weight[both.index] * (P @ ramp)).sum() + (weight * F.sum(-1)).sum()
    (gradient,) = torch.autograd.grad(value, cell)
    torch.testing.assert_close(gradient[1], 2 * gradient[0], rtol=1e-9, atol=1e-12)
    assert gradient[0].any()
    assert not gradient[2].any()
