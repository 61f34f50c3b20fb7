"""LocalGP against the dense process it approximates, and what users lean on."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.optimize import BFGS

from bostruct.descriptors import SOAP
from bostruct.errors import InputError
from bostruct.spaces import Cluster
from bostruct.structures import Structures, from_ase, to_ase
from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp import inducing_points, marginal_likelihood
from bostruct.surrogates.local_gp.dot_product_kernel import ExponentialKernel, PowerKernel
from bostruct.surrogates.local_gp.energy_terms import NO_TERMS
from bostruct.surrogates.local_gp.inducing_points import displace, select_inducing_points
from bostruct.surrogates.local_gp.marginal_likelihood import (
    StandardDeviations,
    precision_matrix,
    weighted_moment,
)
from bostruct.surrogates.local_gp.model import LocalGPModel
from bostruct.surrogates.local_gp.pair_term import PairTerm
from bostruct.surrogates.local_gp.row_statistics import sufficient_statistics
from bostruct.surrogates.local_gp.species_constants import SpeciesConstants
from bostruct.surrogates.training_data import prepare_observations
from bostruct.uncertainty import Residuals
from tests.surrogates.dense import Dense, energies_only, labelled

DENSE = 3e-8  # relative; what is left of 1e-16 after the condition of the kernel, and the jitter
EXACT = 1e-10

ENVIRONMENTS = dict.fromkeys(("pair_term", "embedding_term", "species_constants"))  # no other term

# fixed deviations: signal eV, energy noise eV per root atom, force noise eV/Å
DEVIATIONS = (2.0, 0.02, 0.05)

EXPONENTIALS = ExponentialKernel((0.2, 0.8), (0.05, 0.5))


def all_inducing(**arguments):
    """Return a description that takes every environment that is not a copy."""
    return LocalGP(
        max_inducing=10_000,
        inducing_tolerance=1e-15,
        hyperparameters=DEVIATIONS,
        label_noise=None,
        **arguments,
    )


@pytest.fixture(params=["one species", "two species"])
def both(request, data, mixed):
    return data if request.param == "one species" else mixed


def calm(structures):
    """Return the structures without violent ones, which are trusted less."""
    size = torch.linalg.vector_norm(structures.forces, dim=-1)
    largest = torch.zeros(len(structures), dtype=size.dtype)
    largest = largest.scatter_reduce(0, structures.index, size, "amax")
    height = structures.energy - structures.energy.min()
    keep = (largest < 2 * largest.median()) & (height < 2 * height.median())
    return structures[keep]


def test_species_are_as_alike_as_the_data_say(alloy):
    """Gold and copper that do not differ, and then have nothing in common."""
    X = alloy.sample(16, torch.Generator().manual_seed(3))
    structures = alloy.decode(X)
    blind = structures.numbers.clone().fill_(29)
    one = labelled(X, Cluster("Cu6"), steps=0)
    same = replace(one, numbers=structures.numbers)
    assert set(blind.tolist()) == {29}
    assert LocalGP().fit(same, alloy).soap.species_similarity >= 0.8
    # like ions repel and unlike ones attract each other
    charge = (structures.numbers.view(16, 6) == 79).double() * 2 - 1
    sign = charge.unsqueeze(1) * charge.unsqueeze(2)
    moving = structures.positions.clone().requires_grad_()
    P = moving.view(16, 6, 3)
    square = (P.unsqueeze(1) - P.unsqueeze(2)).square().sum(-1)
    energy = (sign * torch.exp(-square / 8)).sum((1, 2))
    (slope,) = torch.autograd.grad(energy.sum(), moving)
    apart = replace(same, energy=energy.detach(), forces=-slope)
    assert LocalGP().fit(apart, alloy).soap.species_similarity <= 0.5
    assert LocalGP(species_similarity=0.3).fit(apart, alloy).soap.species_similarity == 0.3


@pytest.mark.parametrize("kernel", [None, EXPONENTIALS])
def test_equals_the_dense_process_on_energies(both, kernel):
    train, test = calm(both)[:12], both[-6:]
    model = all_inducing(kernel=kernel).fit(energies_only(train))
    dense = Dense(model, train, forces=False)
    mean, covariance = dense.predict(test)
    found = model.predict(test, covariance=True)
    relative(found.mean, mean)
    relative(found.variance, covariance.diagonal())
    relative(found.covariance, covariance)
    relative(model.fitted.log_marginal_likelihood, dense.log_evidence())


def test_equals_the_dense_process_on_forces_where_the_inducing_set_spans(data):
    """With power 1 the features span the kernel's space, whatever the rows are."""
    gp = LocalGP(
        n_max=2,
        label_noise=None,
        l_max=1,
        zeta=1,
        max_inducing=500,
        inducing_tolerance=1e-13,
        hyperparameters=(20.0, 0.02, 0.05),
    )
    train, test = calm(data)[:10], data[-5:]
    model = gp.fit(train)
    assert len(model.inducing) == model.soap.n_features
    dense = Dense(model, train)
    mean, covariance = dense.predict(test, forces=True)
    found = model.predict(test, force_variance=True)
    b = len(test)
    torch.testing.assert_close(found.mean, mean[:b], rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(found.forces.flatten(), mean[b:], rtol=1e-6, atol=1e-7)
    variance = covariance.diagonal()
    torch.testing.assert_close(found.variance, variance[:b], rtol=1e-4, atol=1e-8)
    found_forces = found.force_variance.flatten()
    torch.testing.assert_close(found_forces, variance[b:], rtol=1e-4, atol=1e-8)


def test_converges_to_the_dense_process_with_forces(data):
    """As the inducing set grows beyond the environments of the data."""
    train, test = calm(data)[:3], data[-6:]
    gp = LocalGP(hyperparameters=DEVIATIONS, label_noise=None)
    model = gp.fit(train)
    mean, covariance = Dense(model, train).predict(test)
    shaken = [displace(train, 0.02 * k) for k in range(12)]
    pool = torch.cat([model.soap(structures) for structures in shaken])
    place = torch.zeros(len(pool), dtype=torch.int64)
    errors, spreads = [], []
    for count in (10, 40, 160):
        inducing = select_inducing_points(
            pool,
            place,
            PowerKernel(3),
            max_inducing=count,
            tolerance=1e-10,
            n_preferred=18,
            max_pool=10_000,
        )
        found = refit(model, train, inducing).predict(test)
        errors.append((found.mean - mean).abs().mean())
        spreads.append((found.variance / covariance.diagonal()).log().abs().mean())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.02 * mean.std()
    assert spreads[0] > 5 * spreads[1] > 25 * spreads[2]


def test_more_data_never_increases_the_variance(data):
    """At fixed hyperparameters and inducing environments."""
    test = data[-8:]
    gp = LocalGP(max_inducing=30, hyperparameters=DEVIATIONS)
    few, many = calm(data)[:10], calm(data)[:16]
    model = gp.fit(few)
    before = refit(model, few).predict(test, force_variance=True)
    after = refit(model, many).predict(test, force_variance=True)
    assert (after.variance <= before.variance * (1 + EXACT)).all()
    assert (after.force_variance <= before.force_variance * (1 + EXACT)).all()


def test_noise_of_forces_is_in_the_variance_of_an_observed_one(data):
    """Forces with noise of known size: the observed variance covers, the latent one does not."""
    std = 0.4
    structures, generator = calm(data), torch.Generator().manual_seed(7)
    noise = torch.randn(structures.forces.shape, generator=generator).double()
    noisy = replace(structures, forces=structures.forces + std * noise)
    train, test = noisy[: len(noisy) // 2], noisy[len(noisy) // 2 :]
    found = LocalGP().fit(train).predict(test, force_variance=True)
    assert float(found.force_noise_variance.sqrt().mean()) == pytest.approx(std, rel=0.25)
    observed = Residuals.from_force_prediction(test.forces, found)
    latent = Residuals.from_force_prediction(test.forces, found, variance_kind="latent")
    assert latent.z.square().mean() > 3
    assert float(observed.z.square().mean()) == pytest.approx(1, rel=0.35)
    for width, share in ((0.6745, 0.5), (1.645, 0.9), (1.96, 0.95)):
        assert float((observed.z.abs() <= width).double().mean()) == pytest.approx(share, abs=0.08)


def refit(model, structures, inducing=None):
    """Return the model told other data, with the same deviations; all trusted."""
    fit, inducing = model.fitted, inducing or model.inducing
    place = model.soap.species_index(structures.numbers)
    data = prepare_observations(structures, model.pair_repulsion, fit.radii[place])
    counts = structures.counts.to(data.energy)
    energy = data.energy - counts * fit.species_energies
    data = replace(data, noise_factor=torch.ones_like(data.noise_factor), energy=energy)
    rows = sufficient_statistics(model.soap, inducing, data, model.terms)
    s, terms = fit.signal_std, model.terms
    std = terms.weight_std(s, len(inducing), terms.amplitudes)
    values = StandardDeviations(s, fit.energy_noise_std, fit.force_noise_std, std)
    factor = torch.linalg.cholesky(precision_matrix(rows, values))
    v = weighted_moment(rows, values).unsqueeze(-1)
    weights = torch.cholesky_solve(v, factor).squeeze(-1)
    told = replace(
        fit,
        precision_cholesky=factor,
        weights=weights,
        inducing_features=inducing.features,
        species_index=inducing.species_index,
        kernel_cholesky=inducing.kernel_cholesky,
    )
    return LocalGPModel(
        model.soap,
        model.kernel,
        model.pair_repulsion,
        told,
        terms=terms,
        label_noise=model.label_noise,
    )


def test_far_from_the_data_the_deviation_is_the_priors(data):
    """A chain and lone atoms are unlike anything in compact clusters of copper."""
    changes = {"n_max": 6, "center_atom_weight": 1.0, "zeta": 8, "label_noise": None}
    model = LocalGP(**changes, **ENVIRONMENTS).fit(data)
    strange = from_ase([Atoms("Cu2", [[0, 0, 0], [0, 0, 1.2]])])
    P, _ = model._features(strange)
    same = (P @ P.T).pow(8).sum()
    prior = model.fitted.signal_std**2 * same
    variance = model.predict(strange).variance
    assert variance / prior > 0.5
    near = model.predict(data[:1]).variance
    assert near / prior < 1e-3


def test_subset_of_regressors_is_most_certain_where_nothing_is_known(data):
    """The trap: less than what is open elsewhere, and the search never goes there."""
    few = {"n_max": 6, "center_atom_weight": 1.0, "zeta": 8, "max_inducing": 20} | ENVIRONMENTS
    few["label_noise"] = None
    strange = from_ase([Atoms("Cu2", [[0, 0, 0], [0, 0, 1.2]])])
    sor, dtc = (LocalGP(**few, approximation=kind).fit(data) for kind in ("sor", "dtc"))
    assert sor.predict(strange).variance < 0.5 * dtc.predict(strange).variance
    assert torch.equal(sor.predict(strange).mean, dtc.predict(strange).mean)


@pytest.mark.parametrize(
    "count", [5, *(pytest.param(n, marks=pytest.mark.slow) for n in (30, 500))]
)
def test_sor_is_between_nothing_and_dtc(both, count):
    train, test = both[:10], both[-10:]
    found = []
    for kind in ("sor", "dtc"):
        model = LocalGP(max_inducing=count, approximation=kind).fit(train)
        found.append(model.predict(test, covariance=True, force_variance=True))
    sor, dtc = found
    slack = EXACT * dtc.variance.max()
    assert (sor.variance > 0).all()
    assert (sor.variance <= dtc.variance + slack).all()
    assert (sor.force_variance >= 0).all()
    assert (sor.force_variance <= dtc.force_variance + EXACT).all()
    rest = dtc.covariance - sor.covariance  # what the inducing environments miss
    assert torch.linalg.eigvalsh(rest).min() > -slack
    torch.testing.assert_close(sor.covariance.diagonal(), sor.variance)


def test_sor_is_its_definition(data):
    """phi^T A^-1 phi', with every matrix written out."""
    model = LocalGP(max_inducing=15, approximation="sor", label_noise=None).fit(data[:10])
    P, place = model._features(data[-5:])
    K = model.inducing.energy_covariances(P, place, data[-5:].index, 5)
    phi = model.inducing.whiten(K)
    phi = model.terms.append_features(phi, data[-5:], place, data[-5:].index)
    expected = phi @ torch.cholesky_inverse(model.fitted.precision_cholesky) @ phi.T
    relative(model.predict(data[-5:], covariance=True).covariance, expected)


def test_with_all_environments_sor_is_exact_at_the_data_only(data):
    """And fitc is exact everywhere: there is nothing that it does not see."""
    train, test = energies_only(calm(data)[:12]), data[-6:]
    sor, fitc = (all_inducing(approximation=kind).fit(train) for kind in ("sor", "fitc"))
    dense = Dense(sor, train, forces=False)
    for structures, whole in ((train, True), (test, False)):
        mean, covariance = dense.predict(structures)
        exact = covariance.diagonal()
        relative(sor.predict(structures).mean, mean)
        relative(fitc.predict(structures).mean, mean)
        relative(fitc.predict(structures).variance, exact)
        gap = (sor.predict(structures).variance - exact).abs().max() / exact.max()
        assert (gap < DENSE) == whole


@pytest.mark.parametrize(
    ("max_unseen", "forces"),
    [
        (0.0, True),
        (math.inf, True),
        (math.inf, False),
        pytest.param(0.0, False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("kind", ["fitc", "averaged_fitc"])
def test_what_is_not_seen_is_noise_by_definition(both, forces, kind, max_unseen, monkeypatch):
    """Dense: Q + diag(K - Q) + noise between the data, Q to others, K among them.

    The diagonal is each row's own, or the mean of its kind, and then the mean of the energies is
    that without it if the inducing environments express the forces.
    """
    monkeypatch.setattr(marginal_likelihood, "MAX_UNSEEN", max_unseen)
    train, test = calm(both)[:4], both[-5:]
    train = train if forces else energies_only(train)
    gp = replace(all_inducing(approximation=kind), max_inducing=12, inducing_tolerance=1e-6)
    model = gp.fit(train)
    dense, s = Dense(model, train, forces), model.fitted.signal_std
    assert (
        prepare_observations(train, gp.pair_repulsion, _radii(model, train)).noise_factor == 1
    ).all()
    prior = dense.kernel(dense.train, dense.train).diagonal()
    phi = dense.features(train, forces)
    Q = s**2 * phi @ phi.T
    rest = s**2 * prior - Q.diagonal()
    if kind == "averaged_fitc":  # in units of the rows' factors, which are the atoms
        atoms = train.counts.to(rest)
        energies, others = rest[: len(train)], rest[len(train) :]
        rest = torch.cat((atoms * (energies / atoms).mean(), others))
        rest[len(train) :] = others.mean() if forces else 0.0
    C = Q + torch.diag(rest + dense.noise)
    ours = dense.features(test, forces=False)
    cross = s**2 * ours @ phi.T
    plain = replace(gp, approximation="dtc").fit(train).predict(test)
    mean = dense.prior(test)[0] + cross @ torch.linalg.solve(C, dense.y)
    assert (mean - plain.mean).abs().max() > 1e3 * DENSE * mean.abs().max()
    rows = dense.rows(test, forces=False)
    full = s**2 * dense.kernel(rows, rows)
    expected = full - cross @ torch.linalg.solve(C, cross.T)
    found = model.predict(test, covariance=True)
    is_seen = max_unseen > 0 or not forces
    relative(found.mean, plain.mean if kind == "averaged_fitc" and is_seen else mean)
    relative(found.covariance, expected)
    gaussian = torch.distributions.MultivariateNormal(torch.zeros_like(dense.y), C)
    evidence = gaussian.log_prob(dense.y)
    relative(model.fitted.log_marginal_likelihood, evidence)


def _radii(model, structures):
    return model.fitted.radii[model.soap.species_index(structures.numbers)]


def test_forces_of_one_structure_among_many_are_enough(data):
    """However few they are, what is not seen of them is told."""
    forces = data.forces.clone().view(40, 6, 3)
    forces[torch.arange(40) != 7] = torch.nan
    gp = LocalGP(max_inducing=30, approximation="fitc")
    found = gp.fit(replace(data, forces=forces.view(-1, 3)))
    assert found.fitted.log_marginal_likelihood.isfinite()
    assert found.predict(data).mean.isfinite().all()


@pytest.mark.parametrize("kind", ["sor", "fitc"])
def test_a_kind_of_variance_survives_its_state(data, space, kind):
    model = LocalGP(max_inducing=30, approximation=kind).fit(data[:8], space)
    again = LocalGP().restore(model.state(), space)
    found, expected = (m.predict(data, force_variance=True) for m in (again, model))
    assert again.approximation == kind
    assert torch.equal(found.mean, expected.mean)
    assert torch.equal(found.variance, expected.variance)
    assert torch.equal(found.force_variance, expected.force_variance)


def test_averaged_residuals_leave_the_mean_of_dtc_and_a_narrower_deviation(data):
    """Fitted: of hyperparameters, too; where the environments express the forces."""
    train, test = data[:20], data[-10:]
    one, other = (
        LocalGP(max_inducing=40, approximation=kind).fit(train).predict(test)
        for kind in ("dtc", "averaged_fitc")
    )
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.forces, other.forces)
    assert other.variance.mean() < one.variance.mean()


def homotops(seed):
    """Return two random structures of Au4Cu6, and two with its atoms exchanged, nearly relaxed."""
    space = Cluster("Au4Cu6")
    rng = np.random.default_rng(seed)
    X = space.sample(2, torch.Generator().manual_seed(seed))
    found = to_ase(space.decode(X))
    relaxed = found[1].copy()
    relaxed.calc = EMT()
    BFGS(relaxed, logfile=None).run(fmax=0.05, steps=100)
    for _ in range(2):
        atoms = relaxed.copy()
        atoms.numbers = rng.permutation(atoms.numbers)
        atoms.calc = EMT()
        BFGS(atoms, logfile=None).run(fmax=0.05, steps=15)
        found.append(atoms)
    for atoms in found:
        atoms.calc = EMT()
        atoms.get_forces()
    return from_ase(found)


@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 2))])
def test_energies_of_homotops_are_not_taken_for_noise(seed):
    """A few structures of an alloy have more forces than their environments can express."""
    train = homotops(seed)
    found = LocalGP().fit(train).predict(train.without_results())
    z = (train.energy - found.mean) / found.predictive_variance.sqrt()
    assert z.abs().max() < 2


