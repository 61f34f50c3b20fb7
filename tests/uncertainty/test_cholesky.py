import pytest
import torch

from bostruct.errors import InputError
from bostruct.uncertainty.cholesky import root


def test_a_positive_matrix_needs_no_jitter():
    matrix = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double()
    factor, jitter = root(matrix, 0.1)
    torch.testing.assert_close(factor @ factor.T, matrix)
    assert jitter == 0.0


@pytest.mark.parametrize(("least", "steps"), [(-1e-9, 1), (-1e-7, 100), (-1e-3, 1e6)])
def test_the_least_jitter_that_helps_is_recorded(least, steps):
    matrix = torch.diag(torch.tensor([1.0, 1.0, least])).double()
    factor, jitter = root(matrix, 0.1)
    assert jitter == pytest.approx(1e-8 * steps * float(matrix.diagonal().mean()))
    assert float(factor[2, 2]) == pytest.approx((least + jitter) ** 0.5, rel=1e-6)


def test_a_negative_matrix_is_refused():
    with pytest.raises(InputError, match=r"`ridge` must make H positive .*, got 0\.1"):
        root(-torch.eye(3), 0.1)
