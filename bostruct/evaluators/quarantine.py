"""Quarantine of implausible properties: kept in the log, and away from every model.

A property outside its valid range, or one that its own calculation contradicts, is not data: a
bulk modulus of -2992 GPa would attract every campaign that minimizes the modulus and would shape
the Pareto front. It is not dropped either. In an `Evaluation`, and so in the log, it has another
name,

    properties["quarantined.bulk_modulus_GPa"] = -2992.0
    provenance["quarantined.bulk_modulus_GPa"] = "-2992 is outside its valid range, ..."

so that nobody who reads `bulk_modulus_GPa` gets it, and the other properties of the structure
stay. `trusted_properties` and `quarantined_properties` read both from an evaluation or from a
trial of a log.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Protocol, final

from bostruct.errors import InputError, error_message

QUARANTINE_PREFIX = "quarantined."

ValidRange = tuple[float | None, float | None]
"""Least and greatest plausible value of a property; None where there is no bound."""


class HasProperties(Protocol):
    """Object with properties and provenance: an `Evaluation`, or a trial of a log."""

    @property
    def properties(self) -> Mapping[str, float]:
        """Numbers by name."""
        ...

    @property
    def provenance(self) -> Mapping[str, str]:
        """Program, settings and reasons behind the numbers, by name."""
        ...


@final
@dataclass(frozen=True)
class QuarantinedProperty:
    """Value that is not trusted.

    Attributes:
        value: Value in the unit of the property, or None if the calculation gave no number.
        reason: One sentence.
    """

    value: float | None
    reason: str


def trusted_properties(outcome: HasProperties) -> dict[str, float]:
    """Return the properties that are not in quarantine."""
    items = outcome.properties.items()
    return {name: value for name, value in items if not name.startswith(QUARANTINE_PREFIX)}


def quarantined_properties(outcome: HasProperties) -> dict[str, QuarantinedProperty]:
    """Return the properties in quarantine, with the reasons."""
    return {
        key.removeprefix(QUARANTINE_PREFIX): QuarantinedProperty(
            outcome.properties.get(key), reason
        )
        for key, reason in outcome.provenance.items()
        if key.startswith(QUARANTINE_PREFIX)
    }


def split_quarantined(
    values: Mapping[str, float],
    valid_ranges: Mapping[str, ValidRange],
    doubt_reasons: Mapping[str, str] | None = None,
    derived_from: Mapping[str, Collection[str]] | None = None,
) -> tuple[dict[str, float], dict[str, str]]:
    """Return properties and provenance in which untrusted values are renamed.

    Args:
        values: All computed values by name; values that are not finite are left out.
        valid_ranges: Valid range of a property by name; without one, every finite number is valid.
        doubt_reasons: Reasons, by name, why a property is untrusted whatever its value, or missing.
        derived_from: Names of the properties from which a property is computed: if one of them
            goes into quarantine, so does the property.

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
                reasons[name] = f"it is computed from {broken[0]}, which is in quarantine"
                spread = True
    properties = {
        QUARANTINE_PREFIX + name if name in reasons else name: value
        for name, value in values.items()
        if math.isfinite(value)
    }
    return properties, {QUARANTINE_PREFIX + name: text for name, text in reasons.items()}


def range_violation(value: float, valid_range: ValidRange | None) -> str:
    """Return why a value is not valid; an empty string where it is.

    >>> range_violation(-2992.0, (1, 600))
    '-2992 is outside its valid range, 1 to 600'
    """
    if not math.isfinite(value):
        return f"{value} is not a number"
    lower, upper = valid_range or (None, None)
    below = lower is not None and value < lower
    if not below and not (upper is not None and value > upper):
        return ""
    if upper is None:
        bounds = f"{lower:g} and more"
    else:
        bounds = f"{upper:g} and less" if lower is None else f"{lower:g} to {upper:g}"
    return f"{value:g} is outside its valid range, {bounds}"


def check_valid_ranges(
    valid_ranges: Mapping[str, ValidRange], defaults: Mapping[str, ValidRange]
) -> dict[str, ValidRange]:
    """Return the default valid ranges, updated with the user's own.

    Raises:
        InputError: a name is not one of a property, or a range is empty.
    """
    for name, valid_range in valid_ranges.items():
        if name not in defaults:
            way_out = f"Known are {', '.join(sorted(defaults))}."
            raise InputError(error_message("valid_ranges", "name properties", name, way_out))
        check_valid_range("valid_ranges", valid_range, name)
    return {**defaults, **valid_ranges}


def check_valid_range(argument: str, valid_range: ValidRange, name: str) -> ValidRange:
    """Return a valid range as a pair of numbers, None where there is no bound or an infinite one.

    Args:
        argument: Name of the argument that it came in.
        valid_range: Least and greatest value, None where there is no bound.
        name: Quantity that it is a range of.

    Raises:
        InputError: it is not a pair of bounds, or empty.
    """
    try:
        lower, upper = valid_range
        low = -math.inf if lower is None else _real(lower)
        high = math.inf if upper is None else _real(upper)
    except (TypeError, ValueError) as error:
        way_out = "Give the least and the greatest value, None for no bound."
        message = error_message(argument, f"hold two bounds of {name}", valid_range, way_out)
        raise InputError(message) from error
    if not low < high:
        condition = f"hold a lower and a higher bound of {name}"
        raise InputError(error_message(argument, condition, valid_range))
    return None if math.isinf(low) else low, None if math.isinf(high) else high


def _real(value: object) -> float:
    """Return a number as a float.

    Raises:
        TypeError: it is no real number.
    """
    if not isinstance(value, Real):
        raise TypeError(f"{value!r} is no number")
    return float(value)
