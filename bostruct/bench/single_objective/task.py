"""Task of the energy benchmark: a search problem whose lowest energy is known.

A further task is a few lines in a Python file, `mytask.py`:

    from ase.calculators.emt import EMT
    import bostruct as bo
    from bostruct.bench import Setting, Task

    pt6 = Task(
        name="pt6",
        make_space=lambda: bo.spaces.Cluster("Pt6"),
        evaluator=bo.evaluators.Calculator(EMT),
        reference_energy=9.6045,
        tolerance=0.05,
        source="lowest of 200 relaxed random clusters",
    )

and `bostruct bench mytask.py --seeds 20` runs it. A file may hold several tasks, and a `Setting`, a
campaign with other components than the default ones, which `--effort` selects by its name:

    narrow = Setting("narrow", {"search": bo.candidates.BasinHopping(n_parents=3)})
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any, final

import torch
from torch import Tensor

from bostruct.errors import InputError, check_positive, error_message
from bostruct.evaluators import Evaluator
from bostruct.spaces import Space
from bostruct.structures import from_ase


def check_folder_name(name: str) -> str:
    """Return `name` if it is the name of a folder on every system.

    Raises:
        InputError: the name has other characters.
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name) is None:
        way_out = "Use letters, digits and - _ . +."
        raise InputError(error_message("name", "be the name of a folder", repr(name), way_out))
    return name


@final
@dataclass(frozen=True, eq=False)
class Task:
    """Search space and evaluator whose lowest energy is known.

    Args:
        name: Name of the task in the results and of its folder.
        make_space: Function that makes the space; called once.
        evaluator: Evaluator of the true energy.
        reference_energy: Lowest known energy, eV.
        tolerance: Energy above the reference that still solves the task, eV.
        source: Origin of the reference energy.
        make_reference_structure: Function that makes the structure of the reference energy as
            `ase.Atoms`, with which failures are diagnosed where no run has solved the task.
        make_start: Function from a seed to the `ase.Atoms` that a search starts from instead of a
            random structure of the space, such as intact molecules.
        required_module: Python module of the calculator that bostruct does not depend on; "" for
            none.
        required_extra: Extra of bostruct that installs it.

    Raises:
        InputError: the name is no name of a folder, or a number is out of range.
    """

    name: str
    make_space: Callable[[], Space]
    evaluator: Evaluator
    reference_energy: float
    tolerance: float = 0.05
    source: str = ""
    make_reference_structure: Callable[[], Any] | None = None
    make_start: Callable[[int], Any] | None = None
    required_module: str = ""
    required_extra: str = "bench"

    def __post_init__(self) -> None:
        check_folder_name(self.name)
        if not math.isfinite(self.reference_energy):
            value, way_out = self.reference_energy, "It is the lowest energy known, in eV."
            raise InputError(error_message("reference_energy", "be finite", value, way_out))
        check_positive("tolerance", self.tolerance, "It is in eV.")
        if not callable(self.make_space):
            way_out = "For example `lambda: bostruct.spaces.Cluster('Cu15')`."
            value = type(self.make_space).__name__
            condition = "be a function that makes a space"
            raise InputError(error_message("make_space", condition, value, way_out))

    @cached_property
    def search_space(self) -> Space:
        """Search space, made when it is first needed."""
        return self.make_space()

    @property
    def is_available(self) -> bool:
        """True if the required module is installed."""
        return not self.required_module or find_spec(self.required_module) is not None

    def start(self, generator: torch.Generator) -> Tensor:
        """Return the coordinates of one structure to start a search from, `[1, d]`.

        Args:
            generator: Random generator.
        """
        space = self.search_space
        if self.make_start is None:
            return space.sample(1, generator)
        seed = int(torch.randint(2**31, (1,), generator=generator))
        return space.encode(from_ase(self.make_start(seed)))

    @property
    def target_energy(self) -> float:
        """Highest energy that solves the task, eV."""
        return self.reference_energy + self.tolerance
