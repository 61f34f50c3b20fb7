"""What was evaluated, as entries for pymatgen's phase diagrams and databases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bostruct.evaluators.alloys.convex_hull import MIXING_ENTHALPY

if TYPE_CHECKING:
    from ase import Atoms

COMPUTED_ENTRIES_KEY = "computed_entries"
"""ComputedStructureEntry: total energies, as the evaluator has them."""

MIXING_ENTRIES_KEY = "mixing_entries"
"""PDEntry: enthalpies of mixing, with the elements at 0, for a phase diagram."""


def computed_entries_json(
    images: Sequence[Atoms],
    energies: Sequence[float | None],
    properties: Sequence[Mapping[str, float]],
    names: Sequence[str],
) -> str:
    """Return JSON that `monty.json.MontyDecoder` makes pymatgen's entries of.

    Args:
        images: Structures.
        energies: Of each, eV; None where it is not known or not believed.
        properties: What else is known and believed of each; the mixing enthalpy among
            it, in eV per atom, makes an entry for a phase diagram.
        names: What the entries are called.

    Returns:
        A JSON object with the lists `computed_entries` and `mixing_entries`; in the
        latter the elements are there as well, unless it is empty.
    """
    from monty.json import MontyEncoder
    from pymatgen.analysis.phase_diagram import PDEntry
    from pymatgen.core import Composition
    from pymatgen.entries.computed_entries import ComputedStructureEntry
    from pymatgen.io.ase import AseAtomsAdaptor

    computed: list[Any] = []
    mixing: list[Any] = []
    for image, energy, known, name in zip(images, energies, properties, names, strict=True):
        whole = Composition(image.get_chemical_formula())
        if energy is not None and image.cell.rank == 3 and image.pbc.all():
            bare = image.copy()
            bare.info = {}  # an entry says it in `data`
            structure = AseAtomsAdaptor.get_structure(bare)
            computed.append(
                ComputedStructureEntry(structure, energy, data=dict(known), entry_id=name)
            )
        if MIXING_ENTHALPY in known:
            enthalpy = known[MIXING_ENTHALPY] * whole.num_atoms
            mixing.append(PDEntry(whole, enthalpy, name=name, attribute=dict(known)))
    symbols = sorted({str(e) for entry in mixing for e in entry.composition})
    mixing += [PDEntry(Composition(symbol), 0.0) for symbol in symbols]
    return json.dumps(
        {COMPUTED_ENTRIES_KEY: computed, MIXING_ENTRIES_KEY: mixing},
        cls=MontyEncoder,
        indent=1,
    )