def test_what_was_saved_before_there_were_kinds_is_dtc(data, space):
    """Neither its state nor its description names it, so old runs go on."""
    old = LocalGP(max_inducing=30, approximation="dtc")
    model = old.fit(data[:4], space)
    assert "approximation" not in model.state()
    assert LocalGP().restore(model.state(), space).approximation == "dtc"
    assert "approximation" not in old.description()
    assert LocalGP().description()["approximation"] == "averaged_fitc"


def test_what_was_saved_before_there_were_terms_has_none(data, space):
    """Neither its state nor its description names them, so old runs go on."""
    old = LocalGP(max_inducing=30, **ENVIRONMENTS)
    model = old.fit(data[:4], space)
    assert not any("term" in name or "constants" in name for name in model.state())
    assert LocalGP().restore(model.state(), space).terms == NO_TERMS
    assert not set(ENVIRONMENTS) & set(old.description())
    assert set(ENVIRONMENTS) < set(LocalGP().description())
    assert "pair_term_eV" not in model.hyperparameters()


@pytest.mark.parametrize("species", ["one species of two sizes", "two species"])
def test_energies_of_the_species_change_nothing(data, mixed, species):
    """Totals of a code, of -36,000 and -24,000 eV an atom."""
    small = labelled(*small_clusters(), steps=3)
    two = species == "two species"
    train = mixed[:20] if two else Structures.cat([data[:20], small])
    test = (mixed if two else data)[20:]
    gp = LocalGP(max_inducing=60, species_similarity=0.5)

    def shifted(structures):
        per_atom = torch.where(structures.numbers == 79, -36e3, -24e3).double()
        energy = structures.energy.index_add(0, structures.index, per_atom)
        return replace(structures, energy=energy)

    expected, found = gp.fit(train), gp.fit(shifted(train))
    evidences = (model.fitted.log_marginal_likelihood for model in (found, expected))
    torch.testing.assert_close(*evidences, rtol=1e-6, atol=1e-3)
    expected, found = (m.predict(test, force_variance=True) for m in (expected, found))
    torch.testing.assert_close(found.forces, expected.forces, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.variance, expected.variance, rtol=1e-3, atol=1e-8)
    error = found.mean - shifted(test).energy
    torch.testing.assert_close(error, expected.mean - test.energy, rtol=0, atol=1e-5)


