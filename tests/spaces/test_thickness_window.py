import pytest
import torch

from bostruct.spaces import Cluster, Crystal
from bostruct.spaces.thickness_window import SupportsThicknessWindow, ThicknessWindow

LAYER = (True, True, False)
WINDOW = ThicknessWindow(n_atoms=3, thickness=2.0, middle=5.0)


def layer(*heights, cell=0.3):
    rows = torch.tensor([[1.0, 2.0, z] for z in heights], dtype=torch.float64)
    return torch.cat((rows.flatten(), torch.tensor([cell], dtype=torch.float64)))


def test_heights_beyond_are_put_onto_the_border_and_nothing_else_changes():
    X = layer(3.5, 4.5, 6.5)
    assert WINDOW.exceeds(X)
    assert WINDOW.beyond(X).tolist() == [True, False, True]
    assert torch.equal(WINDOW.clamp(X), layer(4.0, 4.5, 6.0))
    assert not WINDOW.exceeds(layer(6.5, 8.5, 7.0))


@pytest.mark.parametrize(
    ("heights", "along", "left"),
    [
        ((4.0, 5.0, 6.0), (-1.0, 0.5, 2.0), (0.0, 0.5, 0.0)),
        ((4.0, 5.0, 6.0), (1.0, 0.5, -2.0), (1.0, 0.5, -2.0)),
        ((4.0, 4.0, 6.0), (-1.0, 0.5, 2.0), (0.0, 0.5, 0.0)),
        ((4.1, 5.0, 6.0), (-1.0, 0.5, 2.0), (-1.0, 0.5, 2.0)),
    ],
)
def test_only_what_presses_outwards_on_the_bound_is_at_rest(heights, along, left):
    forces = torch.tensor([[0.3, 0.2, f] for f in along], dtype=torch.float64)
    found = WINDOW.resting_forces(layer(*heights), forces)
    assert found[:, 2].tolist() == list(left)
    assert torch.equal(found[:, :2], forces[:, :2])


def test_spaces_of_layers_have_one_around_each_layer():
    space = Crystal("Cu4", periodic=LAYER, thickness=3.0)
    assert isinstance(space, SupportsThicknessWindow)
    for x in space.sample(3, torch.Generator().manual_seed(0)):
        window = space.thickness_window(x)
        z = space.decode(x).positions[:, 2]
        torch.testing.assert_close(window.heights(x), z)
        assert window.middle == pytest.approx(float(z.max() + z.min()) / 2)
        assert torch.equal(window.clamp(x), x)
    crystal = Crystal("Cu4")
    assert crystal.thickness_window(crystal.sample(1, torch.Generator().manual_seed(0))[0]) is None
    assert not isinstance(Cluster("Cu4"), SupportsThicknessWindow)
