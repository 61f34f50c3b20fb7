"""Values that are told, and kept away from whatever learns.

A property outside its window, or one that its own calculation contradicts, is no data:
a bulk modulus of -2992 GPa would be sought by every campaign that wants soft alloys and
would shape a front until someone looks. It is not dropped either. In an `Evaluation`,
and so in the log, it stands under another name,

    properties["quarantined.bulk_modulus_GPa"] = -2992.0
    provenance["quarantined.bulk_modulus_GPa"] = "-2992 is outside its window, ..."

so that nobody who asks for `bulk_modulus_GPa` can get it, and what else is known of the
structure stays. `valid` and `quarantined` read both from an evaluation or from a trial
of a log.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, final

from bostruct.errors import InputError, error_message

QUARANTINE_PREFIX = "quarantined."

ValidRange = tuple[float | None, float | None]
"""The least and the greatest value that is believed; None where there is no bound."""


class HasProperties(Protocol):
    """An `Evaluation`, or a trial of a log."""

    @property
    def properties(self) -> Mapping[str, float]:
        """Numbers by name."""
        ...

    @property
    def provenance(self) -> Mapping[str, str]:
        """What made them, by name."""
        ...


@final
@dataclass(frozen=True)
class QuarantinedProperty:
    """A value that is not believed.

    Attributes:
        value: What was found, in the unit of the property; None where no number was.
        reason: One sentence.
    """

    value: float | None
    reason: str


def trusted_properties(outcome: HasProperties) -> dict[str, float]:
    """Return the properties that may be learnt from."""
    found = outcome.properties.items()
    return {name: value for name, value in found if not name.startswith(QUARANTINE_PREFIX)}


def quarantined_properties(outcome: HasProperties) -> dict[str, QuarantinedProperty]:
    """Return the properties that may not, with the reasons."""
    return {
        name.removeprefix(QUARANTINE_PREFIX): QuarantinedProperty(
            outcome.properties.get(name), reason
        )
        for name, reason in outcome.provenance.items()
        if name.startswith(QUARANTINE_PREFIX)
    }


def split_quarantined(
    values: Mapping[str, float],
    valid_ranges: Mapping[str, ValidRange],
    doubt_reasons: Mapping[str, str] | None = None,
    derived_from: Mapping[str, Collection[str]] | None = None,
) -> tuple[dict[str, float], dict[str, str]]:
    """Return properties and provenance in which what is not believed is set apart.

    Args:
        values: All that was found, by name. What is not finite is no value.
        valid_ranges: What is believed of a property; without one, every finite number.
        doubt_reasons: Why a property is not believed whatever its window says, or why there
            is none.
        derived_from: What a property is computed from: it goes into quarantine with it.

    >>> split_quarantined({"bulk_modulus_GPa": 1761.0}, {"bulk_modulus_GPa": (1, 600)})[0]
    {'quarantined.bulk_modulus_GPa': 1761.0}
    """
    reasons = dict(doubt_reasons or {})
    for name, value in values.items():
        if name not in reasons and (reason := range_violation(value, valid_ranges.get(name))):
            reasons[name] = reason
    spread = True
    while spread:
        spread = False
        for name, bases in (derived_from or {}).items():
            broken = [base for base in bases if base in reasons]
            if broken and name in values and name not in reasons:
                reasons[name] = f"it rests on {broken[0]}, which is in quarantine"
                spread = True
    properties = {
        QUARANTINE_PREFIX + name if name in reasons else name: value
        for name, value in values.items()
        if math.isfinite(value)
    }
    return properties, {QUARANTINE_PREFIX + name: text for name, text in reasons.items()}


def range_violation(value: float, valid_range: ValidRange | None) -> str:
    """Return why a value is not believed; nothing where it is.

    >>> range_violation(-2992.0, (1, 600))
    '-2992 is outside its window, 1 to 600'
    """
    if not math.isfinite(value):
        return f"{value} is not a number to believe"
    least, greatest = valid_range or (None, None)
    low = least is not None and value < least
    if not low and not (greatest is not None and value > greatest):
        return ""
    if greatest is None:
        return f"{value:g} is outside its window, {least:g} and more"
    if least is None:
        return f"{value:g} is outside its window, {greatest:g} and less"
    return f"{value:g} is outside its window, {least:g} to {greatest:g}"


def check_valid_ranges(
    valid_ranges: Mapping[str, ValidRange], defaults: Mapping[str, ValidRange]
) -> dict[str, ValidRange]:
    """Return the default windows with the user's own in their places.

    Raises:
        InputError: a name is not one of a property, or a window is empty.
    """
    for name, window in valid_ranges.items():
        if name not in defaults:
            way_out = f"Known are {', '.join(sorted(defaults))}."
            raise InputError(error_message("valid_ranges", "name properties", name, way_out))
        try:
            least, greatest = window
        except (TypeError, ValueError) as error:
            way_out = "Give the least and the greatest value, None for no bound."
            condition = f"hold two bounds of {name}"
            raise InputError(error_message("valid_ranges", condition, window, way_out)) from error
        low = -math.inf if least is None else least
        high = math.inf if greatest is None else greatest
        if not low < high:
            condition = f"hold a lower and a higher bound of {name}"
            raise InputError(error_message("valid_ranges", condition, window))
    return {**defaults, **valid_ranges}
