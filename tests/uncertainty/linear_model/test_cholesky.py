import pytest
import torch

from bostruct.errors import InputError
from bostruct.uncertainty.linear_model.cholesky import CholeskyFactor, psd_safe_cholesky


def test_a_positive_matrix_needs_no_jitter():
    matrix = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double()
    factor = psd_safe_cholesky(matrix, 0.1)
    torch.testing.assert_close(factor.lower @ factor.lower.T, matrix)
    assert factor.jitter == 0.0


@pytest.mark.parametrize(("least", "steps"), [(-1e-9, 1), (-1e-7, 100), (-1e-3, 1e6)])
def test_the_least_jitter_that_helps_is_recorded(least, steps):
    matrix = torch.diag(torch.tensor([1.0, 1.0, least])).double()
    factor = psd_safe_cholesky(matrix, 0.1)
    jitter = factor.jitter
    assert jitter == pytest.approx(1e-8 * steps * float(matrix.diagonal().mean()))
    assert float(factor.lower[2, 2]) == pytest.approx((least + jitter) ** 0.5, rel=1e-6)


def test_a_negative_matrix_is_refused():
    with pytest.raises(InputError, match=r"`ridge` must make H positive .*, got 0\.1"):
        psd_safe_cholesky(-torch.eye(3), 0.1)


@pytest.mark.parametrize("diagonal", [True, False])
def test_what_a_factor_gives_is_what_the_inverse_would(diagonal):
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    lower = torch.linalg.cholesky(table.T @ table)
    factor = CholeskyFactor(lower.diagonal().diag() if diagonal else lower)
    matrix = factor.lower @ factor.lower.T
    inverse = torch.linalg.inv(matrix)
    torch.testing.assert_close(factor.logdet, torch.linalg.slogdet(matrix).logabsdet)
    torch.testing.assert_close(factor.inverse_trace, inverse.trace())
    torch.testing.assert_close(factor.solve(table.T), inverse @ table.T)
    expected = (table @ inverse * table).sum(1)
    torch.testing.assert_close(factor.inv_quad(table), expected)
    torch.testing.assert_close(factor.solve_lower(table).square().sum(0), expected)
