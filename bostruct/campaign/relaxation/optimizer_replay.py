"""The next step of a relaxation, from the steps that are in the log.

ASE's `BFGSLineSearch` is started anew each time and answered from the log; the first
structure it asks for that is not there is the next one. So a relaxation has no state of
its own, and one that was interrupted goes on as if it had not been. Of ASE's optimizers
this one took the fewest calls on copper clusters and on a surface by a factor of about
two.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bostruct.campaign.records import Trial
from bostruct.spaces import Space
from bostruct.structures import to_ase

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]

MAX_STEP = 0.2
"""Å. An atom moves by less in one step of the optimizer; ASE's own value."""

MAX_STEP_BOND_FRACTION = 0.1
"""The same in bonds, for atoms of another size."""

POSITION_TOLERANCE = 1e-6
"""Å. Coordinates that the optimizer asks for again differ by less."""


def next_geometry(space: Space, trials: Sequence[Trial], fmax: float) -> Tensor | None:
    """Return the structure `[d]` whose energy a relaxation needs next.

    Where the optimizer asks for other structures than are in the log, as another
    version of it may, it starts anew from the first it does not ask for.

    Args:
        space: Of the structures.
        trials: The trials of the relaxation in their order, with forces.
        fmax: Largest force at which it ends, eV/Å.

    Returns:
        The coordinates; None if the optimizer has none.
    """
    while True:
        log = _ReplayCalculator(space, trials)
        try:
            _run_optimizer(log, float(space.atomic_radii.max()), fmax)
        except _NeedsEvaluation as asked:
            return asked.X
        except _Diverged:
            trials = trials[log.n_used :]
            continue
        except (RuntimeError, np.linalg.LinAlgError):
            return None  # "LineSearch failed!": rounding is all that is left
        return None


def _run_optimizer(calculator: _ReplayCalculator, radius: float, fmax: float) -> None:
    from ase.optimize import BFGSLineSearch

    atoms = calculator.atoms()
    step = min(MAX_STEP, MAX_STEP_BOND_FRACTION * 2 * radius)
    # It prints where it skips an update, and divides by what may be zero.
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        BFGSLineSearch(atoms, logfile=None, maxstep=step).run(fmax=fmax)


class _NeedsEvaluation(Exception):  # noqa: N818 - no error
    """A structure is asked for that is not in the log."""

    def __init__(self, X: Tensor) -> None:
        super().__init__()
        self.X = X


class _Diverged(Exception):  # noqa: N818 - no error
    """A structure is asked for where the log has another one."""


@final
class _ReplayCalculator:
    """Looks like an ASE calculator, and answers from the log.

    Args:
        space: Of the structures.
        trials: What it answers with, in this order.
    """

    def __init__(self, space: Space, trials: Sequence[Trial]) -> None:
        self._space, self._trials = space, trials
        self._template = space.decode(trials[0].X)
        self._replayed: list[tuple[Array, float, Array]] = []

    @property
    def n_used(self) -> int:
        """How many trials were asked for."""
        return len(self._replayed)

    def atoms(self) -> Atoms:
        """Return the first structure, with this as its calculator."""
        atoms = to_ase(self._template)[0]
        atoms.calc = self
        return atoms

    def get_potential_energy(
        self,
        atoms: Any,  # noqa: ANN401 - ASE
        force_consistent: bool = False,
    ) -> float:
        """Return the energy, eV."""
        return self._result_at(atoms)[1]

    def get_forces(self, atoms: Any) -> Array:  # noqa: ANN401 - ASE
        """Return the forces, eV/Å."""
        return self._result_at(atoms)[2].copy()

    def _result_at(self, atoms: Any) -> tuple[Array, float, Array]:  # noqa: ANN401 - ASE
        positions: Array = np.array(atoms.positions, dtype=np.float64)
        for answer in reversed(self._replayed):
            if np.array_equal(answer[0], positions):
                return answer
        if not np.isfinite(positions).all():
            raise RuntimeError("the optimizer has lost its way")
        there = torch.from_numpy(positions).to(self._template.positions)
        X = self._space.encode(replace(self._template, positions=there))[0]
        if self.n_used == len(self._trials):
            raise _NeedsEvaluation(X)
        trial = self._trials[self.n_used]
        if self.n_used and not torch.allclose(X, trial.X.to(X), rtol=0, atol=POSITION_TOLERANCE):
            raise _Diverged
        assert trial.energy is not None
        assert trial.forces is not None
        answer = (positions, trial.energy, trial.forces.numpy())
        self._replayed.append(answer)
        return answer
