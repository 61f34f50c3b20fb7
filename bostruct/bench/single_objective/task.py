"""A problem with a known answer.

A task of your own is a few lines in a Python file, `mytask.py`:

    from ase.calculators.emt import EMT
    import bostruct as bo
    from bostruct.bench import Setting, Task

    pt6 = Task(
        name="pt6",
        space=lambda: bo.spaces.Cluster("Pt6"),
        evaluator=bo.evaluators.Calculator(EMT),
        reference=9.6045,
        tolerance=0.05,
        source="the lowest of 200 relaxed random clusters",
    )

and `bostruct bench mytask.py --seeds 20` runs it, beside the named ones if they are
given too. A file may hold several tasks. It may also hold a `Setting`, a campaign with
other parts than the default ones, which `--effort` selects by its name:

    narrow = Setting("narrow", {"search": bo.candidates.Search(parents=3)})
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

from bostruct.errors import InputError, check_positive, error_message
from bostruct.evaluators import Evaluator
from bostruct.spaces import Space


def check_folder_name(name: str) -> str:
    """Return `name` if a folder can have it.

    Raises:
        InputError: it cannot.
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name) is None:
        way_out = "It names a folder: letters, digits and - _ . + will do."
        raise InputError(error_message("name", "be the name of a folder", repr(name), way_out))
    return name


@final
@dataclass(frozen=True, eq=False)
class Task:
    """A space and an evaluator whose lowest energy is known.

    Args:
        name: Of its folder and in the results.
        make_space: Makes the space; called once.
        evaluator: The true energy.
        reference_energy: The lowest energy known, eV.
        tolerance: An energy this much above the reference solves the task, eV.
        source: Where the reference comes from.
        make_reference_structure: Makes the structure of that energy as `ase.Atoms`, if it is to be had:
            causes of failures are then told apart although no run has solved the task.

    Raises:
        InputError: a name that is no name of a folder, or a number out of range.
    """

    name: str
    make_space: Callable[[], Space]
    evaluator: Evaluator
    reference_energy: float
    tolerance: float = 0.05
    source: str = ""
    make_reference_structure: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        check_folder_name(self.name)
        if not math.isfinite(self.reference_energy):
            way_out = "It is the lowest energy known, in eV."
            raise InputError(
                error_message("reference_energy", "be finite", self.reference_energy, way_out)
            )
        check_positive("tolerance", self.tolerance, "It is in eV.")
        if not callable(self.make_space):
            way_out = "For example `lambda: bostruct.spaces.Cluster('Cu15')`."
            found = type(self.make_space).__name__
            condition = "be a function that makes a space"
            raise InputError(error_message("make_space", condition, found, way_out))

    @cached_property
    def search_space(self) -> Space:
        """The space, made when it is first needed."""
        return self.make_space()

    @property
    def target_energy(self) -> float:
        """The highest energy that solves the task, eV."""
        return self.reference_energy + self.tolerance
