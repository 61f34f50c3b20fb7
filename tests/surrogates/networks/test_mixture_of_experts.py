import json
from dataclasses import replace

import pytest
import torch

from bostruct.errors import InputError
from bostruct.structures import Structures
from bostruct.surrogates import LastLayer, LowRankModel, MixtureOfExperts
from bostruct.surrogates.networks.bayesian_readout import BayesianReadout
from bostruct.surrogates.networks.last_layer import LastLayerPredictor
from bostruct.surrogates.networks.mixture_of_experts import (
    MODES,
    GatedExperts,
    _split_experts,
)
from bostruct.surrogates.networks.network import NetworkConfig
from bostruct.uncertainty import density_gates, distance_gates, mix_experts

SMALL = NetworkConfig(n_components=12, width=8, n_steps=60, n_max=3, l_max=2)


def stretched(structures, factor):
    """The same structures, wider: another kind."""
    return replace(structures, positions=factor * structures.positions)


@pytest.fixture(scope="module")
def model(data, space):
    return MixtureOfExperts(SMALL, n_experts=3, n_axes=2).fit(data, space)


@pytest.fixture(scope="module")
def new(data):
    return stretched(data[:6].without_results(), 1.03)


def experts(model, new):
    """Energies and variances of each expert `[b, K]`, less the prior, and gates."""
    whole = model.predictor
    x, place = whole.featurizer(new)
    prior = whole.featurizer.prior_mean(new, place)
    rows = [value.unbind() for value in vars(whole.readout).values()]
    last = [BayesianReadout(*parts) for parts in zip(*rows, strict=True)]
    none = x.new_zeros(len(last[0].mean), 0)
    found = [
        LastLayerPredictor(whole.featurizer, weights, one, torch.ones(()), none).predict(new)
        for weights, one in zip(_split_experts(whole.weights), last, strict=True)
    ]
    total = x.new_zeros(len(new), x.shape[1]).index_add(0, new.index, x)
    seen = total / new.counts.unsqueeze(1)
    if whole.sharpness is None:
        gates = density_gates(whole.gating.log_density(seen))
    else:
        gates = distance_gates(whole.gating.distances(seen), sharpness=whole.sharpness)
    y = torch.stack([one.mean - prior for one in found], 1)
    s2 = torch.stack([one.covariance_root.square().sum(1) for one in found], 1)
    return prior, y, s2, gates


@pytest.mark.parametrize("sharpness", [None, 3.0])
@pytest.mark.parametrize("mode", MODES)
def test_it_is_the_mixture_of_its_experts(model, space, new, mode, sharpness):
    """Means, variances in each mode, and a noise that is theirs."""
    whole = replace(model.predictor, mode=mode, sharpness=sharpness)
    belief = whole.predict(new)
    prior, y, s2, gates = experts(LowRankModel(whole, space), new)
    assert gates.shape == (6, 3)
    assert float(gates.max(1).values.min()) < 0.999, "else the test shows little"
    expected = mix_experts(y, s2, gates, mode)
    torch.testing.assert_close(belief.mean, prior + expected.mean)
    torch.testing.assert_close(belief.covariance_root.square().sum(1), expected.variance)
    noise = whole.readout.energy_noise_std**2
    torch.testing.assert_close(belief.noise_variance, gates @ noise * new.counts)
    assert belief.members is None


def test_modes_keep_the_correlation_between_structures(model, new):
    roots = [
        replace(model.predictor, mode=mode).predict(new).covariance_root
        for mode in ("independent", "correlated")
    ]
    one, other = (
        torch.nn.functional.normalize(root, dim=1) @ new_t
        for root in roots
        for new_t in [torch.nn.functional.normalize(root, dim=1).T]
    )
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("mode", "sharpness"),
    [("mixture", 3.0), ("independent", None), ("correlated", 1.0)],
)
def test_forces_are_slopes_of_the_mean_and_gates_move_too(model, data, space, mode, sharpness):
    whole = replace(model.predictor, mode=mode, sharpness=sharpness)
    model = LowRankModel(whole, space)
    new = stretched(data[30:32].without_results(), 1.03)
    found = model.predict(new, force_variance=True)
    assert found.force_variance.shape == found.forces.shape
    step = 1e-5
    for atom, axis in ((0, 0), (7, 2)):
        ends = []
        for sign in (1, -1):
            moved = new.positions.clone()
            moved[atom, axis] += sign * step
            ends.append(model.predict(replace(new, positions=moved)).mean.sum())
        slope = (ends[0] - ends[1]) / (2 * step)
        assert float(found.forces[atom, axis]) == pytest.approx(-float(slope), rel=1e-4)


