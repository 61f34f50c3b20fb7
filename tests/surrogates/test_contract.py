"""Every surrogate meets the contract."""

from dataclasses import replace

import pytest
import torch
from ase.calculators.emt import EMT

from bostruct.spaces import Cluster, Composition
from bostruct.surrogates import (
    Committee,
    DeepEnsemble,
    Dropout,
    IndependentProperties,
    IntensiveProperty,
    LastLayer,
    LocalGP,
    MeanVariance,
    MixtureOfExperts,
    MultitaskGP,
    PretrainedPotential,
    ShallowEnsemble,
)
from bostruct.surrogates.training_data import TrainingData
from bostruct.testing import SurrogateContract, seeded_generator
from bostruct.testing.central_differences import assert_gradient
from bostruct.uncertainty import Prediction
from tests.surrogates.crystals import VariableCell, crystals
from tests.surrogates.dense import labelled
from tests.surrogates.small import SMALL

CLUSTER = Cluster("Au2Cu3")
ALLOY = Composition(["Cu", "Pd", "Au"], step=1 / 8)
NETWORKS = [
    Committee(SMALL, n_members=3),
    DeepEnsemble(SMALL, n_members=2),
    Dropout(SMALL, n_members=4),
    LastLayer(SMALL, n_inputs=8),
    MeanVariance(SMALL),
    MixtureOfExperts(SMALL, n_experts=2),
    ShallowEnsemble(SMALL, n_members=4),
]
SMALL_LOCAL_GP = LocalGP(
    cutoff=4.5,
    n_max=3,
    l_max=1,
    max_inducing=40,
    species_similarity=0.5,
    pair_term=None,
    embedding_term=None,
)


def name(surrogate):
    return type(surrogate).__name__


@pytest.fixture(scope="module")
def structures():
    return labelled(CLUSTER.sample(12, seeded_generator(0)), CLUSTER, steps=4)


class TestEnergySurrogates(SurrogateContract):
    @pytest.fixture(params=[LocalGP(max_inducing=40), *NETWORKS], ids=name)
    def surrogate(self, request):
        return request.param

    @pytest.fixture
    def space(self):
        return CLUSTER

    @pytest.fixture
    def data(self, structures):
        return structures


class TestPropertySurrogates(SurrogateContract):
    differentiable = False

    @pytest.fixture(
        params=[
            IndependentProperties(),
            IndependentProperties(IntensiveProperty(SMALL_LOCAL_GP)),
            MultitaskGP(),
        ],
        ids=["IndependentProperties", "IntensiveProperty", "MultitaskGP"],
    )
    def surrogate(self, request):
        return request.param

    @pytest.fixture
    def space(self):
        return ALLOY

    @pytest.fixture
    def data(self):
        X = ALLOY.members(0, ALLOY.size)[::2]
        Y = torch.stack((2 + X[:, 0] - X[:, 1] * X[:, 2], X[:, 2] ** 2), -1)
        return TrainingData(X, Y, ("modulus", "energy"))


def read_emt(atoms):
    """Return EMT's energy and forces, with a variance of 0.01 eV² per atom."""
    mean = torch.tensor([atoms.get_potential_energy()], dtype=torch.float64)
    variance = torch.full_like(mean, 0.01 * len(atoms))
    forces = torch.as_tensor(atoms.get_forces())
    return Prediction(mean, variance, torch.zeros_like(mean), forces=forces)


class TestPretrainedPotential(SurrogateContract):
    has_posterior = False
    restores = False

    @pytest.fixture
    def surrogate(self):
        return PretrainedPotential(EMT, read_uncertainty=read_emt)

    @pytest.fixture
    def space(self):
        return CLUSTER

    @pytest.fixture
    def data(self, structures):
        return structures


class Wrong:
    """A fitted model with one fault."""

    def __init__(self, model, fault):
        self.model, self.fault = model, fault

    def predict(self, structures):
        prediction = self.model.predict(structures)
        if self.fault == "forces":
            return replace(prediction, forces=2 * prediction.forces)
        if self.fault == "variance":
            return replace(prediction, noise_variance=-prediction.noise_variance)
        if self.fault == "symmetry":
            return replace(prediction, mean=prediction.mean + structures.positions[0, 0])
        return prediction


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("forces", "forces_are_minus_the_gradient"),
        ("variance", "predicts_structures"),
        ("symmetry", "symmetries"),
    ],
)
def test_faults_are_seen(fault, test, structures):
    model = MeanVariance(SMALL).fit(structures)
    test = getattr(SurrogateContract(), f"test_{test}")
    test(data=structures, model=Wrong(model, "none"))
    with pytest.raises(AssertionError):
        test(data=structures, model=Wrong(model, fault))


@pytest.mark.parametrize("surrogate", [DeepEnsemble(SMALL, n_members=2), LocalGP()], ids=name)
def test_posteriors_follow_the_cell(surrogate):
    space = VariableCell(("Cu", "Au"))
    model = surrogate.fit(crystals(["Cu", "Au"], 4), space)
    X = space.sample(2, torch.Generator().manual_seed(0))

    def value(X):
        posterior = model.posterior(X.unsqueeze(-2))
        return (posterior.mean + 2 * posterior.variance.sqrt()).sum()

    assert_gradient(value, X, rtol=1e-4, atol=1e-5)
