import pickle

import pytest
import torch

from bostruct.descriptors import ElementFractions, MeanSOAP
from bostruct.errors import InputError, NotFittedError, ShapeError
from bostruct.spaces import Cluster, Composition
from bostruct.surrogates import GP, IndependentProperties, TrainingData
from bostruct.surrogates.properties.state_header import encode_header
from tests.descriptors.alloys import pool

NAMES = ("stiffness", "energy")
SPACE = Composition(["Cu", "Pd", "Au"], step=1 / 8)


def data():
    X = SPACE.members(0, SPACE.size)
    return X, torch.stack((150 + 40 * X[:, 0] - 30 * X[:, 1] * X[:, 2], X[:, 2] ** 2), -1)


def fitted():
    X, Y = data()
    return IndependentProperties().fit(TrainingData(X[::3], Y[::3], NAMES), SPACE)


def test_several_outputs_at_several_structures():
    X, Y = data()
    model = fitted()
    posterior = model.posterior(X[:24].view(2, 4, 3, 3))
    assert posterior.mean.shape == posterior.variance.shape == (2, 4, 3, 2)
    assert model.num_outputs == 2
    assert model.batch_shape == torch.Size()
    assert (posterior.mean.view(24, 2) - Y[:24]).abs().max() < 0.5
    draws = posterior.rsample(torch.Size([5]))
    assert draws.shape == (5, 2, 4, 3, 2)


def test_outputs_are_independent_and_structures_are_not():
    X, _ = data()
    C = fitted().posterior(X[1:4]).distribution.covariance_matrix
    assert C.shape == (6, 6)
    assert (C[0::2, 1::2] == 0).all()
    assert C[0, 2] != 0


def test_each_column_is_the_model_of_it_alone():
    X, Y = data()
    both = fitted().posterior(X.unsqueeze(1))
    for i, name in enumerate(NAMES):
        alone = IndependentProperties().fit(TrainingData(X[::3], Y[::3, i : i + 1], (name,)), SPACE)
        posterior = alone.posterior(X.unsqueeze(1))
        assert alone.num_outputs == 1
        assert torch.equal(posterior.mean[..., 0], both.mean[..., i])
        assert torch.allclose(posterior.variance[..., 0], both.variance[..., i])


def test_rows_without_a_value_are_left_out():
    X, Y = data()
    X, Y = X[::3], Y[::3].clone()
    Y[:6, 1] = torch.nan
    holes = IndependentProperties().fit(TrainingData(X, Y, NAMES), SPACE).posterior(X)
    first = IndependentProperties().fit(TrainingData(X, Y[:, :1], NAMES[:1]), SPACE).posterior(X)
    second = (
        IndependentProperties().fit(TrainingData(X[6:], Y[6:, 1:], NAMES[1:]), SPACE).posterior(X)
    )
    assert torch.equal(holes.mean[..., 0], first.mean[..., 0])
    assert torch.equal(holes.mean[..., 1], second.mean[..., 0])


def test_some_outputs_and_noise():
    X, _ = data()
    model = fitted()
    whole, part = model.posterior(X[:3]), model.posterior(X[:3], [1])
    assert torch.equal(part.mean[..., 0], whole.mean[..., 1])
    assert torch.allclose(part.variance[..., 0], whole.variance[..., 1])
    noisy = model.posterior(X[:3], observation_noise=True).variance - whole.variance
    assert (noisy > 0).all()
    own = torch.tensor([1.0, 2.0]).double()
    given = model.posterior(X[:3], observation_noise=own).variance - whole.variance
    assert torch.allclose(given, own.expand(3, 2))


def test_marginals_are_those_of_the_posterior():
    X, _ = data()
    model = fitted()
    mean, latent, observed = model.marginals(X[:7])
    at = X[:7].unsqueeze(-2)
    posterior = model.posterior(at)
    noisy = model.posterior(at, observation_noise=True)
    torch.testing.assert_close(mean, posterior.mean.squeeze(-2))
    torch.testing.assert_close(latent, posterior.variance.squeeze(-2))
    torch.testing.assert_close(observed, noisy.variance.squeeze(-2))


def test_a_transform_comes_last():
    X, _ = data()
    assert fitted().posterior(X[:2], posterior_transform=lambda p: p.mean.sum()) != 0


def test_one_property_can_be_told_more_and_several_cannot():
    X, Y = data()
    one = IndependentProperties().fit(TrainingData(X[::9], Y[::9, :1], NAMES[:1]), SPACE)
    noise = torch.full((2,), 1e-4, dtype=torch.float64)
    told = one.condition_on_observations(X[1:3], Y[1:3, :1] + 1, noise)
    found, before = told.posterior(X[1:3]), one.posterior(X[1:3])
    assert ((found.mean - Y[1:3, :1] - 1).abs() < 0.3).all()
    assert (found.variance < before.variance).all()
    with pytest.raises(InputError, match="`names` must be one where"):
        fitted().condition_on_observations(X[:2], Y[:2])


