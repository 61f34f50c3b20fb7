"""Partial occupancies, which ASE reads from files and leaves to the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

OCCUPANCY_TOLERANCE = 1e-3
"""Largest difference from 1 of the occupancy of an ordered site."""

OCCUPANCY_NAMES = ("occupancy", "occupancies")
"""Names under which ASE's readers keep occupancies: of sites in `info`, of atoms in `arrays`."""


def partial_occupancy(atoms: Atoms) -> str:
    """Return the occupancy of a site that is not one whole atom, "" for ordered atoms.

    ASE takes the majority species of a mixed site, and an atom for a site that is partly vacant.
    """
    for name in OCCUPANCY_NAMES:
        sites = atoms.info.get(name)
        if isinstance(sites, Mapping):
            for site, species in sites.items():
                if isinstance(species, Mapping) and (text := _site_text(species)):
                    return f"{text} on site {site}"
        column = atoms.arrays.get(name)
        if column is not None and column.ndim == 1 and np.issubdtype(column.dtype, np.number):
            # Programs that know no occupancy write zeros throughout.
            broken = np.abs(column - 1) > OCCUPANCY_TOLERANCE
            if broken.any() and column.any():
                i = int(np.argmax(broken))
                return f"{column[i]:g} {atoms.symbols[i]} on atom {i}"
    return ""


def _site_text(species: Mapping[str, float]) -> str:
    """Return the species of a site with their occupancies, "" for one whole atom."""
    values = {name: float(value) for name, value in species.items() if float(value) > 0}
    if len(values) == 1 and abs(sum(values.values()) - 1) <= OCCUPANCY_TOLERANCE:
        return ""
    return " ".join(f"{value:g} {name}" for name, value in values.items()) or "nothing"
