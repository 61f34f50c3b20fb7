import pytest

from bostruct.errors import InputError
from bostruct.uncertainty.calibration.wilson import Z_95, wilson_interval


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
    assert wilson_interval(k, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(n - k, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (3, 7), (19, 20), (999, 1000)])
def test_wilson_solves_its_equation(k, n):
    for end in wilson_interval(k, n):
        left = (k / n - end) ** 2
        assert left == pytest.approx(Z_95**2 * end * (1 - end) / n, abs=1e-12)


def test_wilson_of_nothing_knows_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_wilson_all_or_none_in_closed_form():
    assert wilson_interval(20, 20) == (pytest.approx(20 / (20 + Z_95**2)), 1.0)
    assert wilson_interval(0, 20) == (0.0, pytest.approx(Z_95**2 / (20 + Z_95**2)))


def test_wilson_refuses():
    with pytest.raises(InputError, match="`k` must be between 0 and 3, got 4"):
        wilson_interval(4, 3)
    with pytest.raises(InputError, match="`n` must be an integer of at least 0"):
        wilson_interval(0, -1)
