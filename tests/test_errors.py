import math

import pytest
import torch

from bostruct import errors


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.InputError, ValueError),
        (errors.ShapeError, ValueError),
        (errors.SpaceError, ValueError),
        (errors.ExhaustedError, ValueError),
        (errors.DeviceError, RuntimeError),
        (errors.NotFittedError, RuntimeError),
        (errors.LogError, OSError),
        (errors.MismatchError, OSError),
        (errors.LockedError, OSError),
    ],
)
def test_errors_derive_from_bostruct_error_and_a_builtin(kind, builtin):
    with pytest.raises(builtin, match="why"):
        raise kind("why")
    assert issubclass(kind, errors.BostructError)


def test_error_message():
    assert errors.error_message("n", "be even", 3) == "`n` must be even, got 3."


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, "20", None, (1, 2)])
def test_check_positive(value):
    with pytest.raises(errors.InputError, match=r"`x` must be positive and finite, got"):
        errors.check_positive("x", value)
    assert errors.check_positive("x", 0.5) == 0.5


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "2", None])
def test_check_count(value):
    with pytest.raises(errors.InputError, match="`n` must be an integer of at least 1"):
        errors.check_count("n", value)
    assert errors.check_count("n", 0, minimum=0) == 0


@pytest.mark.parametrize("value", [0.0, 1.0, -0.5, float("nan")])
def test_check_fraction(value):
    with pytest.raises(errors.InputError, match=r"`x` must be between 0 and 1, got"):
        errors.check_fraction("x", value)
    assert errors.check_fraction("x", 0.5) == 0.5


@pytest.mark.parametrize("value", [0, 1, "yes", None])
def test_check_flag(value):
    with pytest.raises(errors.InputError, match="`x` must be True or False, got"):
        errors.check_flag("x", value)
    assert errors.check_flag("x", False) is False


def test_check_choice():
    with pytest.raises(errors.InputError, match="`x` must be one of a, b, got 'c'"):
        errors.check_choice("x", "c", ("a", "b"))
    with pytest.raises(errors.InputError, match="`x` must be one of a or a file, got 'c'"):
        errors.check_choice("x", "c", {"a": 1}, " or a file")
    assert errors.check_choice("x", "a", ("a", "b")) == "a"


def test_check_shape():
    positions = torch.zeros(4, 2)
    with pytest.raises(errors.ShapeError, match=r"shape \[\*, 3\], got \[4, 2\]. In Å."):
        errors.check_shape("positions", positions, [None, 3], "In Å.")
    assert errors.check_shape("positions", positions, [4, None]) is positions


def test_an_error_inside_another_ends_with_one_full_stop():
    inner = errors.error_message("cell", "be whole", "half", "Complete it.")
    assert errors.error_message("slab", "be read", inner).endswith("got half. Complete it.")
    assert errors.error_message("out", "be a file", "..").endswith("got ...")
