"""Descriptor and kernel that a truth of them is drawn from are found again."""

from dataclasses import replace

import pytest
import torch
from ase import Atoms
from ase.calculators.emt import EMT

from bostruct.campaign import Campaign
from bostruct.campaign.stop import Evaluations
from bostruct.candidates import BasinHopping
from bostruct.errors import InputError
from bostruct.evaluators import Calculator
from bostruct.spaces import Cluster
from bostruct.structures import Structures, from_ase
from bostruct.surrogates import LocalGP, PairTerm
from bostruct.surrogates.local_gp import kernel_selection as module
from bostruct.surrogates.local_gp.dot_product_kernel import ExponentialKernel, PowerKernel
from bostruct.surrogates.local_gp.exact_covariance import ExactRows, ForceRows
from bostruct.surrogates.local_gp.kernel_selection import (
    KernelSelection,
    LocalKernel,
    selection_size,
)
from bostruct.surrogates.local_gp.marginal_likelihood import (
    StandardDeviations,
    log_marginal_likelihood,
)
from bostruct.surrogates.local_gp.pair_term import LENGTH_SCALE
from bostruct.surrogates.training_data import prepare_observations
from tests.surrogates.dense import Dense

EXPONENTIALS = ExponentialKernel((0.3, 0.7), (0.03, 0.5))
NOTHING = KernelSelection(cutoff_factors=(), n_max=(), kernels=(), center_atom_weights=())
KERNELS = replace(NOTHING, kernels=(PowerKernel(6), EXPONENTIALS))
CUTOFFS = replace(NOTHING, cutoff_factors=(0.8, 1.35))


@pytest.fixture(scope="module")
def apart(space):
    """Return structures of many kinds, not relaxed."""
    return space.decode(space.sample(16, torch.Generator().manual_seed(11)))


def drawn(structures, seed=0, **settings):
    """Return structures with energies and forces drawn from a process, and some noise."""
    kernel = settings.pop("kernel", PowerKernel(3))
    soap = LocalGP(**settings).descriptor(structures)[0]
    n = structures.positions.numel()
    blank = replace(
        structures,
        energy=torch.zeros(len(structures), dtype=torch.float64),
        forces=torch.zeros_like(structures.positions),
    )
    data = prepare_observations(blank, None, torch.ones(len(structures.numbers)))
    rows = ForceRows.draw(data, n)
    F = ExactRows.compute(soap, data, rows).features_of(kernel)
    generator = torch.Generator().manual_seed(seed)
    y, noise = torch.randn(2, len(F), dtype=torch.float64, generator=generator)
    y = F @ y + 0.002 * noise
    b = len(structures)
    return replace(structures, energy=y[:b], forces=y[b:].view(-1, 3))


def plain(**arguments):
    terms = dict.fromkeys(("pair_repulsion", "pair_term", "embedding_term"))
    return LocalGP(**terms, **arguments)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kernel", [PowerKernel(3), EXPONENTIALS])
def test_the_kernel_of_the_truth_is_chosen(apart, kernel, seed):
    found = plain(selection=KERNELS).fit(drawn(apart, seed, kernel=kernel))
    assert found.kernel == kernel


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.35])
def test_the_cutoff_of_the_truth_is_chosen(apart, factor):
    default = LocalGP().descriptor(apart)[0].cutoff
    found = plain(selection=CUTOFFS).fit(drawn(apart, cutoff=factor * default))
    assert found.soap.cutoff == pytest.approx(factor * default)


def test_what_is_chosen_predicts_better(apart):
    whole = drawn(apart, kernel=EXPONENTIALS)
    train, test = whole[:12], whole[12:]
    chosen = plain(selection=KERNELS).fit(train).predict(test)
    default = plain().fit(train).predict(test)
    errors = ((found.forces - test.forces).square().mean() for found in (chosen, default))
    assert next(errors) < next(errors)


def test_the_choice_depends_on_no_order_of_atoms_and_no_frame(apart):
    data = drawn(apart, kernel=EXPONENTIALS)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    turn = turn.double()
    moved = replace(data, positions=data.positions @ turn + 5.0, forces=data.forces @ turn)
    order = torch.arange(len(data.numbers)).view(-1, 6).flip(-1).flatten()
    swapped = replace(data, positions=data.positions[order], forces=data.forces[order])
    gp = plain(selection=replace(KERNELS, cutoff_factors=(0.8, 1.35)))
    kinds = {(m.kernel, round(m.soap.cutoff, 9)) for m in map(gp.fit, (data, moved, swapped))}
    assert len(kinds) == 1


def test_values_that_are_given_are_kept(apart):
    data = drawn(apart, kernel=EXPONENTIALS)
    selection = KernelSelection()
    gp = plain(cutoff=3.5, n_max=4, center_atom_weight=30.0, zeta=2, selection=selection)
    found = gp.fit(data)
    assert found.kernel == PowerKernel(2)
    assert (found.soap.cutoff, found.soap.n_max, found.soap.l_max) == (3.5, 4, 4)
    assert found.soap.center_atom_weight == 30.0
    given = ExponentialKernel((1.0,), (0.2,))
    assert plain(kernel=given, selection=selection).fit(data[:3]).kernel == given
    assert plain().fit(data).kernel == PowerKernel(3)


