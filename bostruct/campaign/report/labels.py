"""Outcomes as people write them: words, and a unit behind a comma or in brackets."""

from __future__ import annotations

import math

from bostruct.objectives import Constraint, Objective, OptimizationConfig

UNIT_SUFFIXES = {
    "eV_per_atom": "eV/atom",
    "GPa": "GPa",
    "g_per_cm3": "g/cm³",
    "A3_per_atom": "Å³/atom",
    "usd_per_kg_2013": "USD/kg",
    "eV": "eV",
    "K": "K",
}
"""How a name may end that says its unit."""

ZERO_TOLERANCE = 1e-12
"""What is smaller is what rounding leaves of zero."""


def split_unit(name: str, unit: str = "") -> tuple[str, str]:
    """Return an outcome in words, and its unit, "" if neither says it.

    >>> words("bulk_modulus_GPa")
    ('bulk modulus', 'GPa')
    >>> words("price", "EUR/kg")
    ('price', 'EUR/kg')
    """
    for end, found in UNIT_SUFFIXES.items():
        if name.endswith(f"_{end}"):
            name, unit = name.removesuffix(f"_{end}"), unit or found
            break
    return name.replace("_", " "), unit


def axis_label(name: str, optimization_config: OptimizationConfig) -> str:
    """Return what stands at the axis of an outcome."""
    text, unit = split_unit(name, optimization_config.units.get(name, ""))
    return f"{text} ({unit})" if unit else text


def format_objective(part: Objective | Constraint) -> str:
    """Return what is wanted of an outcome, in one line.

    >>> aim(Objective("price", "minimize", "EUR/kg", log=True))
    'minimize price, EUR/kg (as log10)'
    >>> aim(Constraint("bulk_modulus_GPa", above=120))
    'bulk modulus >= 120 GPa'
    """
    text, unit = split_unit(part.name, part.unit)
    if isinstance(part, Constraint):
        bounds = ((">=", part.lower), ("<=", part.upper))
        found = [f"{sign} {value:g}" for sign, value in bounds if value is not None]
        return f"{text} {' and '.join(found)} {unit}".rstrip()
    log = " (as log10)" if part.log else ""
    return f"{part.direction} {text}{', ' if unit else ''}{unit}{log}"


def format_number(value: float | None) -> str:
    """Return a value with four or five digits, "-" where there is none.

    >>> shown(-0.0312345), shown(160.123456), shown(23036.01), shown(-7e-15)
    ('-0.03123', '160.12', '23036', '0')
    """
    if value is None:
        return "-"
    size = abs(value)
    if size < ZERO_TOLERANCE:
        return "0"
    if size >= 1e6 or size < 1e-4:
        return f"{value:.3e}"
    before = max(math.floor(math.log10(size)) + 1, 0)
    return f"{value:.{max(0, 5 - before)}f}"
