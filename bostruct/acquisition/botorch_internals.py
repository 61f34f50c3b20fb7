"""Access to undocumented attributes of BoTorch, checked by name."""

from __future__ import annotations

import botorch

from bostruct.errors import InputError, error_message


def check_botorch_internal(owner: object, name: str) -> None:
    """Refuse a version of BoTorch without an undocumented attribute that is needed.

    Args:
        owner: The module or object of BoTorch that should have it.
        name: The name of the attribute.

    Raises:
        InputError: It is missing.
    """
    if not hasattr(owner, name):
        where = getattr(owner, "__name__", type(owner).__name__)
        way_out = "Install a tested version: `pip install -c constraints.txt bostruct`."
        got = f"version {botorch.__version__}"
        raise InputError(error_message("botorch", f"have `{where}.{name}`", got, way_out))
