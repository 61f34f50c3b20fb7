"""Clusters of copper and gold with EMT energies and forces."""

import pytest
import torch

from bostruct.spaces import Cluster
from tests.surrogates.dense import labelled


@pytest.fixture(scope="session")
def space():
    return Cluster("Cu6")


@pytest.fixture(scope="session")
def alloy():
    return Cluster("Au3Cu3")


@pytest.fixture(scope="session")
def data(space):
    generator = torch.Generator().manual_seed(0)
    return labelled(space.sample(40, generator), space, steps=6)


@pytest.fixture(scope="session")
def mixed(alloy):
    generator = torch.Generator().manual_seed(1)
    return labelled(alloy.sample(30, generator), alloy, steps=6)