def test_an_atom_that_is_pulled_out_is_uncertain(data):
    """Of a copper cluster, until it is alone: σ grows, and the error is one of it."""
    model = LocalGP().fit(data[:30])
    one = data[30:31]
    center = one.positions.mean(0)
    atom = int((one.positions - center).norm(dim=-1).argmax())
    along = (one.positions[atom] - center) / (one.positions[atom] - center).norm()
    sigmas, errors = [], []
    for distance in (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 20.0):
        positions = one.positions.clone()
        positions[atom] += distance * along
        atoms = Atoms("Cu6", positions.numpy(), calculator=EMT())
        found = model.predict(replace(one, positions=positions))
        sigmas.append(float(found.variance.sqrt()))
        errors.append(float(found.mean) - atoms.get_potential_energy())
    assert all(b > 0.98 * a for a, b in itertools.pairwise(sigmas))
    assert sigmas[-1] > 10 * sigmas[0]
    assert max(abs(e) / s for e, s in zip(errors, sigmas, strict=True)) < 3


def test_forces_beyond_the_cutoff_are_uncertain(data):
    """Two atoms 5.5 Å apart see nothing of each other in their environments."""
    model = LocalGP().fit(data[:10])
    apart = from_ase([Atoms("Cu2", [(0, 0, 0), (0, 0, 5.5)])])
    assert model.soap.cutoff < 5.5
    variance = model.predict(apart, force_variance=True).force_variance
    assert variance[0, 2] > 1e-6
    alone = LocalGP(**ENVIRONMENTS).fit(data[:10]).predict(apart, force_variance=True)
    assert (alone.force_variance == 0).all()


