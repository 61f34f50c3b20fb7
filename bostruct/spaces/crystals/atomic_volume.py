"""Volume and contact distances of crystals whose structure is unknown, from the formula alone.

Kinds of matter pack differently:

- ions, where a metal or silicon and an element of a Pauling electronegativity higher by 1 or more
  meet: spheres of the mean ionic radii (Shannon, Acta Cryst. A 32, 751 (1976)) fill 57 %;
- molecules of H, C, N, O and halogens: spheres of the van der Waals radii (Alvarez, Dalton Trans.
  42, 8617 (2013)) fill all, as bonded ones overlap;
- metals and noble gases: the volume of the element's own crystal, where that is a simple one; else
  touching spheres of the metallic or van der Waals radii fill 70 %;
- other elements, bonded covalently: spheres of the covalent radii fill 34 % as in diamond.

In 53 known crystals from LiF to MgB2 this is right to 10 % in the median. An element whose
radius is not the covalent one is a sphere that touches others, of which 70 % of the volume is full.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.spaces.composition_properties import atomic_volumes
from bostruct.structures import SYMBOLS, covalent_radii
from bostruct.structures.problem_scale import BOILING_TEMPERATURES

IONIC_PACKING_FRACTION = 0.57
"""Fraction of the volume that spheres of the mean ionic radii fill."""

COVALENT_PACKING_FRACTION = 0.34
"""Fraction of the volume that spheres of the covalent radii fill in diamond."""

SPHERE_PACKING_FRACTION = 0.70
"""Fraction of the volume that touching spheres fill, between bcc and close packing."""

MIN_ELECTRONEGATIVITY_DIFFERENCE = 1.0
"""Least difference of Pauling electronegativities of the elements of an ionic crystal."""

MAX_CATION_ELECTRONEGATIVITY = 2.0
"""Electronegativity below which the least electronegative element may be a cation."""

MOLECULAR_ELEMENTS = frozenset((1, 6, 7, 8, 9, 17, 35, 53))
"""Elements that form molecules with each other: H, C, N, O and the halogens."""

NOBLE_GASES = tuple(BOILING_TEMPERATURES)
"""Atomic numbers of the noble gases, whose covalent radii are not those of their crystals."""

LIKE_ION_FACTOR = 2 / math.sqrt(3)
"""Least distance of like ions over that of unlike ones: the edge of a cube over half its diagonal.