def test_the_default_is_left_for_a_large_gain_only(apart):
    """Evidences of two alternatives that are a little better, and then much better."""
    data = prepare_observations(drawn(apart), None, torch.ones(len(apart.numbers)))
    default = LocalKernel(LocalGP().descriptor(apart)[0], PowerKernel(3))
    n_rows = 16 * 19
    for cutoff, rate in ((1.35, 0.05), (0.8, 0.15)):
        for factor in (0.9, 1.1):

            def sparse(one, _, gain=factor * rate * n_rows):
                return 0.0 if one == default else gain

            selection = replace(NOTHING, cutoff_factors=(cutoff,))
            exact = iter((0.0, 1.0, 0.0))
            found = selection.select(
                default, data, lambda *_, e=exact: next(e), sparse, select_similarity=False
            )
            assert (found != default) == (factor > 1)


def test_the_number_of_comparisons_is_bounded(mixed):
    data = prepare_observations(mixed, None, torch.ones(len(mixed.numbers)))
    default = LocalKernel(LocalGP().descriptor(mixed)[0], PowerKernel(3))
    exact, sparse = [], []
    KernelSelection().select(
        default,
        data,
        lambda *_: exact.append(1) or float(len(exact)),
        lambda *_: sparse.append(1) or 0.0,
        select_similarity=True,
    )
    assert 8 <= len(exact) <= 3 + 3 + 1 + 2 + 1 + 1
    assert len(sparse) == 3


@pytest.mark.parametrize("kernel", [PowerKernel(3), EXPONENTIALS])
def test_evidence_is_that_of_all_terms(mixed, kernel):
    """Beside the Gaussian whose covariance is written out, terms included."""
    train = mixed[:4]
    model = LocalGP(max_inducing=4, hyperparameters=(2.0, 0.1, 0.2)).fit(train)
    model.kernel, fit, terms = kernel, model.fitted, model.terms
    assert len(terms.terms) == 3
    blank = replace(train, energy=train.energy - train.energy.mean())
    data = prepare_observations(blank, None, torch.ones(len(train.numbers)))
    data = replace(data, noise_factor=torch.ones_like(data.noise_factor))

    def evidence(rows, _):
        m = len(rows.energies.moment) - terms.n_features
        s, e, f = fit.signal_std, fit.energy_noise_std, fit.force_noise_std
        std = terms.weight_std(s, m, terms.amplitudes)
        return float(log_marginal_likelihood(rows, StandardDeviations(s, e, f, std)))

    comparison = module._Comparison(model.soap, data, terms, evidence)
    found = comparison(LocalKernel(model.soap, kernel))
    dense, rows = Dense(model, blank), comparison.rows
    kept = torch.cat((torch.arange(4), 4 + 3 * rows.atom + rows.axis))
    C = fit.signal_std**2 * dense.kernel(dense.train, dense.train) + torch.diag(dense.noise)
    y = torch.cat((data.energy, data.forces[rows.atom, rows.axis]))
    gaussian = torch.distributions.MultivariateNormal(torch.zeros_like(y), C[kept][:, kept])
    assert found == pytest.approx(float(gaussian.log_prob(y)), rel=1e-6)


def test_numbers_to_show_tell_what_is_not_the_default(apart):
    few = drawn(apart)[:3]
    default = plain().fit(few).hyperparameters()
    given = plain(n_max=6, kernel=EXPONENTIALS).fit(few).hyperparameters()
    assert given["n_max"] == 6.0
    assert [given[f"kernel_length_scale_{k}"] for k in (1, 2)] == [0.03, 0.5]
    assert [given[f"kernel_weight_{k}"] for k in (1, 2)] == [0.3, 0.7]
    assert not {"n_max", "center_atom_weight", "zeta"} & default.keys()
    assert not any(name.startswith("kernel") for name in default)
    assert plain(zeta=2).fit(few).hyperparameters()["zeta"] == 2.0


def test_sizes_double():
    assert [selection_size(n) for n in (1, 3, 4, 7, 8, 15, 16, 33, 100)] == [
        *(1, 3, 4, 4, 8, 8, 16, 32, 64),
    ]


def test_is_made_anew_only_when_the_data_have_doubled(data, monkeypatch):
    sizes = []
    original = module.KernelSelection.select

    def counting(self, default, few, *arguments, **others):
        sizes.append(len(few.structures))
        return original(self, default, few, *arguments, **others)

    monkeypatch.setattr(module.KernelSelection, "select", counting)
    gp = plain(max_inducing=20, selection=KernelSelection())
    for count in (4, 5, 7, 8, 11, 11):
        gp.fit(data[:count])
    assert sizes == [4, 8]
    gp.fit(Structures.cat([data[1:2], data[:10]]))  # other ones
    assert sizes == [4, 8, 8]


