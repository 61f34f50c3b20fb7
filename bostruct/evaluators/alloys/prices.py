"""Prices of the elements of an alloy, by the 2013 reference table of pymatgen.

The table is pymatgen's `costdb_elements.csv`: US dollars per kg of the element, as Wikipedia and
Wolfram Alpha had them in September 2013. It is fixed and citable, not a market price of today.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from importlib.resources import files

from bostruct.errors import InputError, error_message

PRICE_SOURCE = "2013 reference price, pymatgen's costdb_elements.csv"


@functools.cache
def element_prices() -> Mapping[str, float]:
    """Return the price of each element in the table, 2013 US dollars per kg."""
    # The file alone: importing pymatgen.analysis.cost takes seconds.
    table = files("pymatgen.analysis") / "costdb_elements.csv"
    with table.open(encoding="utf-8") as file:
        return {row[0]: float(row[1]) for row in csv.reader(file, quotechar="|") if row}


def price_per_kg(composition: Mapping[str, float]) -> float:
    """Return the price of the elements in a kg of an alloy, 2013 US dollars.

    Args:
        composition: Atoms, or atomic fractions, of each element by symbol.

    Raises:
        InputError: there are no atoms, or an element has no price in the table.

    >>> round(price_per_kg({"Cu": 3, "Au": 1}))
    23068
    """
    from ase.data import atomic_masses, atomic_numbers

    table = element_prices()
    if missing := [symbol for symbol in composition if symbol not in table]:
        condition = "hold elements with a reference price"
        way_out = "The 2013 table of pymatgen has none for it."
        raise InputError(error_message("composition", condition, ", ".join(missing), way_out))
    masses = {s: n * atomic_masses[atomic_numbers[s]] for s, n in composition.items()}
    total = float(sum(masses.values()))
    if not total > 0:
        raise InputError(error_message("composition", "hold atoms", "none"))
    return float(sum(m * table[s] for s, m in masses.items())) / total
