import torch

from bostruct.spaces.crystals.crystal_fingerprint import crystal_fingerprint
from bostruct.spaces.crystals.log_strain import cell_of_log_strain
from bostruct.spaces.random_tensors import normal, uniform
from bostruct.testing import seeded_generator

NUMBERS = torch.tensor([22, 8, 8])


def crystals(n):
    F = uniform((n, 3, 3), seeded_generator(0))
    return F, cell_of_log_strain(0.2 * normal((n, 6), seeded_generator(1)), 3.5)


def test_does_not_depend_on_cell_origin_or_order():
    F, H = crystals(5)
    T = torch.tensor([[0.0, 1, 0], [1, 0, 2], [0, 1, -1]]).double()
    reference = crystal_fingerprint(F, H, NUMBERS, 14.0)
    other = F @ torch.linalg.inv(T) + torch.tensor([0.3, -2.1, 0.9])
    torch.testing.assert_close(crystal_fingerprint(other, T @ H, NUMBERS, 14.0), reference)
    torch.testing.assert_close(crystal_fingerprint(-F, H, NUMBERS, 14.0), reference)
    swapped = crystal_fingerprint(F[:, [0, 2, 1]], H, NUMBERS, 14.0)
    torch.testing.assert_close(swapped, reference)
    unlike = crystal_fingerprint(F[:, [1, 0, 2]], H, NUMBERS, 14.0)
    assert (unlike - reference).abs().amax(-1).min() > 0.1


def test_is_continuous():
    """A displacement of δ changes a distance by no more than 2 δ, far ones counting less."""
    F, H = crystals(20)
    length = 14.0 ** (1 / 3)
    for delta in (0.1, 1e-3):
        step = normal(tuple(F.shape), seeded_generator(2))
        step = delta * step / torch.linalg.vector_norm(step, dim=-1, keepdim=True)
        moved = F + step @ torch.linalg.inv(H)
        before, after = (
            crystal_fingerprint(f, H, NUMBERS, 14.0).square() / (4 * length) for f in (F, moved)
        )  # distances
        assert 0 < (after - before).abs().max() <= 2 * delta * (1 + 1e-9)


def test_near_distances_count_as_they_are_and_far_ones_less():
    """In a simple cubic crystal of l = 2 Å: neighbors at l, √2 l and √3 l."""
    H = 2 * torch.eye(3).double().unsqueeze(0)
    F, numbers = torch.zeros(1, 1, 3).double(), torch.tensor([84])
    cubic, strained = (crystal_fingerprint(F, x * H, numbers, 8.0)[0] for x in (1.0, 1.001))
    torch.testing.assert_close(cubic[:6], torch.full((6,), 4.0).double())
    change = (strained - cubic) / 0.002
    for column, distance in ((0, 1.0), (6, 2**0.5), (18, 3**0.5)):
        torch.testing.assert_close(float(change[column]), distance**0.5, rtol=1e-3, atol=0)
