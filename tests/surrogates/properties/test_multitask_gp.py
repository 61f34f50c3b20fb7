import pytest
import torch

from bostruct.errors import InputError
from bostruct.spaces import Composition
from bostruct.surrogates import GP, IndependentProperties, MultitaskGP, TrainingData

NAMES = ("stiffness", "hardness")
SPACE = Composition(["Cu", "Pd", "Au"], step=1 / 8)
X = SPACE.members(0, SPACE.size)


def data():
    generator = torch.Generator().manual_seed(0)
    y = torch.sin(7 * X[:, 0]) + torch.cos(5 * X[:, 1])
    noise = 0.02 * torch.randn(len(X), dtype=torch.float64, generator=generator)
    return torch.stack((100 * y, 3 - 0.5 * (y + noise)), -1)


def sparse(Y, few=6):
    """Return the values with all but few of the second property unknown."""
    Y = Y.clone()
    known = torch.randperm(len(Y), generator=torch.Generator().manual_seed(1))[:few]
    hidden = torch.ones(len(Y), dtype=torch.bool)
    hidden[known] = False
    Y[hidden, 1] = torch.nan
    return Y


def test_what_is_known_of_one_tells_of_the_other():
    Y = data()
    together = MultitaskGP().fit(TrainingData(X, sparse(Y), NAMES), SPACE)
    apart = IndependentProperties().fit(TrainingData(X, sparse(Y), NAMES), SPACE)
    errors = [
        (model.posterior(X.unsqueeze(1)).mean.squeeze(1) - Y)[:, 1].square().mean()
        for model in (together, apart)
    ]
    assert errors[0] < 0.1 * errors[1]
    assert together.hyperparameters()["correlation_of_stiffness_and_hardness"] < -0.9


def test_it_is_the_dense_process():
    model = MultitaskGP(GP(loo_correction=False)).fit(
        TrainingData(X[::2], sparse(data())[::2], NAMES), SPACE
    )
    own = model.fitted_tensors
    asked = X[1:7].view(2, 3, 3)
    found = model.posterior(asked)
    maps, B = model.feature_maps, own["task_covariance"]
    Z = torch.cat((own["Z"], maps[0](SPACE, asked.view(6, 3)).repeat_interleave(2, 0)))
    place = torch.cat((own["task"], torch.arange(2).repeat(6)))
    V = model.kernel.linear_kernel(Z, Z)
    R = model.kernel(Z).to_dense() - V
    K = R * B[place][:, place] + V * (place.unsqueeze(-1) == place)
    n = len(own["Z"])
    A = K[:n, :n] + torch.diag(own["noise"][own["task"]])
    unit = own["scale"].repeat(6)
    mean = own["offset"].repeat(6) + unit * (K[n:, :n] @ own["weights"])
    C = K[n:, n:] - K[n:, :n] @ torch.linalg.solve(A, K[:n, n:])
    C = C * unit * unit.unsqueeze(-1)
    assert torch.allclose(found.mean.flatten(), mean)
    for i, rows in enumerate((slice(0, 6), slice(6, 12))):
        own = found.distribution.covariance_matrix[i]
        assert torch.allclose(own, C[rows, rows], atol=1e-6 * float(C.abs().max()))


def test_restored_as_it_was():
    model = MultitaskGP().fit(TrainingData(X[::2], sparse(data())[::2], NAMES), SPACE)
    again = MultitaskGP().restore(model.state(), SPACE)
    first, second = (one.posterior(X.view(9, 5, 3)) for one in (model, again))
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.distribution.covariance_matrix, second.distribution.covariance_matrix)
    assert again.hyperparameters() == model.hyperparameters()
    assert again.names == NAMES


@pytest.mark.parametrize("names", [NAMES[:1], NAMES])
def test_few_values_are_enough(names):
    model = MultitaskGP().fit(TrainingData(X[:1], data()[:1, : len(names)], names), SPACE)
    found = model.posterior(X[:4])
    assert found.mean.shape == (4, len(names))
    assert (found.variance > 0).all()


def test_one_property_is_much_as_alone():
    Y = data()[:, :1]
    one = (
        MultitaskGP().fit(TrainingData(X[::2], Y[::2], NAMES[:1]), SPACE).posterior(X.unsqueeze(1))
    )
    alone = (
        IndependentProperties()
        .fit(TrainingData(X[::2], Y[::2], NAMES[:1]), SPACE)
        .posterior(X.unsqueeze(1))
    )
    assert (one.mean - alone.mean).abs().max() < 0.1 * Y.std()


def test_misfits_widen_by_property():
    Y = data()
    Y[::9, 1] += 4
    model = MultitaskGP().fit(TrainingData(X, Y, NAMES), SPACE)
    plain = MultitaskGP(GP(loo_correction=False)).fit(TrainingData(X, Y, NAMES), SPACE)
    own = model.fitted_tensors
    assert torch.equal(own["sigma_factor"], own["loo_rms_z"].clamp(min=1))
    wide, narrow = (one.posterior(X).variance for one in (model, plain))
    assert torch.allclose(wide, narrow * own["sigma_factor"].square(), rtol=1e-6)


def test_a_property_without_a_value_is_refused():
    with pytest.raises(InputError, match="got none of hardness"):
        MultitaskGP().fit(TrainingData(X, sparse(data(), 0), NAMES), SPACE)


def test_it_describes_itself():
    told = MultitaskGP(GP("ElementFractions")).description()
    assert told["type"] == "MultitaskGP"
    assert told["gp"]["features"] == [{"type": "ElementFractions"}]
