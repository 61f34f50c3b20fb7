"""Outcomes as people write them: words, and a unit behind a comma or in brackets."""

from __future__ import annotations

import math

from bostruct.objectives import Constraint, Goals, Objective

UNITS = {
    "eV_per_atom": "eV/atom",
    "GPa": "GPa",
    "g_per_cm3": "g/cm³",
    "A3_per_atom": "Å³/atom",
    "usd_per_kg_2013": "USD/kg",
    "eV": "eV",
    "K": "K",
}
"""How a name may end that says its unit."""

TINY = 1e-12
"""What is smaller is what rounding leaves of zero."""


def words(name: str, unit: str = "") -> tuple[str, str]:
    """Return an outcome in words, and its unit, "" if neither says it.

    >>> words("bulk_modulus_GPa")
    ('bulk modulus', 'GPa')
    >>> words("price", "EUR/kg")
    ('price', 'EUR/kg')
    """
    for end, found in UNITS.items():
        if name.endswith(f"_{end}"):
            name, unit = name.removesuffix(f"_{end}"), unit or found
            break
    return name.replace("_", " "), unit


def title(name: str, goals: Goals) -> str:
    """Return what stands at the axis of an outcome."""
    text, unit = words(name, goals.units.get(name, ""))
    return f"{text} ({unit})" if unit else text


def aim(part: Objective | Constraint) -> str:
    """Return what is wanted of an outcome, in one line.

    >>> aim(Objective("price", "minimize", "EUR/kg", log=True))
    'minimize price, EUR/kg (as log10)'
    >>> aim(Constraint("bulk_modulus_GPa", above=120))
    'bulk modulus >= 120 GPa'
    """
    text, unit = words(part.name, part.unit)
    if isinstance(part, Constraint):
        bounds = ((">=", part.above), ("<=", part.below))
        found = [f"{sign} {value:g}" for sign, value in bounds if value is not None]
        return f"{text} {' and '.join(found)} {unit}".rstrip()
    log = " (as log10)" if part.log else ""
    return f"{part.direction} {text}{', ' if unit else ''}{unit}{log}"


def shown(value: float | None) -> str:
    """Return a value with four or five digits, "-" where there is none.

    >>> shown(-0.0312345), shown(160.123456), shown(23036.01), shown(-7e-15)
    ('-0.03123', '160.12', '23036', '0')
    """
    if value is None:
        return "-"
    size = abs(value)
    if size < TINY:
        return "0"
    if size >= 1e6 or size < 1e-4:
        return f"{value:.3e}"
    before = max(math.floor(math.log10(size)) + 1, 0)
    return f"{value:.{max(0, 5 - before)}f}"
