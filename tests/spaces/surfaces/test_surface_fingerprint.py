import torch

from bostruct.spaces.surfaces.periodic_plane import PeriodicPlane
from bostruct.spaces.surfaces.surface_fingerprint import environment_fingerprint
from bostruct.testing import seeded_generator

PLANE = PeriodicPlane.from_cell(torch.diag(torch.tensor([6.0, 6.0, 20])).double())
SQUARE = torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 3, 0], [3, 3, 0]]).double()
NUMBERS = torch.tensor([28, 28, 47, 79, 79, 79, 79])


def on_square(*places):
    return torch.cat((torch.tensor(places).double(), SQUARE))


def seen(Q):
    return environment_fingerprint(Q, 3, NUMBERS, PLANE, 7.0)


def test_surroundings_ignore_how_a_structure_is_written():
    Q = on_square([1.4, 1.5, 2], [1.6, 4.4, 2], [1, 1, 4.5])
    free, rest = Q[:3], Q[3:]
    shift, mirror = torch.tensor([3.0, 0, 0]), torch.tensor([-1.0, 1, 1])
    copies = {
        "shifted onto itself": free + shift,
        "in another cell": free + 6 * shift,
        "mirrored": free * mirror,
        "turned": free[:, [1, 0, 2]] * mirror,
        "exchanged": free[[1, 0, 2]],
    }
    for name, copy in copies.items():
        other = seen(torch.cat((copy, rest)))
        torch.testing.assert_close(other, seen(Q), msg=name)


def test_surroundings_see_differences():
    Q = on_square([1.4, 1.5, 2], [1.6, 4.4, 2], [1, 1, 4.5])
    for changed in (
        Q + torch.tensor([[0.3, 0, 0]] * 3 + [[0.0, 0, 0]] * 4),
        Q[[2, 1, 0, 3, 4, 5, 6]],
        Q + torch.tensor([[0.0, 0, 0.3]] * 1 + [[0.0, 0, 0]] * 6),
    ):
        assert (seen(changed) - seen(Q)).abs().max() > 0.1


def test_surroundings_in_portions(monkeypatch):
    Q = torch.rand(2, 5, 7, 3, generator=seeded_generator(0), dtype=torch.float64) * 6
    whole = seen(Q)
    assert whole.shape[:2] == (2, 5)
    torch.testing.assert_close(whole[1, 3], seen(Q[1, 3]))
    monkeypatch.setattr("bostruct.spaces.fingerprint_distance.MAX_CHUNK_ELEMENTS", 8)
    torch.testing.assert_close(seen(Q), whole)
    assert seen(Q[:0]).shape[-1] == whole.shape[-1]
