"""Densities found from data, against potentials whose densities are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bostruct.spaces import Cluster
from bostruct.structures import Structures
from bostruct.surrogates import EmbeddingTerm, LocalGP
from bostruct.surrogates.local_gp.dot_product_kernel import PowerKernel
from bostruct.surrogates.local_gp.embedding_densities import JointLikelihood, densities_of
from bostruct.surrogates.local_gp.embedding_term import DECAY, FittedEmbeddingTerm

DECAYS = {("Cu", "Cu"): 4.6, ("Au", "Cu"): 6.1, ("Au", "Au"): 8.1}  # 2 q of Cleri and Rosato
HOPPING = {("Cu", "Cu"): 1.2, ("Au", "Cu"): 1.6, ("Au", "Au"): 1.8}  # eV


def effective(decay):
    """Return the decay at the bond length that does what one without core and cutoff does."""
    core, inverse_range = 0.35, 1 / 3.0
    return (decay - 6 * inverse_range**2 / (1 - inverse_range**2)) * (1 + core**2) ** 0.5


def second_moment(structures, radii):
    """Return the energies of a second-moment potential, `[b]` eV."""
    names = {29: "Cu", 79: "Au"}
    total = []
    parts = zip(
        structures.positions.split(structures.counts.tolist()),
        structures.numbers.split(structures.counts.tolist()),
        strict=True,
    )
    for P, Z in parts:
        species = [names[int(z)] for z in Z]
        kinds = [[tuple(sorted((a, b))) for b in species] for a in species]
        decay = torch.tensor([[DECAYS[kind] for kind in row] for row in kinds]).double()
        xi = torch.tensor([[HOPPING[kind] for kind in row] for row in kinds]).double()
        r0 = torch.tensor([[radii[a] + radii[b] for b in species] for a in species]).double()
        other = ~torch.eye(len(P), dtype=torch.bool)
        x = torch.where(other, (P - P.unsqueeze(1) + 1e-30).norm(dim=-1) / r0 - 1, 0.0)
        repulsion = (0.1 * torch.exp(-10.0 * x) * other).sum()
        density = (xi.square() * torch.exp(-decay * x) * other).sum(-1)
        total.append(repulsion - density.sqrt().sum())
    return torch.stack(total)


def lennard_jones(structures, radii):
    total = []
    for P in structures.positions.split(structures.counts.tolist()):
        x = (2.64 / torch.pdist(P)) ** 6
        total.append(0.3 * (x * x - 2 * x).sum())
    return torch.stack(total)


def labeled(formula, energy_of, n=6):
    """Return random clusters of the space with energies and forces."""
    space = Cluster(formula)
    structures = space.decode(space.sample(n, torch.Generator().manual_seed(0)))
    radii = dict(zip(("Cu", "Au"), (1.32, 1.36), strict=True))
    positions = structures.positions.requires_grad_()
    energy = energy_of(replace(structures, positions=positions), radii)
    (gradient,) = torch.autograd.grad(energy.sum(), positions)
    bare = replace(structures, positions=positions.detach())
    return replace(bare, energy=energy.detach(), forces=-gradient)


def decays(structures, **arguments):
    """Return the fitted decays over one bond length, `[species, species]`."""
    model = LocalGP(**arguments).fit(structures)
    (term,) = (term for term in model.terms if isinstance(term, FittedEmbeddingTerm))
    radii = model.fitted.radii
    return term.decay * (radii + radii.unsqueeze(-1))


@pytest.fixture(scope="module")
def copper():
    return labeled("Cu8", second_moment)


def test_the_decay_of_a_metal_is_found(copper):
    assert float(decays(copper)) == pytest.approx(effective(DECAYS["Cu", "Cu"]), rel=0.03)


def test_decays_of_pairs_of_species_are_found():
    found = decays(labeled("Cu5Au5", second_moment, n=8))
    assert torch.equal(found, found.T)
    expected = effective(torch.tensor([[4.6, 6.1], [6.1, 8.1]], dtype=torch.float64))
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0)


def test_without_densities_they_stay_typical():
    assert float(decays(labeled("Cu8", lennard_jones))) == pytest.approx(DECAY, rel=0.4)


def test_a_given_decay_is_kept(copper):
    found = decays(copper, embedding_term=EmbeddingTerm(decay=7.5))
    assert float(found) == pytest.approx(7.5, rel=1e-12)


def test_they_improve_predictions(copper):
    """Of clusters that were not seen, by several times."""
    train, test = copper[:4], copper[4:]
    errors = []
    for decay in (None, 8.0):
        model = LocalGP(embedding_term=EmbeddingTerm(decay=decay)).fit(train)
        errors.append(float((model.predict(test).forces - test.forces).abs().mean()))
    assert errors[0] < errors[1] / 2


def test_derivatives_are_central_differences():
    structures = labeled("Cu3Au3", second_moment, n=3)
    surrogate = LocalGP()
    soap, radii = surrogate.descriptor(structures)
    data, _, terms = surrogate._prepare(structures, soap, radii)
    description = surrogate.embedding_term
    likelihood = JointLikelihood(description, radii, terms, soap, PowerKernel(3), data, None)
    theta = np.array([0.1, -0.1, 0.2, 0.05, 0.1, -0.2])
    x = np.concatenate((likelihood.fit.logarithms() + 0.1, theta))
    _, slopes = likelihood.loss(x)
    for k in range(len(x)):
        step = 1e-5 * np.eye(len(x))[k]
        expected = (likelihood.loss(x + step)[0] - likelihood.loss(x - step)[0]) / 2e-5
        assert slopes[k] == pytest.approx(expected, rel=1e-5, abs=1e-4)
    x[: -len(theta)] += 400.0  # a step of a line search whose square is beyond all numbers
    assert likelihood.loss(x)[0] > 1e50


@pytest.mark.parametrize("unit", [2.0**-6, 2.0**6])
def test_energies_have_no_unit(copper, unit):
    other = replace(copper, energy=unit * copper.energy, forces=unit * copper.forces)
    assert torch.equal(decays(other), decays(copper))


def test_more_data_keep_them_until_they_are_twice_as_many(copper):
    """A campaign that was resumed fits without those of before; it must find the same."""
    surrogate = LocalGP()
    first = [surrogate.fit(copper[:n]).state()["embedding_term_decay"] for n in (4, 5, 6)]
    assert torch.equal(first[0], first[1])
    assert torch.equal(first[0], first[2])
    fresh = LocalGP().fit(copper).state()["embedding_term_decay"]
    assert torch.equal(fresh, first[2])
    twice = Structures.cat([copper, labeled("Cu8", second_moment, n=10)[6:]])
    assert not torch.equal(surrogate.fit(twice).state()["embedding_term_decay"], first[0])


def test_parameters_are_those_of_pairs_of_species():
    theta = np.log([1.5, 1.0, 0.5, 1.1, 2.0, 1.2, 3.0, 1.0, 0.5, 0.7, 2.5, 1.0])
    found = densities_of(theta, 3)
    expected = torch.tensor([[1.5, 1.0, 0.5], [1.0, 1.1, 2.0], [0.5, 2.0, 1.2]]).double()
    torch.testing.assert_close(found.decay, DECAY * expected)
    weight = torch.tensor([[3.0, 1.0, 0.5], [1.0, 0.7, 2.5], [0.5, 2.5, 1.0]]).double()
    torch.testing.assert_close(found.weight, weight)
    alone = densities_of(np.log([1.5]), 1)
    assert (float(alone.decay), float(alone.weight)) == (pytest.approx(1.5 * DECAY), 1.0)