def test_compositions_that_the_data_leave_open_are_uncertain(mixed):
    """From Au3Cu3 alone, Cu6 may have any energy up to the size of the means."""
    only = mixed[:10]
    only = replace(only, energy=only.energy - 6000.0)
    model = LocalGP(species_similarity=0.5).fit(only)
    blind = replace(only[:1], numbers=torch.full_like(only[:1].numbers, 29))
    same, other = (float(model.predict(x).variance.sqrt()) for x in (only[:1], blind))
    assert same < 1
    assert 1000 < other < 10_000


def test_coincident_and_symmetric_environments_do_not_break_it(data):
    ring = Atoms("Cu6")
    angles = torch.arange(6) * torch.pi / 3
    ring.positions[:, 0] = 2.5 * angles.cos()
    ring.positions[:, 1] = 2.5 * angles.sin()
    copies = []
    for shift in (0.0, 1e-9, 1e-6):
        atoms = ring.copy()
        atoms.positions[0, 2] += shift
        atoms.calc = EMT()
        atoms.get_potential_energy()
        atoms.get_forces()
        copies.append(atoms)
    train = Structures.cat([from_ase(copies), data[:3], data[:3], from_ase(copies)])
    model = LocalGP(inducing_tolerance=1e-12).fit(train)
    found = model.predict(train)
    assert found.mean.isfinite().all()
    assert (found.variance >= 0).all()
    assert (found.mean - train.energy).abs().max() < 0.1