def test_one_expert_is_a_last_layer(data, space, new):
    alone = MixtureOfExperts(SMALL, n_experts=1).fit(data, space).predict(new, covariance=True)
    model = LastLayer(SMALL, n_inputs=0).fit(data, space)
    last, stretch = model.predict(new, covariance=True), model.predictor.alpha**2
    for name in ("mean", "forces", "atomic_energies"):
        torch.testing.assert_close(getattr(alone, name), getattr(last, name))
    for name in ("variance", "covariance"):
        found = stretch * getattr(alone, name)
        torch.testing.assert_close(found, getattr(last, name), rtol=1e-6, atol=3e-8)


def test_each_kind_has_an_expert(data, space):
    """Bonded clusters and atoms far apart, in equal numbers."""
    far = stretched(data.without_results(), 1.6)
    energy = data.energy.mean() + torch.zeros_like(data.energy)
    forces = torch.full_like(data.forces, torch.nan)
    far = replace(far, energy=energy, forces=forces)
    both = Structures.cat([data, far])
    model = MixtureOfExperts(SMALL, n_experts=2, n_axes=2).fit(both, space)
    *_, gates = experts(model, both.without_results())
    home = gates.argmax(1)
    assert len(home[: len(data)].unique()) == len(home[len(data) :].unique()) == 1
    assert int(home[0]) != int(home[-1])


@pytest.mark.parametrize("sharpness", [None, 3.0])
def test_it_comes_back_from_its_state(model, space, new, sharpness):
    model = LowRankModel(replace(model.predictor, sharpness=sharpness), space)
    again = MixtureOfExperts(SMALL).restore(model.state())
    assert again.predictor.sharpness == sharpness
    one, other = model.predict(new), again.predict(new)
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.variance, other.variance)
    assert isinstance(again.predictor, GatedExperts)
    assert again.predictor.mode == "mixture"
    hyper = model.hyperparameters()
    assert hyper["n_experts"] == 3
    assert sum(hyper[f"expert{k}_share"] for k in range(3)) == pytest.approx(1)
    assert torch.tensor(list(hyper.values())).isfinite().all()


def test_equal_seeds_give_equal_models(data, space, model, new):
    again = MixtureOfExperts(SMALL, n_experts=3, n_axes=2).fit(data, space)
    assert torch.equal(again.predict(new).mean, model.predict(new).mean)


def test_it_is_a_botorch_model(model, space):
    X = space.sample(4, torch.Generator().manual_seed(3)).reshape(2, 2, -1)
    posterior = model.posterior(X.requires_grad_())
    assert posterior.mean.shape == (2, 2, 1)
    posterior.variance.sum().backward()
    assert bool(X.grad.isfinite().all())


def test_it_says_what_it_is():
    found = MixtureOfExperts(SMALL, mode="correlated").description()
    assert json.loads(json.dumps(found))["mode"] == "correlated"
    assert found["type"] == "MixtureOfExperts"


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="`n_experts` must be an integer of at least 1"):
        MixtureOfExperts(n_experts=0)
    with pytest.raises(InputError, match="`n_axes` must be an integer of at least 1"):
        MixtureOfExperts(n_axes=0)
    with pytest.raises(InputError, match="`min_weight` must be between 0 and 1"):
        MixtureOfExperts(min_weight=0.0)
    with pytest.raises(InputError, match="`sharpness` must be positive and finite"):
        MixtureOfExperts(sharpness=0.0)
    with pytest.raises(InputError, match="`mode` must be one of independent, correlat"):
        MixtureOfExperts(mode="sum")
