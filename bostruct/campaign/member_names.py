"""Names of the members of discrete spaces, as a log and its readers show them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from bostruct.spaces import DiscreteSpace, Space

MEMBER_KEY = "member"
"""Key in the provenance of a trial under which the log keeps the name of its structure."""


def member_names(space: Space | None, X: Tensor) -> list[str]:
    """Return a name for each structure at X `[n, d]`.

    It is the one that the space has (`names_at`, of a pool), else the chemical formula; "" in a
    continuous space, whose structures have no names and all one formula.
    """
    if not isinstance(space, DiscreteSpace):
        return [""] * len(X)
    names_at = getattr(space, "names_at", None)
    names: list[str] = space.decode(X).formulas() if names_at is None else names_at(X)
    return names


def trial_label(number: int, names: Mapping[int, str]) -> str:
    """Return a trial with the name of its structure, if it has one.

    >>> trial_label(3, {3: "mp-30"}), trial_label(4, {})
    ('trial 3 (mp-30)', 'trial 4')
    """
    name = names.get(number, "")
    return f"trial {number} ({name})" if name else f"trial {number}"
