"""Names, units and numbers of outcomes as labels for text and axes."""

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
"""Suffixes of outcome names that state the unit."""

ZERO_TOLERANCE = 1e-12
"""Smaller magnitudes are rounding errors of zero."""


def split_unit(name: str, unit: str = "") -> tuple[str, str]:
    """Return the name of an outcome in words and its unit, "" if neither states it.

    >>> split_unit("bulk_modulus_GPa")
    ('bulk modulus', 'GPa')
    >>> split_unit("price", "EUR/kg")
    ('price', 'EUR/kg')
    """
    for suffix, suffix_unit in UNIT_SUFFIXES.items():
        if name.endswith(f"_{suffix}"):
            name, unit = name.removesuffix(f"_{suffix}"), unit or suffix_unit
            break
    return name.replace("_", " "), unit


def axis_label(name: str, optimization_config: OptimizationConfig) -> str:
    """Return the label of an outcome's axis."""
    text, unit = split_unit(name, optimization_config.units.get(name, ""))
    return f"{text} ({unit})" if unit else text


def format_objective(part: Objective | Constraint) -> str:
    """Return an objective or a constraint in one line.

    >>> format_objective(Objective("price", "minimize", "EUR/kg", log=True))
    'minimize price, EUR/kg (as log10)'
    >>> format_objective(Constraint("bulk_modulus_GPa", lower=120))
    'bulk modulus >= 120 GPa'
    """
    text, unit = split_unit(part.name, part.unit)
    if isinstance(part, Constraint):
        bounds = ((">=", part.lower), ("<=", part.upper))
        terms = [f"{sign} {value:g}" for sign, value in bounds if value is not None]
        return f"{text} {' and '.join(terms)} {unit}".rstrip()
    log = " (as log10)" if part.log else ""
    return f"{part.direction} {text}{', ' if unit else ''}{unit}{log}"


def format_number(value: float | None) -> str:
    """Return a value with four or five digits, "-" for None.

    >>> [format_number(x) for x in (-0.0312345, 160.123456, 23036.01, -7e-15)]
    ['-0.03123', '160.12', '23036', '0']
    """
    if value is None:
        return "-"
    size = abs(value)
    if size < ZERO_TOLERANCE:
        return "0"
    if size >= 1e6 or size < 1e-4:
        return f"{value:.3e}"
    n_integer_digits = max(math.floor(math.log10(size)) + 1, 0)
    return f"{value:.{max(0, 5 - n_integer_digits)}f}"
