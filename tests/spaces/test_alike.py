import pytest
import torch

from bostruct.spaces.alike import close, surroundings
from bostruct.spaces.plane import Plane
from bostruct.testing import stream


def test_all_numbers_must_agree():
    A = torch.zeros(3, 4)
    B = torch.tensor([[0, 0, 0, 0.05], [0, 0.2, 0, 0], [0.2, 0.2, 0.2, 0.2]])
    assert close(A, B, 0.1).tolist() == [True, False, False]
    assert close(A[0], B, 0.3).tolist() == [True, True, True]
    assert close(A[0], B[0], 0.1).shape == ()
    assert not close(A[0], A[0] + torch.nan, 9.0)


@pytest.mark.parametrize("largest", [4, 30, 1 << 24])
def test_compares_many_in_little_memory(monkeypatch, largest):
    monkeypatch.setattr("bostruct.spaces.alike.LARGEST", largest)
    A = torch.rand(7, 1, 3, generator=stream(0))
    B = torch.rand(5, 3, generator=stream(1))
    table = close(A, B, 0.5)
    assert table.shape == (7, 5)
    assert table.any()
    assert not table.all()
    for i in range(7):
        for j in range(5):
            assert table[i, j] == ((A[i, 0] - B[j]).abs().max() < 0.5)


PLANE = Plane.of(torch.diag(torch.tensor([6.0, 6.0, 20])).double())
SQUARE = torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 3, 0], [3, 3, 0]]).double()
NUMBERS = torch.tensor([28, 28, 47, 79, 79, 79, 79])


def on_square(*places):
    return torch.cat((torch.tensor(places).double(), SQUARE))


def seen(Q):
    return surroundings(Q, 3, NUMBERS, PLANE, 7.0)


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
    Q = torch.rand(2, 5, 7, 3, generator=stream(0), dtype=torch.float64) * 6
    whole = seen(Q)
    assert whole.shape[:2] == (2, 5)
    torch.testing.assert_close(whole[1, 3], seen(Q[1, 3]))
    monkeypatch.setattr("bostruct.spaces.alike.LARGEST", 8)
    torch.testing.assert_close(seen(Q), whole)
    assert seen(Q[:0]).shape[-1] == whole.shape[-1]
