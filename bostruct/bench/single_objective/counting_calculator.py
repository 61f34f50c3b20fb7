"""An evaluator for ASE's optimizers, in which every call is counted.

Energy and forces of one structure are one call, as they are in a campaign.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from bostruct.evaluators import Evaluator, Failure, evaluate
from bostruct.structures import Structures

Array = NDArray[np.float64]


class Done(Exception):  # noqa: N818 - no error
    """The task is solved, or the cap is reached."""


class Lost(Exception):  # noqa: N818 - the search goes on
    """The evaluator has failed: this relaxation cannot go on."""


@final
class Counted:
    """Looks like an ASE calculator.

    Args:
        evaluator: The true energy.
        target: An energy at or below it ends the search, eV.
        cap: Of the number of calls.

    Attributes:
        energies: In the order asked for, eV; None where the evaluator failed.
    """

    def __init__(self, evaluator: Evaluator, target: float, cap: int) -> None:
        self.evaluator = evaluator
        self.target = target
        self.cap = cap
        self.energies: list[float | None] = []
        self._template: Structures | None = None
        self._known: tuple[Array, float, Array] | None = None

    @property
    def done(self) -> bool:
        """Whether the task is solved, or the cap is reached."""
        last = self.energies[-1] if self.energies else None
        solved = last is not None and last <= self.target
        return solved or len(self.energies) >= self.cap

    def attach(self, structures: Structures, atoms: Any) -> Any:  # noqa: ANN401 - ASE
        """Return the atoms of one structure with this as their calculator."""
        self._template = structures
        self._known = None
        atoms.calc = self
        return atoms

    def get_potential_energy(
        self,
        atoms: Any,  # noqa: ANN401 - ASE
        force_consistent: bool = False,
    ) -> float:
        """Return the energy, eV."""
        return self._call(atoms)[1]

    def get_forces(self, atoms: Any) -> Array:  # noqa: ANN401 - ASE
        """Return the forces, eV/Å."""
        return self._call(atoms)[2].copy()

    def _call(self, atoms: Any) -> tuple[Array, float, Array]:  # noqa: ANN401 - ASE
        positions: Array = np.array(atoms.positions, dtype=np.float64)
        if self._known is not None and np.array_equal(self._known[0], positions):
            return self._known
        if len(self.energies) >= self.cap:
            raise Done
        assert self._template is not None
        there = torch.from_numpy(positions).to(self._template.positions)
        if not bool(there.isfinite().all()):
            raise Lost
        outcome = evaluate(self.evaluator, replace(self._template, positions=there))
        if isinstance(outcome, Failure):
            self.energies.append(None)
            raise Lost
        self.energies.append(outcome.energy)
        if outcome.energy <= self.target:
            raise Done
        if outcome.forces is None:
            raise Lost
        forces: Array = outcome.forces.numpy()
        self._known = (positions, outcome.energy, forces)
        return self._known
