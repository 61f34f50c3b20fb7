"""Exceptions of bostruct, and checks of arguments with uniform messages.

A message reads "`{name}` must {condition}, got {value}. {hint}". Each type derives from
`BostructError` and from the builtin exception a caller would catch.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

Choice = TypeVar("Choice")


class BostructError(Exception):
    """Base of all errors raised by bostruct."""


class InputError(BostructError, ValueError):
    """An invalid argument, refused before anything is computed or written."""


class ShapeError(InputError):
    """A tensor of the wrong shape."""


class SpaceError(InputError):
    """A search space that is empty or cannot be sampled."""


class ExhaustedError(SpaceError):
    """A search space in which no further structure to evaluate was found."""


class DeviceError(BostructError, RuntimeError):
    """A device that this machine or this build of torch does not have."""


class NotFittedError(BostructError, RuntimeError):
    """A method of a model called before `fit`."""


class EvaluationError(BostructError, RuntimeError):
    """Evaluations that fail one after the other, so that a run cannot go on."""


class ExecutorError(BostructError, RuntimeError):
    """An executor that takes no evaluations any more."""


class LogError(BostructError, OSError):
    """A run folder that cannot be read or written."""


class MismatchError(LogError):
    """A run folder that belongs to a different campaign."""


class LockedError(LogError):
    """A run folder in which another process is writing."""


def error_message(name: str, condition: str, value: object, hint: str = "") -> str:
    """Return the message for an invalid argument.

    >>> error_message("kappa", "be positive", -1.0, "Try 1.0.")
    '`kappa` must be positive, got -1.0. Try 1.0.'
    """
    text = str(value)
    if text.endswith(".") and not text.endswith(".."):  # a sentence, of another error
        text = text[:-1]
    return f"`{name}` must {condition}, got {text}. {hint}".rstrip()


def check_positive(name: str, value: float, hint: str = "") -> float:
    """Return `value` if it is finite and greater than zero.

    Raises:
        InputError: it is not.
    """
    try:
        is_valid = math.isfinite(value) and value > 0
    except TypeError:  # no number at all
        is_valid = False
    if not is_valid:
        shown = repr(value) if isinstance(value, str) else value
        raise InputError(error_message(name, "be positive and finite", shown, hint))
    return value


def check_fraction(name: str, value: float, hint: str = "") -> float:
    """Return `value` if it lies between 0 and 1, both excluded.

    Raises:
        InputError: it does not.
    """
    if not 0 < value < 1:
        raise InputError(error_message(name, "be between 0 and 1", value, hint))
    return value


def check_count(name: str, value: int, minimum: int = 1, hint: str = "") -> int:
    """Return `value` if it is an integer of at least `minimum`.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        condition = f"be an integer of at least {minimum}"
        raise InputError(error_message(name, condition, repr(value), hint))
    return value


def check_flag(name: str, value: bool) -> bool:
    """Return `value` if it is True or False.

    Raises:
        InputError: it is neither.
    """
    if not isinstance(value, bool):
        raise InputError(error_message(name, "be True or False", repr(value)))
    return value


def check_choice(
    name: str, value: Choice, allowed: Collection[Choice], alternative: str = ""
) -> Choice:
    """Return `value` if it is one of the allowed values.

    Args:
        name: Name of the argument.
        value: Value.
        allowed: Allowed values.
        alternative: Words for what else is allowed, after the values.

    Raises:
        InputError: it is none of them.
    """
    if value not in allowed:
        condition = f"be one of {', '.join(map(str, allowed))}{alternative}"
        raise InputError(error_message(name, condition, repr(value)))
    return value


def check_instance(name: str, value: object, kind: type, hint: str = "") -> None:
    """Refuse anything but an object of a class.

    Raises:
        InputError: it is another one, or the class itself.
    """
    if not isinstance(value, kind):
        raise InputError(error_message(name, f"be an instance of {kind.__name__}", value, hint))


def check_shape(
    name: str, value: torch.Tensor, shape: Sequence[int | None], hint: str = ""
) -> torch.Tensor:
    """Return `value` if its shape is `shape` (None matches any size).

    Raises:
        ShapeError: it is not.
    """
    sizes = tuple(value.shape)
    if len(sizes) != len(shape) or any(
        expected not in (None, size) for expected, size in zip(shape, sizes, strict=True)
    ):
        expected_sizes = ", ".join("*" if size is None else str(size) for size in shape)
        raise ShapeError(error_message(name, f"have shape [{expected_sizes}]", list(sizes), hint))
    return value