def test_one_and_two_structures_are_enough(data):
    for count in (1, 2):
        found = LocalGP().fit(data[:count]).predict(data[:5])
        assert found.mean.isfinite().all()
        assert (found.variance > 0).all()
        torch.testing.assert_close(found.mean[:count], data.energy[:count], atol=0.3, rtol=0)


def test_exploded_structure_does_not_spoil_the_fit(data):
    burst = data[:1]
    burst = replace(burst, energy=burst.energy + 1e4, forces=burst.forces * 1e5, fixed=burst.fixed)
    test = data[-10:]
    clean = LocalGP().fit(data[:25]).predict(test)
    dirty = LocalGP().fit(Structures.cat([data[1:25], burst])).predict(test)
    error = (clean.mean - test.energy).abs().mean()
    assert (dirty.mean - test.energy).abs().mean() < 3 * error


def test_sizes_and_missing_forces_mix(data):
    small = labelled(*small_clusters(), steps=3)
    some = replace(data[:10], forces=None)
    train = Structures.cat([data[10:20], some, small])
    found = LocalGP().fit(train).predict(train)
    per_atom = (found.mean - train.energy).abs() / train.counts
    assert per_atom.mean() < 0.05


def small_clusters():
    space = Cluster("Cu4")
    return space.sample(6, torch.Generator().manual_seed(5)), space


