import torch

from bostruct.spaces.crystals.log_strain import (
    cell_of_log_strain,
    log_strain_components,
    log_strain_matrix,
    log_strain_of_cell,
)
from bostruct.spaces.random_tensors import normal
from bostruct.testing import seeded_generator
from bostruct.testing.central_differences import assert_gradient


def test_components_have_the_norm_of_the_matrix():
    s = normal((5, 6), seeded_generator(0))
    S = log_strain_matrix(s)
    assert torch.equal(S, S.mT)
    torch.testing.assert_close(S.square().sum((-1, -2)), s.square().sum(-1))
    torch.testing.assert_close(log_strain_components(S), s)


def test_components_stand_in_voigt_order():
    S = torch.tensor([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]]).double()
    root = 2**0.5
    expected = torch.tensor([1, 2, 3, 4 * root, 5 * root, 6 * root]).double()
    torch.testing.assert_close(log_strain_components(S), expected)


def test_every_cell_has_one_log_strain_whatever_its_orientation():
    s = normal((20, 6), seeded_generator(0))
    H = cell_of_log_strain(s, 4.0)
    torch.testing.assert_close(log_strain_of_cell(H, 4.0), s)
    Q = torch.linalg.qr(normal((20, 3, 3), seeded_generator(1)))[0]
    torch.testing.assert_close(log_strain_of_cell(H @ Q, 4.0), s)
    torch.testing.assert_close(
        torch.linalg.det(H).log(), 3 * torch.tensor(4.0).log() + s[:, :3].sum(-1)
    )


def test_is_differentiable_where_eigenvalues_are_equal():
    s = torch.zeros(3, 6, dtype=torch.float64)
    s[1, :2] = 0.3
    s[2] = normal((6,), seeded_generator(0))
    weights = normal((3, 3, 3), seeded_generator(1))
    assert_gradient(lambda s: (weights * cell_of_log_strain(s, 3.0)).sin().sum(), s)
