import pytest
import torch

from bostruct.errors import InputError
from bostruct.spaces import Pool
from bostruct.structures import Structures
from bostruct.surrogates import (
    GP,
    IndependentProperties,
    IntensiveProperty,
    LastLayer,
    LocalGP,
    TrainingData,
)
from tests.descriptors.alloys import cells
from tests.surrogates.small import SMALL

LOCAL = LocalGP(cutoff=4.5, n_max=3, l_max=1, max_inducing=40, species_similarity=0.5)


def space():
    """Cells of several sizes; the place is the coordinate."""
    return Pool(
        Structures.cat([cells(n=8), cells(n=8, size=3, seed=1)]),
        min_distance_factor=0.1,
    )


def data(pool):
    X = pool.members(0, pool.size)
    gold = pool.composition(X)[:, 1]
    return X, -3 - 0.5 * gold + 0.2 * gold.square()


def test_values_are_those_of_energies_divided_by_atoms():
    pool = space()
    X, y = data(pool)
    learnt = IntensiveProperty(LOCAL).fit(X[::2], y[::2], pool)
    mean, C, noise = learnt(X.unsqueeze(1))
    assert (mean.squeeze(1) - y).abs().max() < 0.05
    found = learnt.model.predict(pool.decode(X))
    counts = pool.decode(X).counts
    assert torch.allclose(mean.squeeze(1), found.mean / counts)
    assert torch.allclose(C.flatten(), found.variance / counts.square(), rtol=1e-3)
    assert torch.allclose(noise.flatten(), found.noise_variance / counts.square(), atol=1e-12)


def test_several_at_once_are_correlated():
    pool = space()
    X, y = data(pool)
    learnt = IntensiveProperty(LOCAL).fit(X[::2], y[::2], pool)
    mean, C, _ = learnt(X.view(2, 8, 1))
    alone, variance, _ = learnt(X.unsqueeze(1))
    assert torch.allclose(mean.flatten(), alone.flatten())
    own = C.diagonal(dim1=-2, dim2=-1).flatten()
    assert torch.allclose(own, variance.flatten(), rtol=1e-3)
    assert C[0, 0, 1] != 0


@pytest.mark.parametrize("surrogate", [LOCAL, LastLayer(SMALL)])
def test_restored_as_it_was(surrogate):
    pool = space()
    X, y = data(pool)
    kind = IndependentProperties(
        GP("ElementFractions"), overrides={"energy": IntensiveProperty(surrogate)}
    )
    Y = torch.stack((y, y), -1)[::2]
    model = kind.fit(TrainingData(X[::2], Y, ("energy", "volume")), pool)
    first, second = (m.posterior(X) for m in (model, kind.restore(model.state(), pool)))
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.variance, second.variance)
    if surrogate is LOCAL:
        again = IndependentProperties().restore(model.state(), pool).posterior(X)
        assert torch.equal(first.mean, again.mean)
    assert "signal_eV_of_energy" in model.hyperparameters()


def test_another_surrogate_is_refused():
    pool = space()
    state = IntensiveProperty(LOCAL).fit(*data(pool), pool).state()
    with pytest.raises(InputError, match=r"`surrogate` must be of the kind .*LocalGP"):
        IntensiveProperty(LastLayer(SMALL)).restore(state, pool)


def test_it_describes_itself():
    told = IntensiveProperty().description()
    assert told["type"] == "IntensiveProperty"
    assert told["surrogate"]["type"] == "LocalGP"
