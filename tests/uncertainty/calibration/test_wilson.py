import pytest

from bostruct.errors import InputError
from bostruct.uncertainty.calibration.wilson import Z, wilson


# R. G. Newcombe, Statistics in Medicine 17, 857 (1998), table I, method 3.
@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(k, n, low, high):
    assert wilson(k, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (3, 7), (19, 20), (999, 1000)])
def test_wilson_solves_its_equation(k, n):
    for end in wilson(k, n):
        left = (k / n - end) ** 2
        assert left == pytest.approx(Z**2 * end * (1 - end) / n, abs=1e-12)


def test_wilson_of_nothing_knows_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_all_or_none_in_closed_form():
    assert wilson(20, 20) == (pytest.approx(20 / (20 + Z**2)), 1.0)
    assert wilson(0, 20) == (0.0, pytest.approx(Z**2 / (20 + Z**2)))


def test_wilson_refuses():
    with pytest.raises(InputError, match="`k` must be between 0 and 3, got 4"):
        wilson(4, 3)
    with pytest.raises(InputError, match="`n` must be an integer of at least 0"):
        wilson(0, -1)
