"""Stresses: trained on, predicted, and the same for all ways to write one crystal."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import bulk, fcc111, make_supercell
from ase.calculators.emt import EMT

from bostruct.structures import Structures, from_ase, to_ase
from bostruct.structures.strain import volumes
from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp.marginal_likelihood import (
    StandardDeviations,
    log_marginal_likelihood,
)
from bostruct.surrogates.local_gp.row_statistics import sufficient_statistics
from bostruct.surrogates.training_data import prepare_observations
from bostruct.surrogates.virials import virial_lengths
from tests.surrogates.crystals import FLAT, by_strain, crystals
from tests.surrogates.dense import written_out

DEVIATIONS = (2.0, 0.02, 0.05)
CASES = {
    "one species": (["Cu"] * 3, None),
    "flat cells": (["Cu", "Au"], FLAT),
    "one atom": (["Cu"], None),
}


@pytest.fixture(scope="module", params=CASES)
def train(request):
    symbols, shape = CASES[request.param]
    return crystals(symbols, 6, shape=shape)


def test_predicted_stress_is_that_of_the_mean(train):
    model = LocalGP().fit(train)
    new = train.without_results()
    prediction = model.predict(new)
    expected = by_strain(lambda s: model.predict(s).mean, new) / volumes(new).unsqueeze(-1)
    torch.testing.assert_close(prediction.stress, expected, rtol=1e-5, atol=1e-6)
    assert float((prediction.stress - train.stress).abs().mean()) < 0.5 * float(
        train.stress.abs().mean()
    )


def test_rows_are_derivatives_of_those_of_energies(train):
    """As are the covariances with the inducing environments, and the features of the terms."""
    model = LocalGP(max_inducing=15).fit(train)
    species_index = model.soap.species_index(train.numbers)
    gradients, b = model.soap.gradients(train), len(train)

    def energy(structures):
        P = model.soap(structures)
        K = model.inducing.energy_covariances(P, species_index, train.index, b)
        return model.terms.append_features(K, structures, species_index, train.index)

    P, by = gradients.features, gradients.by_strain()
    K = model.inducing.strain_covariances(P, by, species_index, train.index, b)
    found = model.terms.append_strain_features(K, train, species_index)
    expected = by_strain(energy, train).transpose(1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def explicit_features(model, structures):
    """Return features `[r, m]` and prior variances `[r]` of energies, forces and virials.

    Those of the virials are central differences of those of the energies.
    """
    species_index = model.soap.species_index(structures.numbers)

    def energies(structures):
        P = model.soap(structures)
        K = model.inducing.energy_covariances(P, species_index, structures.index, len(structures))
        phi = model.inducing.whiten(K)
        return model.terms.append_features(phi, structures, species_index, structures.index)

    K = model.inducing.force_covariances(model.soap.gradients(structures), species_index)
    phi = model.inducing.whiten(K)
    forces = model.terms.append_force_features(phi, structures, species_index).flatten(0, 1)
    virials = by_strain(energies, structures).transpose(1, 2).flatten(0, 1)
    g, first, second = written_out(model.kernel)
    variances = ([], [], [])
    for one in structures:
        P, kind = model.soap(one), model.soap.species_index(one.numbers)
        same = (kind.unsqueeze(-1) == kind).double()
        D = P @ P.T

        def of_soap(x, one=one):
            return model.soap(replace(one, positions=x))

        dP = torch.autograd.functional.jacobian(of_soap, one.positions).permute(2, 3, 0, 1)
        variances[0].append((g(D) * same).sum().view(1))
        for rows, slopes in (
            (variances[1], dP.flatten(0, 1)),
            (variances[2], by_strain(model.soap, one).permute(2, 0, 1)),
        ):
            L = slopes @ P.T
            v = (second(D) * same * L * L.mT).sum((-1, -2))
            rows.append(v + (first(D) * same * (slopes @ slopes.mT)).sum((-1, -2)))
    return torch.cat((energies(structures), forces, virials)), [torch.cat(v) for v in variances]


@pytest.mark.parametrize("approximation", ["dtc", "averaged_fitc"])
def test_fit_and_prediction_are_those_of_the_dense_process(train, approximation):
    """Of the inducing environments: every row of the likelihood in one matrix."""
    surrogate = LocalGP(
        hyperparameters=DEVIATIONS,
        approximation=approximation,
        label_noise=None,
        pair_repulsion=None,
        species_similarity=0.5,
    )
    model, (s, e, f) = surrogate.fit(train), DEVIATIONS
    F, variances = explicit_features(model, train)
    species_index = model.soap.species_index(train.numbers)
    counts, volume = train.counts, volumes(train).unsqueeze(-1)
    m, mean = len(model.inducing), model._prior_mean(train, species_index)
    y = torch.cat((train.energy - mean, train.forces.flatten(), (train.stress * volume).flatten()))
    radii = model.fitted.radii[species_index]
    trust = prepare_observations(train, None, radii).noise_factor.square()
    factors = [
        trust * counts,
        trust[train.index].repeat_interleave(3),
        (trust * virial_lengths(train, radii).square()).repeat_interleave(6),
    ]
    rest = [
        (v - F_v[:, :m].square().sum(-1)) / factor
        for v, F_v, factor in zip(
            variances, F.split([len(v) for v in variances]), factors, strict=True
        )
    ]
    unseen = [rest[0].mean(), rest[1].mean()]  # virials have that of the forces, as their noise
    if approximation == "dtc":
        unseen = [0.0, 0.0]
    D = torch.cat(
        (
            factors[0] * (e**2 + s**2 * unseen[0]),
            torch.cat(factors[1:]) * (f**2 + s**2 * unseen[1]),
        )
    )
    std = model.terms.weight_std(model.fitted.signal_std, m, model.terms.amplitudes)
    K = (F * std.square()) @ F.T + D.diag()
    L = torch.linalg.cholesky(K)
    news = torch.linalg.solve_triangular(L, y.unsqueeze(-1), upper=False).squeeze(-1)
    evidence = -news.square().sum() / 2 - L.diagonal().log().sum()
    evidence = evidence - len(y) * math.log(2 * math.pi) / 2
    fitted = model.fitted.log_marginal_likelihood
    torch.testing.assert_close(fitted, evidence, rtol=1e-5, atol=1e-3)

    new = crystals(train.symbols()[: int(counts[0])], 2, seed=5).without_results()
    prediction = model.predict(new, force_variance=True)
    F_new, prior = explicit_features(model, new)
    cross = (F_new * std.square()) @ F.T
    explained = torch.linalg.solve_triangular(L, cross.T, upper=False)
    latent = s**2 * (torch.cat(prior) - F_new[:, :m].square().sum(-1))
    latent = latent + (F_new.square() * std.square()).sum(-1) - explained.square().sum(0)
    volume = volumes(new).unsqueeze(-1)
    if approximation == "dtc":  # the mean of the other is that of refitted noises
        stress = (explained.T @ news)[-12:].view(2, 6) / volume
        torch.testing.assert_close(prediction.stress, stress, rtol=1e-4, atol=1e-5)
    found = prediction.stress_variance.sqrt() * volume
    torch.testing.assert_close(found, latent[-12:].sqrt().view(2, 6), rtol=1e-3, atol=1e-3)


def test_stress_helps_to_predict_stress():
    every = crystals(["Cu", "Au", "Cu"], 40, seed=3)
    train, new = every[:14], every[14:]
    errors = []
    for data in (train, replace(train, stress=None)):
        prediction = LocalGP().fit(data).predict(new.without_results(), force_variance=True)
        errors.append(float((prediction.stress - new.stress).square().mean().sqrt()))
        z2 = (prediction.stress - new.stress).square() / prediction.predictive_stress_variance
        assert 0.1 < float(z2.mean()) < 5
    assert errors[0] < 0.9 * errors[1]


def test_without_stress_nothing_changes(train):
    """Unknown stresses are none, and those of what is not periodic do not count."""
    bare = replace(train, stress=None)
    unknown = replace(train, stress=torch.full_like(train.stress, torch.nan))
    one, two = (LocalGP(max_inducing=20).fit(data).state() for data in (bare, unknown))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
    cluster = replace(bare, pbc=torch.zeros_like(bare.pbc))
    with_stress = replace(cluster, stress=train.stress)
    one, two = (LocalGP(max_inducing=20).fit(data).state() for data in (cluster, with_stress))
    for name, value in one.items():
        assert torch.equal(value, two[name]), name


def test_some_stresses_and_some_components_are_rows(train):
    stress = train.stress.clone()
    stress[::2] = torch.nan
    stress[1, 3:] = torch.nan
    data = replace(train, stress=stress)
    model = LocalGP(hyperparameters=DEVIATIONS, max_inducing=20).fit(data)
    radii = model.fitted.radii[model.soap.species_index(train.numbers)]
    rows = prepare_observations(data, model.pair_repulsion, radii)
    _, forces = sufficient_statistics(model.soap, model.inducing, rows, model.terms)
    assert forces.n_rows == 3 * len(train.numbers) + 3 + 6 + 6
    only = replace(train, forces=None)
    assert LocalGP(max_inducing=20).fit(only).predict(train).stress.isfinite().all()
    mixed = Structures.cat([data, replace(train[0], forces=None)])
    assert LocalGP(max_inducing=20).fit(mixed).predict(train).stress.isfinite().all()


def test_fitc_adds_what_is_unseen_of_each_row(train):
    """Its evidence is that of the averages where every row is alike, and differs where not."""
    model = LocalGP(hyperparameters=DEVIATIONS, max_inducing=8, approximation="fitc").fit(train)
    radii = model.fitted.radii[model.soap.species_index(train.numbers)]
    data = prepare_observations(train, model.pair_repulsion, radii)
    s, e, f = (torch.tensor(x, dtype=torch.float64) for x in DEVIATIONS)
    rows = sufficient_statistics(model.soap, model.inducing, data, signal_to_noise=(s / e, s / f))
    plain = sufficient_statistics(model.soap, model.inducing, data, with_residual=True)[1]
    assert rows.forces.n_rows == plain.n_rows
    assert float(plain.mean_residual_variance) > 0
    assert torch.isfinite(log_marginal_likelihood(rows, StandardDeviations(s, e, f)))
    assert float(rows.forces.log_factor_sum) > float(plain.log_factor_sum)


def test_an_absurd_stress_is_trusted_less():
    train = crystals(["Cu", "Au"], 8)
    radii = torch.full((len(train.numbers),), 1.3, dtype=torch.float64)
    usual = prepare_observations(train, None, radii).noise_factor
    stress = train.stress.clone()
    stress[2] *= 1e3
    found = prepare_observations(replace(train, stress=stress), None, radii).noise_factor
    assert found[2] > 100
    others = torch.arange(8) != 2
    torch.testing.assert_close(found[others], usual[others], rtol=0.5, atol=0)


def test_state_restores_the_stress(train):
    surrogate = LocalGP(max_inducing=20)
    model = surrogate.fit(train)
    again = surrogate.restore(model.state())
    one, two = (m.predict(train, force_variance=True) for m in (model, again))
    for name in ("stress", "stress_variance", "stress_noise_variance"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name


def variants(atoms):
    """Return the same crystal in other cells, and how many times it is there."""
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    turned = atoms.copy()
    turned.set_cell(atoms.cell @ rotation, scale_atoms=True)
    moved = atoms.copy()
    moved.positions += [0.3, -0.2, 0.9]
    moved.wrap()
    unimodular = make_supercell(atoms, [[1, 1, 0], [0, 1, 0], [0, 2, 1]])
    return [
        (turned, 1),
        (moved, 1),
        (unimodular, 1),
        (make_supercell(atoms, [[2, 0, 0], [0, 1, 0], [0, 0, 1]]), 2),
        (make_supercell(atoms, [[1, 1, 0], [-1, 1, 0], [0, 0, 2]]), 4),
    ]


@pytest.mark.parametrize("symbols", [["Cu", "Au"], ["Cu"]], ids=len)
def test_one_crystal_has_one_energy_and_stress(symbols):
    model = LocalGP().fit(crystals(symbols, 6))
    atoms = to_ase(crystals(symbols, 1, seed=9).without_results())[0]
    one = model.predict(from_ase(atoms), force_variance=True)
    others = variants(atoms)
    several = model.predict(from_ase([x for x, _ in others]), force_variance=True)
    for k, (_, n) in enumerate(others):
        torch.testing.assert_close(several.mean[k], n * one.mean[0], rtol=1e-9, atol=1e-7)
        if k:  # turned, the components are others
            torch.testing.assert_close(several.stress[k], one.stress[0], rtol=1e-6, atol=1e-8)
            std, expected = several.stress_variance[k].sqrt(), one.stress_variance[0].sqrt()
            torch.testing.assert_close(std, expected, rtol=1e-3, atol=1e-6)
        trace = several.stress[k, :3].sum()
        torch.testing.assert_close(trace, one.stress[0, :3].sum(), rtol=1e-6, atol=1e-8)


def test_a_layer_has_the_stress_of_its_cell():
    """That of ASE, with the vacuum in the volume; isolated atoms and held slabs have none."""
    layers = []
    for seed in range(6):
        atoms = fcc111("Cu", (1, 1, 2), vacuum=5.0)
        atoms.rattle(0.1, seed=seed)
        atoms.set_cell(atoms.cell * [0.97 + 0.01 * seed, 1, 1], scale_atoms=True)
        atoms.calc = EMT()
        atoms.get_stress()
        layers.append(atoms)
    train = from_ase(layers)
    model = LocalGP().fit(train)
    found = model.predict(train)
    torch.testing.assert_close(found.stress, train.stress, rtol=0.1, atol=2e-3)
    isolated = replace(train[0], pbc=torch.zeros(1, 3, dtype=torch.bool))
    held = replace(train[1], fixed=torch.tensor([True, False]))
    alone = model.predict(Structures.cat([isolated, held]), force_variance=True)
    assert alone.stress is alone.stress_variance is None
    both = model.predict(Structures.cat([isolated, train[1], held]), force_variance=True)
    assert both.stress.isnan().all(-1).tolist() == [True, False, True]
    assert both.stress_variance.isnan().all(-1).tolist() == [True, False, True]
    torch.testing.assert_close(both.forces[:2], alone.forces[:2])


def test_scale_of_energies_does_not_matter():
    train = crystals(["Cu", "Au"], 6)
    unit = 27.2
    other = replace(
        train, energy=train.energy * unit, forces=train.forces * unit, stress=train.stress * unit
    )
    one, two = (LocalGP().fit(data).predict(data) for data in (train, other))
    torch.testing.assert_close(two.stress / unit, one.stress, rtol=1e-4, atol=1e-5)


def test_one_atom_in_a_cell_is_learnt_from_its_stress():
    """One atom in a cell has no forces: its stress alone tells of its energy."""
    strains = np.random.default_rng(0).normal(scale=0.04, size=(12, 3, 3))
    images = []
    for e in strains:
        atoms = bulk("Cu")
        atoms.set_cell(atoms.cell @ (np.eye(3) + (e + e.T) / 2), scale_atoms=True)
        atoms.calc = EMT()
        atoms.get_stress()
        images.append(atoms)
    every = from_ase(images)
    errors = []
    for data in (every[:4], replace(every[:4], stress=None)):
        found = LocalGP().fit(data).predict(every[4:]).mean
        errors.append(float((found - every.energy[4:]).abs().mean()))
    assert errors[0] < 0.75 * errors[1]
