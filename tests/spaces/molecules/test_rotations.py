import math

import torch

from bostruct.spaces.molecules.rotations import (
    random_rotations,
    rotation_jacobians,
    rotation_matrices,
)
from bostruct.testing import seeded_generator
from bostruct.testing.central_differences import assert_gradient

EYE = torch.eye(3, dtype=torch.float64)


def test_random_rotations_are_proper_and_depend_on_the_generator():
    R = random_rotations((4, 5), seeded_generator(0))
    torch.testing.assert_close(R @ R.mT, EYE.expand_as(R))
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(4, 5, dtype=torch.float64))
    assert torch.equal(R, random_rotations((4, 5), seeded_generator(0)))


def test_random_rotations_are_uniform():
    """The angle of uniform rotations has the density (1 - cos t) / π and the mean π/2 + 2/π.

    Its standard deviation is 0.65: a correct sampler fails for one seed in 10⁴.
    """
    R = random_rotations((10_000,), seeded_generator(1))
    cosine = (R.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    angle = cosine.clamp(-1, 1).acos().mean()
    assert abs(angle - (math.pi / 2 + 2 / math.pi)) < 4 * 0.65 / 100
    assert R.mean(0).abs().max() < 4 / math.sqrt(3 * 10_000)


def test_rotation_vectors_turn_about_their_axis():
    v = torch.tensor([[0.0, 0.0, math.pi / 2], [0.0, 0.0, 0.0], [0.0, math.pi, 0.0]]).double()
    x = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    expected = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]).double()
    torch.testing.assert_close(rotation_matrices(v) @ x, expected)


def test_rotation_vectors_are_matrix_exponentials_on_both_sides_of_the_series():
    for size in (1e-8, 0.0099, 0.0101, 1.0, 5.0):
        v = size * torch.nn.functional.normalize(torch.tensor([0.3, -0.5, 0.7]).double(), dim=0)
        x, y, z = v.tolist()
        K = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
        torch.testing.assert_close(rotation_matrices(v), torch.linalg.matrix_exp(K))


def test_gradient_of_rotation_vectors():
    v = torch.tensor([[0.0, 0.0, 0.0], [0.005, 0.0, 0.003], [0.4, -1.0, 2.0]]).double()
    weight = torch.randn(3, 3, dtype=torch.float64, generator=seeded_generator(2))
    assert_gradient(lambda v: (weight * rotation_matrices(v)).sin().sum(), v)


def test_jacobians_are_the_derivatives_of_rotations():
    """The derivative of R x is J x R x, on both sides of the series."""
    x = torch.tensor([0.3, -0.8, 0.5], dtype=torch.float64)
    direction = torch.nn.functional.normalize(torch.tensor([0.3, -0.5, 0.7]).double(), dim=0)
    for size in (0.0, 1e-6, 0.0099, 0.0101, 1.0, math.pi, 5.0):
        v = size * direction
        expected = torch.autograd.functional.jacobian(lambda v: rotation_matrices(v) @ x, v)
        turned = (rotation_matrices(v) @ x).unsqueeze(-1).expand(3, 3)
        found = torch.linalg.cross(rotation_jacobians(v), turned, dim=0)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
