"""Tasks of conformers: torsions of a rigid molecule, with GFN2-xTB energies.

Bond lengths and angles are those of a conformer relaxed with GFN2-xTB; the stored structure is the
lowest rigid conformer. tblite comes with `bostruct[bench]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bostruct.bench.single_objective.matter import gfn2
from bostruct.bench.single_objective.named_tasks import reference_structure
from bostruct.bench.single_objective.task import Task
from bostruct.evaluators import Calculator
from bostruct.spaces import Conformers

TOLERANCE = 0.02
"""Energy above the lowest conformer that still solves a task, eV; of two and four torsions the next
ones are 28 meV up, of six 3."""

ALANINE_DIPEPTIDE_SOURCE = (
    "grid of 36 x 36 rigid conformers, its seven minima refined; the next is 29 meV up"
)
AMINOPROPANOL_SOURCE = (
    "200 random rigid conformers relaxed in their torsions, 2,620 energies: 10 are there, as it or "
    "as its mirror image; the next is 28 meV up"
)

AMINOPENTANOL_SOURCE = (
    "1,260 random rigid conformers of six torsions, of some 729 wells, relaxed in their torsions, "
    "14,276 energies: 9 are within 5 meV, 24 within 20 meV"
)


def rigid_conformers(name: str, torsions: Mapping[str, tuple[int, int, int, int]]) -> Conformers:
    """Return the conformers of a stored molecule.

    Args:
        name: Name of the task.
        torsions: Atoms of each dihedral angle.
    """
    return Conformers(reference_structure(name), torsions)


def _conformer_task(
    name: str, torsions: Mapping[str, tuple[int, int, int, int]], energy: float, source: str
) -> Task:
    return Task(
        name,
        partial(rigid_conformers, name, torsions),
        Calculator(gfn2),
        energy,
        TOLERANCE,
        source,
        partial(reference_structure, name),
        required_module="tblite",
    )


CONFORMERS: Mapping[str, Task] = {
    task.name: task
    for task in (
        _conformer_task(
            "alanine_dipeptide",
            {"phi": (1, 3, 4, 6), "psi": (3, 4, 6, 8)},
            -897.261358,
            ALANINE_DIPEPTIDE_SOURCE,
        ),
        _conformer_task(
            "aminopropanol",
            {
                "NCCC": (0, 1, 2, 3),
                "CCCO": (1, 2, 3, 4),
                "CCOH": (2, 3, 4, 13),
                "CCNH": (2, 1, 0, 5),
            },
            -489.156697,
            AMINOPROPANOL_SOURCE,
        ),
        _conformer_task(
            "aminopentanol",
            {
                "CCNH": (2, 1, 0, 7),
                "NCCC": (0, 1, 2, 3),
                "CCCC": (1, 2, 3, 4),
                "CCCC-2": (2, 3, 4, 5),
                "CCCO": (3, 4, 5, 6),
                "CCOH": (4, 5, 6, 19),
            },
            -661.388219,
            AMINOPENTANOL_SOURCE,
        ),
    )
}
"""Tasks by name."""