def test_periodic_structures():
    found = []
    for scale in (0.97, 1.0, 1.03):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell * scale, scale_atoms=True)
        atoms.rattle(0.05, seed=1)
        atoms.calc = EMT()
        atoms.get_potential_energy()
        atoms.get_forces()
        found.append(atoms)
    train = from_ase(found)
    model = LocalGP(label_noise=None).fit(train)
    prediction = model.predict(train)
    assert (prediction.mean - train.energy).abs().max() < 0.05
    doubled = model.predict(from_ase(found[1] * (1, 1, 2)))
    torch.testing.assert_close(doubled.mean[0], 2 * prediction.mean[1], atol=1e-8, rtol=0)
    # identical environments err together: the deviation doubles, not the variance
    torch.testing.assert_close(
        doubled.variance[0], 4 * prediction.variance[1], rtol=1e-6, atol=1e-12
    )


def test_forces_are_the_slope_of_the_mean(data):
    model, one = LocalGP().fit(data[:20]), data[25:26]
    h = 1e-4
    for atom, axis in ((0, 0), (3, 2)):
        ends = []
        for sign in (1, -1):
            positions = one.positions.clone()
            positions[atom, axis] += sign * h
            ends.append(model.predict(replace(one, positions=positions)).mean)
        slope = (ends[0] - ends[1]) / (2 * h)
        found = model.predict(one).forces[atom, axis]
        torch.testing.assert_close(found, -slope[0], atol=1e-5, rtol=1e-5)