def test_dtype_is_that_of_the_coordinates():
    X, _ = data()
    assert fitted().posterior(X[:2].float()).mean.dtype is torch.float32


def test_restored_as_it_was():
    space = pool(n=16)
    X = space.members(0, 16)
    Y = torch.stack((X[:, 0].cos(), X[:, 0].sin()), -1)
    averaged = MeanSOAP(cutoff=4.0, n_max=3, l_max=1)
    kind = IndependentProperties(
        GP((averaged, "ElementFractions")), overrides={"energy": GP("ElementFractions")}
    )
    model = kind.fit(TrainingData(X[:9], Y[:9], NAMES), space)
    state = {name: value.clone() for name, value in model.state().items()}
    for reader in (kind, IndependentProperties()):
        again = reader.restore(state, pool(n=16))
        first, second = (
            model.posterior(X.view(8, 2, 1)),
            again.posterior(X.view(8, 2, 1)),
        )
        assert torch.equal(first.mean, second.mean)
        assert torch.equal(
            first.distribution.covariance_matrix, second.distribution.covariance_matrix
        )
        assert again.hyperparameters() == model.hyperparameters()
        assert again.names == NAMES
    assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_environments_are_saved_once_for_all_properties():
    space = pool(n=16)
    X = space.members(0, 9)
    Y = torch.stack((X[:, 0].cos(), X[:, 0].sin()), -1)
    state = IndependentProperties().fit(TrainingData(X, Y, NAMES), space).state()
    assert [name for name in state if "environments" in name] == ["0.map0.inducing_environments"]


def test_hyperparameters_are_named_and_the_evidence_is_the_sum():
    found = fitted().hyperparameters()
    parts = [found[f"log_marginal_likelihood_of_{name}"] for name in NAMES]
    assert found["log_marginal_likelihood"] == sum(parts)
    assert found["sigma_factor_of_energy"] >= 1


def test_it_can_be_pickled_and_describes_itself():
    kind = IndependentProperties(overrides={"energy": GP(ElementFractions())})
    assert pickle.loads(pickle.dumps(kind)) == kind
    told = kind.description()
    assert told["type"] == "IndependentProperties"
    assert told["overrides"]["energy"]["features"] == [{"type": "ElementFractions"}]


def test_properties_that_are_not_learnt_are_refused():
    X, Y = data()
    with pytest.raises(InputError, match="`overrides` must name outcomes of the data"):
        IndependentProperties(overrides={"colour": GP()}).fit(TrainingData(X, Y, NAMES), SPACE)


def test_a_property_without_a_value_is_refused():
    X, Y = data()
    Y[:, 1] = torch.nan
    with pytest.raises(InputError, match=r"at least one value .* got none of energy"):
        IndependentProperties().fit(TrainingData(X, Y, NAMES), SPACE)


def test_infinity_is_refused():
    X, Y = data()
    Y[3, 0] = torch.inf
    with pytest.raises(InputError, match="`Y` must be finite, or NaN"):
        IndependentProperties().fit(TrainingData(X, Y, NAMES), SPACE)


def test_a_state_of_an_unknown_learner_is_refused():
    class Own:
        def description(self):
            return {"type": "Own"}

        def fit(self, X, y, space):
            return self

        def state(self):
            return {"header": encode_header({"type": "Own"})}

        def restore(self, state, space):
            return self

    X, Y = data()
    kind = IndependentProperties(overrides={"energy": Own()})
    state = kind.fit(TrainingData(X, Y, NAMES), SPACE).state()
    assert isinstance(kind.restore(state, SPACE).models[1], Own)
    with pytest.raises(InputError, match="`overrides` must name a surrogate of the kind that"):
        IndependentProperties().restore(state, SPACE)


def test_shapes_are_checked():
    X, Y = data()
    with pytest.raises(ShapeError, match="`Y` must have shape"):
        IndependentProperties().fit(TrainingData(X, Y[:, :1], NAMES), SPACE)
    with pytest.raises(ShapeError, match="`X` must have shape"):
        IndependentProperties().fit(TrainingData(X[0], Y, NAMES), SPACE)


@pytest.mark.parametrize("space", [None, Cluster("Cu5")])
def test_only_spaces_of_separate_structures_will_do(space):
    X, Y = data()
    with pytest.raises(NotFittedError, match="`space` must be one of separate"):
        IndependentProperties().fit(TrainingData(X, Y, NAMES), space)