In crystals of coordination numbers up to eight they are not closer.
"""


@final
@dataclass(frozen=True)
class Ions:
    """Elements of an ionic crystal.

    Attributes:
        cations: atomic numbers of the electropositive elements.
        anions: atomic numbers of the electronegative elements.
        radii: mean ionic radius of each of them, Å.
    """

    cations: frozenset[int]
    anions: frozenset[int]
    radii: dict[int, float]


def find_ions(numbers: Tensor) -> Ions | None:
    """Return the ions of a formula, or None where it is not ionic.

    Args:
        numbers: `[a]` atomic numbers.
    """
    species = sorted(set(numbers.tolist()))
    if len(species) < 2:
        return None
    from pymatgen.core import Element

    elements = {z: Element.from_Z(z) for z in species}
    known = {z: float(e.data.get("X") or math.nan) for z, e in elements.items()}
    if any(map(math.isnan, known.values())):
        return None
    lowest, highest = min(known.values()), max(known.values())
    if (
        lowest >= MAX_CATION_ELECTRONEGATIVITY
        or highest - lowest < MIN_ELECTRONEGATIVITY_DIFFERENCE
    ):
        return None
    middle = (lowest + highest) / 2
    anions = frozenset(z for z in species if known[z] > middle and not elements[z].is_metal)
    cations = frozenset(species) - anions
    radii = {z: float(elements[z].average_anionic_radius) for z in anions}
    radii |= {z: float(elements[z].average_cationic_radius) for z in cations}
    return Ions(cations, anions, radii) if anions and min(radii.values()) > 0 else None


def default_volume(numbers: Tensor, atomic_radii: Tensor) -> float:
    """Return the volume per atom of crystals of a formula, Å³.

    Args:
        numbers: `[a]` atomic numbers.
        atomic_radii: `[a]` Å.
    """
    species = dict(zip(numbers.tolist(), atomic_radii.tolist(), strict=True))
    custom = {
        z: radius
        for z, radius in species.items()
        if not math.isclose(radius, float(covalent_radii(torch.tensor(z))))
    }
    ions = None if custom else find_ions(numbers)
    volumes = {}
    for z, radius in species.items():
        if z in custom:
            volumes[z] = _sphere_volume(radius) / SPHERE_PACKING_FRACTION
        elif ions is not None:
            volumes[z] = _sphere_volume(ions.radii[z]) / IONIC_PACKING_FRACTION
        elif MOLECULAR_ELEMENTS.issuperset(species) and set(species) != {6}:
            volumes[z] = _sphere_volume(_van_der_waals_radius(z))
        else:
            volumes[z] = _element_volume(z, radius)
    return sum(volumes[z] for z in numbers.tolist()) / len(numbers)


def resting_radii(numbers: Tensor, atomic_radii: Tensor, volume: float) -> Tensor:
    """Return the radii of atoms of noble gases alone, which touch where they are close packed.

    Their covalent radii are those of bonds that they do not have. Other formulas keep the radii.

    Args:
        numbers: `[a]` atomic numbers.
        atomic_radii: `[a]` Å.
        volume: expected volume per atom, Å³.

    Returns:
        `[a]` Å, in the ratios of the van der Waals radii.
    """
    if not set(numbers.tolist()) <= set(NOBLE_GASES):
        return atomic_radii
    radii = [_van_der_waals_radius(z) for z in numbers.tolist()]
    if not all(map(math.isfinite, radii)):
        radii = atomic_radii.tolist()
    close_packed = torch.tensor(radii, dtype=torch.float64)
    filled = float((4 * math.sqrt(2) * close_packed.pow(3)).mean())
    touching: Tensor = close_packed * (volume / filled) ** (1 / 3)
    return touching


def contact_lengths(numbers: Tensor, atomic_radii: Tensor, volume: float) -> Tensor:
    """Return the distances of atoms in contact, `[a, a]` Å.

    They are the sums of the radii but for atoms that do not bond: two anions are in contact where
    both touch one cation at the corners of a cube, and two cations likewise; atoms of noble gases
    where they are close packed.

    Args:
        numbers: `[a]` atomic numbers.
        atomic_radii: `[a]` Å.
        volume: expected volume per atom, Å³.
    """
    lengths = atomic_radii.unsqueeze(0) + atomic_radii.unsqueeze(1)
    noble = torch.isin(numbers, torch.tensor(NOBLE_GASES))
    close_packed = (math.sqrt(2) * volume) ** (1 / 3)
    both = noble.unsqueeze(0) & noble.unsqueeze(1)
    lengths[both] = lengths[both].clamp(min=close_packed)
    ions = find_ions(numbers)
    if ions is None:
        return lengths
    radius = dict(zip(numbers.tolist(), atomic_radii.tolist(), strict=True))
    for like, unlike in ((ions.anions, ions.cations), (ions.cations, ions.anions)):
        nearest = min(radius[z] for z in unlike)
        for first in like:
            for second in like:
                bond = (radius[first] + radius[second]) / 2 + nearest
                is_first, is_second = numbers == first, numbers == second
                lengths[is_first.unsqueeze(1) & is_second] = LIKE_ION_FACTOR * bond
    return lengths


def _element_volume(number: int, radius: float) -> float:
    """Return the volume of an atom of a metal, noble gas or covalently bonded element, Å³."""
    from ase.data import reference_states
    from pymatgen.core import Element

    state, element = reference_states[number] or {}, Element.from_Z(number)
    is_simple = state.get("symmetry") in ("fcc", "bcc", "hcp", "sc")
    if element.is_metal and element.block != "p" and is_simple:
        return atomic_volumes([SYMBOLS[number]])[SYMBOLS[number]]
    if state.get("symmetry") == "diamond" or (state.get("symmetry") == "fcc" and is_simple):
        return atomic_volumes([SYMBOLS[number]])[SYMBOLS[number]]
    if number in NOBLE_GASES:
        return _sphere_volume(_van_der_waals_radius(number)) / SPHERE_PACKING_FRACTION
    metallic_radius = element.data.get("Metallic radius")
    if element.is_metal and element.block != "p" and isinstance(metallic_radius, int | float):
        return _sphere_volume(float(metallic_radius)) / SPHERE_PACKING_FRACTION
    return _sphere_volume(radius) / COVALENT_PACKING_FRACTION


def _van_der_waals_radius(number: int) -> float:
    from ase.data.vdw_alvarez import vdw_radii

    return float(vdw_radii[number])


def _sphere_volume(radius: float) -> float:
    return 4 / 3 * math.pi * radius**3