def test_local_energies_sum_to_the_energy_without_the_pair_prior(data):
    model = LocalGP(pair_repulsion=None).fit(data[:20])
    found = model.predict(data[20:30])
    sums = torch.zeros(10, dtype=torch.float64)
    sums = sums.index_add(0, data[20:30].index, found.atomic_energies)
    torch.testing.assert_close(sums, found.mean, atol=1e-8, rtol=0)


def test_is_calibrated_and_accurate_on_held_out_clusters(data):
    """Coverage of 14 of 20 held-out energies within 1σ has probability 0.68 each;
    fewer than 8, or a mean z² of 4, would happen by chance less than once in 1,000."""
    found = LocalGP().fit(data[:20]).predict(data[20:])
    test = data[20:]
    z = (found.mean - test.energy) / found.predictive_variance.sqrt()
    assert (found.mean - test.energy).abs().mean() / 6 < 0.02
    assert (z.abs() < 1).sum() >= 8
    assert z.square().mean() < 4


def test_same_data_same_model(data):
    one, other = (LocalGP().fit(data[:12]).state() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_state_restores_the_model_exactly(data, space):
    gp = LocalGP()
    model = gp.fit(data[:12], space)
    state = {name: value.clone() for name, value in model.state().items()}
    again = gp.restore(state, space)
    found, expected = again.predict(data), model.predict(data)
    assert torch.equal(found.mean, expected.mean)
    assert torch.equal(found.variance, expected.variance)
    assert again.hyperparameters() == model.hyperparameters()


def test_length_scale_of_the_space_is_used(data):
    wide = Cluster("Cu6", atomic_radii={"Cu": 2.64})
    model = LocalGP().fit(data[:5], wide)
    assert model.soap.cutoff == pytest.approx(1.9 * 2 * 2.64)
    assert LocalGP(cutoff=3.0).fit(data[:5], wide).soap.cutoff == 3.0


def test_cost_of_a_structure_is_linear_in_their_number(data, monkeypatch):
    """Counted, not timed: each structure's slopes are computed once."""
    rows = []
    original = SOAP.gradients

    def counting(self, structures):
        rows.append(len(structures))
        return original(self, structures)

    monkeypatch.setattr(SOAP, "gradients", counting)
    gp = LocalGP(max_inducing=20, pair_term=PairTerm(length_scale=0.36))
    gp.fit(data[:10])
    gp.fit(data[:30])
    assert rows == [8, 10, 8, 30]  # of the eight that tell the densities, and of all


def test_description_is_json():
    assert json.loads(json.dumps(LocalGP().description()))["type"] == "LocalGP"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"cutoff": -1.0}, "`cutoff` must be positive"),
        ({"zeta": 0}, "`zeta` must be an integer"),
        ({"max_inducing": 0}, "`max_inducing` must be an integer"),
        ({"inducing_tolerance": 1.0}, "`inducing_tolerance` must be between 0 and 1"),
        (
            {"approximation": "gap"},
            "`approximation` must be one of 'sor', 'dtc', 'fitc', 'averaged_fitc'",
        ),
        ({"hyperparameters": (1.0, 0.0, 1.0)}, "`hyperparameters` must be positive"),
        ({"hyperparameters": (1.0, 0.1)}, "`hyperparameters` must be three numbers"),
        ({"pair_term": True}, "`pair_term` must be an instance of PairTerm, got True. None"),
        ({"embedding_term": PairTerm()}, "`embedding_term` must be an instance of Embedding"),
        ({"species_constants": SpeciesConstants}, "`species_constants` must be an instance"),
        ({"pair_repulsion": False}, "`pair_repulsion` must be an instance of PairRepulsion"),
        ({"kernel": PowerKernel(6)}, "`kernel` must be an instance of ExponentialKernel"),
        ({"selection": True}, "`selection` must be an instance of KernelSelection"),
    ],
)
def test_refuses(arguments, match):
    with pytest.raises(InputError, match=match):
        LocalGP(**arguments)