def stiff_clusters(n, seed):
    """Distorted tetrahedra of a Morse potential that a long length scale cannot follow."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    noise = torch.randn(n, 4, 3, generator=generator, dtype=torch.float64)
    P = (2.7 / 8**0.5 * corners + 0.15 * noise).requires_grad_()
    i, j = torch.triu_indices(4, 4, 1)
    y = torch.exp(-14 * (torch.linalg.vector_norm(P[:, i] - P[:, j], dim=-1) / 2.6 - 1))
    energy = (y.square() - 2 * y).sum(-1)
    (slope,) = torch.autograd.grad(energy.sum(), P)
    data = Structures.cat([from_ase(Atoms("Cu4", p.numpy())) for p in P.detach()])
    return replace(data, energy=energy.detach(), forces=-slope.flatten(0, 1))


def test_a_stiff_potential_shortens_the_length_scale_of_pairs():
    train, test = stiff_clusters(16, 0), stiff_clusters(10, 1)
    errors, evidences = [], []
    for length_scale in (LENGTH_SCALE, None):
        pairs = PairTerm(length_scale=length_scale)
        gp = LocalGP(max_inducing=10, embedding_term=None, pair_term=pairs)
        model = gp.fit(train)
        errors.append((model.predict(test).mean - test.energy).abs().mean())
        evidences.append(float(model.fitted.log_marginal_likelihood))
    assert evidences[1] > evidences[0] + 10
    assert errors[1] < errors[0] / 2


def test_few_data_of_soft_matter_keep_the_default_length_scale_of_pairs(data):
    pairs = (PairTerm(), PairTerm(length_scale=LENGTH_SCALE))
    models = [LocalGP(max_inducing=20, pair_term=term).fit(data[:8]) for term in pairs]
    assert torch.equal(*(model.fitted.weights for model in models))


def test_the_same_data_give_the_same_model_with_and_without_a_history(data):
    arguments = {"max_inducing": 30, "selection": KernelSelection()}
    gp = LocalGP(**arguments)
    for count in (4, 8, 11):
        model = gp.fit(data[:count])
    state, again = model.state(), LocalGP(**arguments).fit(data[:11]).state()
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_a_chosen_kernel_survives_its_state(apart, space):
    data = drawn(apart, kernel=EXPONENTIALS)
    model = plain(selection=KERNELS).fit(data, space)
    again = LocalGP().restore(model.state(), space)
    assert again.kernel == EXPONENTIALS
    found, expected = (m.predict(data, force_variance=True) for m in (again, model))
    assert torch.equal(found.mean, expected.mean)
    assert torch.equal(found.variance, expected.variance)
    assert torch.equal(found.force_variance, expected.force_variance)


def test_states_and_descriptions_without_a_selection_are_those_of_earlier_versions(data):
    old = LocalGP()
    assert not {"kernel", "selection"} & old.description().keys()
    assert "kernel_exponentials" not in old.fit(data[:5]).state()
    assert LocalGP(selection=KERNELS).description()["selection"]["kernels"]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"cutoff_factors": (-1.0,)}, "`cutoff_factors` must be positive"),
        ({"n_max": (0,)}, "`n_max` must be an integer"),
        ({"center_atom_weights": (0.0,)}, "`center_atom_weights` must be positive"),
        ({"cutoff_factors": 0.8}, "`cutoff_factors` must be a tuple, got 0.8"),
        ({"kernels": ("power",)}, "`kernels` must hold instances of PowerKernel or Exp"),
    ],
)
def test_refuses(arguments, match):
    with pytest.raises(InputError, match=match):
        KernelSelection(**arguments)


def test_lists_are_tuples():
    kernel = ExponentialKernel([0.2, 0.8], [0.05, 0.5])
    given = KernelSelection(cutoff_factors=[0.8], kernels=[kernel])
    expected = ExponentialKernel((0.2, 0.8), (0.05, 0.5))
    assert given == KernelSelection(cutoff_factors=(0.8,), kernels=(expected,))
    assert hash(kernel) == hash(expected)


def test_a_resumed_campaign_is_the_same(tmp_path):
    """Selections at 4 and 8 structures, the session ends in between."""

    def campaign():
        return Campaign(
            Cluster("Cu4"),
            Calculator(EMT),
            surrogate=LocalGP(max_inducing=30, selection=KernelSelection()),
            search=BasinHopping(n_rounds=1, n_candidates=4),
            n_initial=3,
        )

    campaign().run(tmp_path / "once", stop=Evaluations(10))
    campaign().run(tmp_path / "twice", stop=Evaluations(6))
    campaign().run(tmp_path / "twice", stop=Evaluations(10))
    one, other = (campaign().read(tmp_path / name).trials() for name in ("once", "twice"))
    assert [trial.energy for trial in one] == [trial.energy for trial in other]
    assert len(one) == 10
