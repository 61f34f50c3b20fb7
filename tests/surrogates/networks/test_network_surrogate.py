"""What all surrogates made of networks share."""

import json
from dataclasses import asdict

import pytest
import torch

from bostruct.surrogates import Committee, LastLayer, MixtureOfExperts
from bostruct.surrogates.networks.network_surrogate import NetworkSurrogate
from tests.surrogates.small import SMALL


def test_it_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        NetworkSurrogate()


@pytest.mark.parametrize(
    "surrogate", [Committee(SMALL, 3), LastLayer(SMALL, 4, 2), MixtureOfExperts(SMALL, 2)]
)
def test_its_arguments_are_its_description(surrogate):
    description = json.loads(json.dumps(surrogate.description()))
    assert description.pop("type") == type(surrogate).__name__
    assert description.pop("network") == asdict(SMALL)
    assert description == {name: getattr(surrogate, name) for name in description}
    assert type(surrogate)(SMALL, **description) == surrogate


def test_a_state_comes_back_as_the_predictor_it_was(data, space):
    for surrogate in (Committee(SMALL, 2), LastLayer(SMALL), MixtureOfExperts(SMALL, 1)):
        model = surrogate.fit(data[:3], space)
        again = surrogate.restore(model.state(), space)
        assert type(again.predictor) is type(model.predictor) is surrogate.predictor_class
        assert torch.equal(again.predict(data[3:5]).mean, model.predict(data[3:5]).mean)