def relative(found, expected):
    size = expected.abs().max()
    assert (found - expected).abs().max() < DENSE * size


@pytest.mark.parametrize("chunk", [1, 100, 8192])
def test_a_pool_is_the_same_in_any_chunks(data, monkeypatch, chunk):
    """Of 240 environments every fourth may be chosen; in chunks of 1, 2 and 40."""
    monkeypatch.setattr(inducing_points, "MAX_CANDIDATES", 60)
    monkeypatch.setattr("bostruct.surrogates.training_data.PAIRS_PER_CHUNK", chunk)
    found = LocalGP(max_inducing=50).fit(data).inducing.features
    P = LocalGP().fit(data[:1]).soap(data)[::4]
    assert len(P) == 60
    missed = (found.unsqueeze(1) - P).abs().amax(-1).amin(-1)
    assert float(missed.max()) < 1e-12
    assert len(found) > 30


@pytest.mark.slow
def test_a_cluster_of_two_hundred_atoms():
    """Three structures tell the fourth, and the search can follow the acquisition."""
    space = Cluster("Cu200")
    X = space.sample(4, torch.Generator().manual_seed(0))
    structures = labelled(X, space, steps=4)
    train, held = structures[:3], structures[3:]
    model = LocalGP().fit(train, space)
    found = model.predict(held)
    spread = held.forces.abs().mean()
    assert (found.forces - held.forces).abs().mean() < 0.2 * spread
    missed = (found.mean - held.energy).abs() / found.predictive_variance.sqrt()
    assert float(missed) < 4
    x = space.encode(held).unsqueeze(-2).requires_grad_()
    posterior = model.posterior(x)
    (slope,) = torch.autograd.grad((posterior.mean - posterior.variance).sum(), x)
    assert slope.isfinite().all()
    assert slope.abs().max() > 0
