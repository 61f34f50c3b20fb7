"""Rotation vectors as coordinates."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bostruct.errors import ShapeError
from bostruct.spaces.coordinates.rotation_vectors import BodyRotation, from_quaternions
from bostruct.spaces.molecules.rotations import rotation_matrices

BODY = BodyRotation.of_body(1)
AXIS = torch.tensor([0.6, 0.0, -0.8], dtype=torch.float64)
LINEAR = BodyRotation.of_body(1, 3 * AXIS)


def vectors(n: int, length: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return length * torch.randn(n, 3, generator=generator, dtype=torch.float64)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("length", [0.0, 1e-9, 1.0, math.pi - 1e-6, math.pi + 1e-6, 9.0, 40.0])
def test_wrapped_vectors_are_the_same_rotation(length: float) -> None:
    """They are at most π long, and turn a body as before; of a linear one, its axis."""
    v = length * torch.nn.functional.normalize(vectors(20), dim=-1)
    wrapped = BODY.wrap(v)
    close(rotation_matrices(wrapped), rotation_matrices(v))
    assert float(torch.linalg.vector_norm(wrapped, dim=-1).max()) <= math.pi + 1e-12
    assert torch.equal(BODY.wrap(wrapped), wrapped)
    shortest = LINEAR.wrap(v)
    close(rotation_matrices(shortest) @ AXIS, rotation_matrices(v) @ AXIS)
    close(shortest @ AXIS, torch.zeros(20, dtype=torch.float64))
    close(LINEAR.wrap(shortest), shortest)


def test_reversed_axis_has_a_shortest_rotation() -> None:
    """An axis turned by π is turned so about some line across it."""
    v = LINEAR.wrap(torch.tensor([[0.0, math.pi, 0.0]], dtype=torch.float64))
    close(rotation_matrices(v) @ AXIS, -AXIS.expand(1, 3))
    turned = LINEAR.difference(v, torch.zeros(1, 3, dtype=torch.float64))
    close(torch.linalg.vector_norm(turned, dim=-1), torch.full((1,), math.pi, dtype=torch.float64))


@pytest.mark.parametrize("body", [BODY, LINEAR])
def test_differences_lead_from_one_to_the_other(body: BodyRotation) -> None:
    """The rotation by the difference after the second is the first, near π too."""
    A, B = BODY.wrap(vectors(30, 3.0)), BODY.wrap(vectors(31, 3.0)[:30])
    R = rotation_matrices(body.difference(A, B)) @ rotation_matrices(B)
    close(R @ body.directions, rotation_matrices(A) @ body.directions)
    close(body.difference(A, A), torch.zeros_like(A))
    edge = torch.nn.functional.normalize(A, dim=-1)
    across = body.difference((math.pi - 0.01) * edge, (-math.pi + 0.01) * edge)
    assert float(torch.linalg.vector_norm(across, dim=-1).max()) <= 0.02 + 1e-9


def test_samples_are_uniform() -> None:
    """The density of angles is (1 - cos t) / π; directions of axes have no mean."""
    v = BODY.sample(20000, torch.Generator().manual_seed(0))
    t = torch.linalg.vector_norm(v, dim=-1)
    assert float(t.mean()) == pytest.approx(math.pi / 2 + 2 / math.pi, abs=0.02)
    assert float(v.mean(0).abs().max()) < 0.06
    heights = rotation_matrices(LINEAR.sample(20000, torch.Generator().manual_seed(1))) @ AXIS
    assert float(heights.mean(0).abs().max()) < 0.02
    close_to = heights.square().mean(0)
    torch.testing.assert_close(close_to, torch.full_like(close_to, 1 / 3), rtol=0, atol=0.02)


def test_quaternions_of_either_sign_and_any_length() -> None:
    """q and -q are one rotation, at most π."""
    w, u = torch.tensor([0.2, -0.2, 0.0]).double(), torch.tensor([[0.1, 0.3, -0.5]]).double()
    v = from_quaternions(w, u * torch.tensor([[1.0], [-1.0], [1.0]]))
    close(v[0], v[1])
    close(torch.linalg.vector_norm(v[2]), torch.tensor(math.pi, dtype=torch.float64))
    close(from_quaternions(3 * w, 3 * u.expand(3, 3)), from_quaternions(w, u.expand(3, 3)))


def test_columns_are_put_back() -> None:
    """`of` and `put` take and set the three columns."""
    X = torch.arange(10, dtype=torch.float64).reshape(2, 5)
    assert torch.equal(BODY.put(X, BODY.of(X)), X)
    assert BODY.put(X, torch.zeros(2, 3).double()).tolist() == [[0, 0, 0, 0, 4], [5, 0, 0, 0, 9]]
    with pytest.raises(ShapeError, match="Vectors are columns"):
        BodyRotation(0, torch.zeros(2, 3))
