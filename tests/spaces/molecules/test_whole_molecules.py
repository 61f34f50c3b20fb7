import pytest
import torch
from ase.build import fcc111

from bostruct.spaces import Cluster, Surface

SPACES = {
    "cluster": lambda: Cluster.of({"H2O": 2}),
    "surface": lambda: Surface(fcc111("Cu", (3, 3, 2), vacuum=8.0), molecules=["CO"]),
}


@pytest.mark.parametrize("make", SPACES.values(), ids=SPACES)
def test_rigid_motions_do_not_strain_and_begin_where_the_molecules_are(make):
    space = make()
    X = space.sample(3, torch.Generator().manual_seed(0))
    q = torch.zeros(3, space.rigid_dimension, dtype=torch.float64)
    assert torch.allclose(space.rigid_motion(X, q), X, rtol=0, atol=1e-12)
    moved = space.rigid_motion(X, q + 0.3)
    assert (moved - X).abs().amax(-1).min() > 0.1
    assert torch.allclose(space.strains(moved), space.strains(X), rtol=0, atol=1e-9)


def test_without_molecules_nothing_is_rigid():
    space = Cluster("Cu4")
    X = space.sample(2, torch.Generator().manual_seed(0))
    assert space.rigid_dimension == 0
    assert space.rigid_motion(X, X[:, :0]) is X
    assert space.strains(X).shape == (2, 0)
