import pytest
import torch

from bostruct.errors import InputError
from bostruct.surrogates import Dropout
from tests.surrogates.small import SMALL


def test_members_are_one_network_thinned(data):
    model = Dropout(SMALL, n_members=5, dropout_rate=0.2).fit(data[:9])
    found = model.predict(data[9:12])
    torch.testing.assert_close(found.members.var(0), found.variance)
    torch.testing.assert_close(found.members.mean(0), found.mean)
    crowd = model.predictor
    assert len(crowd.weights.last_weights) == 1
    x, place = crowd.featurizer(data[9:12])
    whole = (
        crowd.weights.atomic_energies(crowd.weights.hidden_layers(x, place))[0].view(3, 6).sum(1)
    )
    prior = crowd.featurizer.prior_mean(data[9:12], place)
    torch.testing.assert_close(found.mean, prior + crowd.featurizer.energy_scale * whole)
    assert model.hyperparameters()["members"] == 5.0


def test_asking_twice_gives_the_same(data):
    model = Dropout(SMALL, n_members=4).fit(data[:6])
    first, second = model.predict(data[:3]), model.predict(data[:3])
    assert torch.equal(first.members, second.members)
    assert torch.equal(model.state()["ensemble_dropout_masks"], model.predictor.dropout_masks)


def test_refusals():
    with pytest.raises(InputError, match="`dropout_rate` must be between 0 and 1, got 0"):
        Dropout(dropout_rate=0.0)
    with pytest.raises(InputError, match="`n_members` must be an integer of at least 2"):
        Dropout(n_members=1)
