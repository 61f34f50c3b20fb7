import pytest
import torch

from bostruct.descriptors import ElementFractions, MeanSOAP
from bostruct.errors import InputError
from bostruct.spaces import Composition
from bostruct.surrogates import GP
from tests.descriptors.alloys import pool

AVERAGED = MeanSOAP(cutoff=4.0, n_max=3, l_max=1)


def test_of_compositions_the_fractions_alone_count():
    space = Composition(["Cu", "Pd", "Au"], step=1 / 8)
    X = space.members(0, space.size)
    learnt = GP().fit(X[::3], X[::3].square().sum(-1), space)
    assert [block.name for block in learnt.feature_gp.blocks] == ["ElementFractions"]
    mean, C, _ = learnt(X.unsqueeze(1))
    assert (mean.squeeze(1) - X.square().sum(-1)).abs().max() < 0.05
    assert C.shape == (space.size, 1, 1)


def test_of_orderings_the_environments_count_too():
    space = pool(n=16)
    learnt = GP().fit(space.members(0, 10), torch.arange(10.0), space)
    names = [block.name for block in learnt.feature_gp.blocks]
    assert names == ["MeanSOAP", "ElementFractions"]


@pytest.mark.parametrize("features", [None, (AVERAGED, "ElementFractions"), ElementFractions()])
def test_restored_as_it_was(features):
    space = pool(n=16)
    X = space.members(0, 16)
    learnt = GP(features).fit(X[:9], X[:9, 0].cos(), space)
    again = GP().restore(learnt.state(), space)
    for first, second in zip(learnt(X.view(4, 4, 1)), again(X.view(4, 4, 1)), strict=True):
        assert torch.equal(first, second)
    assert learnt.hyperparameters() == again.hyperparameters()


def test_each_element_may_have_its_own_length():
    space = Composition(["Cu", "Pd", "Au"], step=1 / 8)
    X = space.members(0, space.size)
    learnt = GP(ard=True).fit(X[::2], X[::2, 0].square(), space)
    again = GP().restore(learnt.state(), space)
    assert learnt.feature_gp.blocks[0].ard
    assert torch.equal(learnt(X.unsqueeze(1))[0], again(X.unsqueeze(1))[0])


def test_it_describes_itself():
    assert GP().description()["features"] is None
    told = GP(["MeanSOAP", ElementFractions()]).description()
    assert [one["type"] for one in told["features"]] == ["MeanSOAP", "ElementFractions"]


@pytest.mark.parametrize("features", ["soap", 3, ("MeanSOAP", None)])
def test_unknown_features_are_refused(features):
    with pytest.raises(InputError, match="`features` must be one of 'MeanSOAP'"):
        GP(features)


def test_no_features_are_refused():
    with pytest.raises(InputError, match="`features` must name at least one kind"):
        GP(())


def test_features_that_a_model_has_and_the_learner_lacks_are_refused():
    class Own:
        def description(self):
            return {"type": "Own"}

        def fit(self, source, generator):
            return ElementFractions().fit(source, generator)

        def restore(self, tensors):
            return ElementFractions().restore(tensors)

    space = pool()
    X = space.members(0, 8)
    state = GP(Own()).fit(X, X[:, 0], space).state()
    assert torch.equal(
        GP(Own()).restore(state, space)(X.unsqueeze(1))[0].isnan().any(),
        torch.tensor(False),
    )
    with pytest.raises(InputError, match="`features` must name the features of the"):
        GP().restore(state, space)
