import math

import pytest
import torch

from bostruct.spaces.random_tensors import (
    normal,
    sample_categorical,
    uniform,
    unit_vectors,
)
from bostruct.testing import seeded_generator


@pytest.mark.parametrize("draw", [uniform, normal, unit_vectors])
def test_numbers_depend_on_the_generator_alone(draw):
    torch.set_default_dtype(torch.float32)
    first = draw((4, 2), seeded_generator(1))
    assert first.dtype == torch.float64
    assert torch.equal(first, draw((4, 2), seeded_generator(1)))
    assert not torch.equal(first, draw((4, 2), seeded_generator(2)))


def test_uniform_fills_the_unit_interval():
    drawn = uniform((4000,), seeded_generator(0))
    assert 0 <= drawn.min() < 0.01
    assert 0.99 < drawn.max() < 1
    assert drawn.mean() == pytest.approx(0.5, abs=0.02)


def test_normal_is_standard():
    drawn = normal((4000,), seeded_generator(0))
    assert drawn.mean() == pytest.approx(0, abs=0.06)
    assert drawn.std() == pytest.approx(1, abs=0.05)


def test_directions_are_isotropic_unit_vectors():
    drawn = unit_vectors((4000,), seeded_generator(0))
    assert drawn.shape == (4000, 3)
    torch.testing.assert_close(drawn.norm(dim=-1), torch.ones(4000).double())
    # each component of a uniform direction has mean 0 and variance 1/3
    torch.testing.assert_close(drawn.T @ drawn / 4000, torch.eye(3).double() / 3, rtol=0, atol=0.03)
    assert drawn.mean(0).abs().max() < 0.04


def test_picks_by_the_exponential_of_the_weight():
    weight = torch.tensor([math.log(1.0), math.log(3.0), -math.inf]).double()
    drawn = sample_categorical(weight.expand(4000, 3), seeded_generator(0))
    share = torch.bincount(drawn, minlength=3) / 4000
    assert share.tolist() == pytest.approx([0.25, 0.75, 0], abs=0.03)
