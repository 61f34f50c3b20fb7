"""Tasks of phase diagrams: all stable phases of a chemical system are to be found.

The energy of such a task is the mean of the convex hull over the formulas of the space, eV per
atom: it is the lowest once all ground states are known. The tolerance is half of the rise of the
mean where the one of least effect is replaced by the next best of its composition.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bostruct.bench.single_objective.named_tasks import emt
from bostruct.bench.single_objective.task import Task
from bostruct.evaluators import Calculator
from bostruct.spaces import ChemicalSystem

PHASE_DIAGRAMS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task(
            "cu_au_phases",
            partial(ChemicalSystem, "Cu-Au", max_atoms=8),
            Calculator(emt),
            -0.009535,
            0.0001,
            source="Cu hcp, Cu3Au D0_19, CuAu B19 and Au fcc, the lowest of 964 relaxed orderings "
            "of up to eight atoms on the fcc and the hcp lattice",
        ),
    )
}
"""Tasks of the suite by name, in order."""
