"""Export of evaluations as pymatgen entries, for phase diagrams and databases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bostruct.evaluators.alloys.convex_hull import MIXING_ENTHALPY

if TYPE_CHECKING:
    from ase import Atoms

COMPUTED_ENTRIES_KEY = "computed_entries"
"""Key of the ComputedStructureEntry list: total energies, as the evaluator returns them."""

MIXING_ENTRIES_KEY = "mixing_entries"
"""Key of the PDEntry list: mixing enthalpies, with the elements at 0, for a phase diagram."""


def computed_entries_json(
    images: Sequence[Atoms],
    energies: Sequence[float | None],
    properties: Sequence[Mapping[str, float]],
    names: Sequence[str],
) -> str:
    """Return pymatgen's entries as JSON, which `monty.json.MontyDecoder` reads.

    Args:
        images: Structures.
        energies: Energy of each structure, eV; None where it is missing or not trusted.
        properties: Trusted properties of each structure; the mixing enthalpy among them, in eV per
            atom, makes an entry for a phase diagram.
        names: Names of the entries.

    Returns:
        A JSON object with the lists `computed_entries` and `mixing_entries`; the latter contains
        the elements as well, unless it is empty.
    """
    from monty.json import MontyEncoder
    from pymatgen.analysis.phase_diagram import PDEntry
    from pymatgen.core import Composition
    from pymatgen.entries.computed_entries import ComputedStructureEntry
    from pymatgen.io.ase import AseAtomsAdaptor

    computed: list[Any] = []
    mixing: list[Any] = []
    for image, energy, values, name in zip(images, energies, properties, names, strict=True):
        composition = Composition(image.get_chemical_formula())
        if energy is not None and image.cell.rank == 3 and image.pbc.all():
            bare = image.copy()
            bare.info = {}  # the entry has it in `data`
            structure = AseAtomsAdaptor.get_structure(bare)
            computed.append(
                ComputedStructureEntry(structure, energy, data=dict(values), entry_id=name)
            )
        if MIXING_ENTHALPY in values:
            enthalpy = values[MIXING_ENTHALPY] * composition.num_atoms
            mixing.append(PDEntry(composition, enthalpy, name=name, attribute=dict(values)))
    symbols = sorted({str(e) for entry in mixing for e in entry.composition})
    mixing += [PDEntry(Composition(symbol), 0.0) for symbol in symbols]
    entries = {COMPUTED_ENTRIES_KEY: computed, MIXING_ENTRIES_KEY: mixing}
    return json.dumps(entries, cls=MontyEncoder, indent=1)
