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
    """A displacement of δ changes no element by more than 2 δ."""
    F, H = crystals(20)
    for delta in (0.3, 1e-3):
        step = normal(tuple(F.shape), seeded_generator(2))
        step = delta * step / torch.linalg.vector_norm(step, dim=-1, keepdim=True)
        moved = F + step @ torch.linalg.inv(H)
        difference = crystal_fingerprint(moved, H, NUMBERS, 14.0)
        difference = difference - crystal_fingerprint(F, H, NUMBERS, 14.0)
        assert 0 < difference.abs().max() <= 2 * delta * (1 + 1e-9)
