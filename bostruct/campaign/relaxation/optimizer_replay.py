"""Next geometry of a relaxation, by replaying an ASE optimizer on the logged evaluations.

ASE's `BFGSLineSearch` is restarted each time and answered from the log; the first geometry it asks
for that is not there is the next one. So a relaxation has no state of its own, and an interrupted
one resumes as if it had not been interrupted. Of ASE's optimizers this one took the fewest calls on
copper clusters and on a surface, by a factor of about two.

Where the cell varies it moves the coordinates of the space, among them the logarithm of the
deformation of the cell, as in ASE's `FrechetCellFilter`; three of them are an atom to it. Its
forces are minus the gradient of the enthalpy by these, and its energies are enthalpies.

A layer whose next step would be thicker than its space allows goes on from its last structure in a
window of heights: atoms beyond are put onto the border, and have no force along the normal.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bostruct.campaign.enthalpy import has_variable_cell
from bostruct.campaign.enthalpy_gradient import enthalpy_gradient
from bostruct.campaign.records import Trial, training_structures
from bostruct.spaces import Space
from bostruct.spaces.coordinates.coordinate_domain import SupportsDomain
from bostruct.spaces.thickness_window import SupportsThicknessWindow, ThicknessWindow
from bostruct.structures import to_ase
from bostruct.surrogates.coordinate_gp.projected_forces import energy_gradients

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]

MAX_STEP = 0.075
"""Largest displacement of an atom in one step of the optimizer, in units of the longest bond: for
copper ASE's default, 0.2 Å."""

POSITION_TOLERANCE = 1e-6
"""Å. Largest difference of coordinates of the same geometry."""


def next_geometry(space: Space, trials: Sequence[Trial], fmax: float) -> Tensor | None:
    """Return the coordinates `[d]` of the structure that a relaxation evaluates next.

    Where the optimizer asks for other geometries than are in the log, as another version of it may,
    it is restarted from the first that differs.

    Args:
        space: Space of the structures.
        trials: Trials of the relaxation in order, with forces. Where the cell varies it is relaxed
            if all of them have a stress, and stays as it is if not.
        fmax: Largest force at convergence, eV/Å; 0 for a step whatever the forces are.

    Returns:
        Coordinates; None if the optimizer has ended.
    """
    is_held = False
    while True:
        calculator = _ReplayCalculator(trials, _geometry(space, trials, is_held))
        try:
            _run_optimizer(calculator, float(space.atomic_radii.max()), fmax)
        except _NeedsEvaluation as request:
            return request.X
        except _Diverged:
            trials = trials[calculator.n_used :]
            continue
        except _TooThick:
            is_held, trials = True, trials[calculator.n_used - 1 :]
            continue
        except (RuntimeError, np.linalg.LinAlgError):
            pass  # "LineSearch failed!": rounding is all that is left
        if not is_held or calculator.n_used < 2:
            return None
        trials = trials[calculator.n_used - 1 :]  # forces may press inwards now


def _run_optimizer(calculator: _ReplayCalculator, radius: float, fmax: float) -> None:
    from ase.optimize import BFGSLineSearch

    atoms = calculator.atoms()
    # The optimizer prints where it skips an update, and may divide by zero.
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        BFGSLineSearch(atoms, logfile=None, maxstep=MAX_STEP * 2 * radius).run(fmax=fmax)


class _Geometry(Protocol):
    """Geometry of one structure as an optimizer moves it."""

    def atoms(self) -> Atoms:
        """Return the structure in its first geometry."""
        ...

    def coordinates(self, positions: Array) -> Tensor:
        """Return the coordinates `[d]` in the space of positions of `atoms`."""
        ...

    def result(self, trial: Trial, positions: Array) -> tuple[float, Array]:
        """Return value, eV, and forces, eV/Å, of a trial as those of `atoms` at positions."""
        ...


def _geometry(space: Space, trials: Sequence[Trial], is_held: bool) -> _Geometry:
    X = trials[0].X
    if isinstance(space, SupportsDomain):
        return _NamedCoordinates(space, X)
    window = space.thickness_window(X) if isinstance(space, SupportsThicknessWindow) else None
    if window is None and not has_variable_cell(space):
        return _Positions(space, X)
    with_stress = all(trial.stress is not None for trial in trials)
    return _Coordinates(space, X, with_stress, window, is_held)


@final
class _Positions:
    """Positions of the atoms in a fixed cell."""

    def __init__(self, space: Space, X: Tensor) -> None:
        self._space, self._template = space, space.decode(X)

    def atoms(self) -> Atoms:
        """Return the structure at X."""
        return to_ase(self._template)[0]

    def coordinates(self, positions: Array) -> Tensor:
        """Return the coordinates `[d]` of the structure with other positions."""
        P = torch.from_numpy(positions).to(self._template.positions)
        return self._space.encode(replace(self._template, positions=P))[0]

    def result(self, trial: Trial, positions: Array) -> tuple[float, Array]:
        """Return energy and forces of a trial, whatever the positions are."""
        assert trial.energy is not None
        assert trial.forces is not None
        return trial.energy, trial.forces.numpy()


@final
class _Coordinates:
    """Coordinates of atoms and cell, in rows of three that are atoms to the optimizer.

    Args:
        space: Space of the structures.
        X: Coordinates of the first structure, `[d]`.
        with_stress: False for the gradient at a fixed cell.
        window: Heights that a layer may have; None of other structures.
        is_held: True to hold atoms in the window.
    """

    def __init__(
        self,
        space: Space,
        X: Tensor,
        with_stress: bool,
        window: ThicknessWindow | None = None,
        is_held: bool = False,
    ) -> None:
        self._space, self._X, self._with_stress = space, X, with_stress
        self._window, self._is_held = window, is_held

    def atoms(self) -> Atoms:
        """Return atoms whose positions are X, filled with zeros."""
        from ase import Atoms

        positions = coordinate_rows(self._X).numpy()
        return Atoms(numbers=[0] * len(positions), positions=positions)

    def coordinates(self, positions: Array) -> Tensor:
        """Return the coordinates `[d]` in the rows of three."""
        X = self._flat(positions)
        if self._window is None or torch.equal(X, self._X):
            return X
        if self._is_held:
            return self._window.clamp(X)
        if self._window.exceeds(X):
            raise _TooThick
        return X

    def result(self, trial: Trial, positions: Array) -> tuple[float, Array]:
        """Return the enthalpy, and minus its gradient in rows of three."""
        assert trial.enthalpy is not None
        gradient = trial_gradient(self._space, trial, self._with_stress)
        rows = -coordinate_rows(gradient).numpy()
        if self._window is not None and self._is_held:
            beyond = self._window.beyond(self._flat(positions)).nonzero().flatten().numpy()
            rows[beyond, 2] = 0.0
        return trial.enthalpy, rows

    def _flat(self, positions: Array) -> Tensor:
        return torch.from_numpy(positions).flatten()[: len(self._X)].to(self._X)


@final
class _NamedCoordinates:
    """Named coordinates in units in which their ranges are 2 π, in rows of three."""

    def __init__(self, space: SupportsDomain, X: Tensor) -> None:
        self._space, self._X, self._units = space, X, space.domain.units.to(X)

    def atoms(self) -> Atoms:
        """Return atoms whose positions are X over its units, filled with zeros."""
        from ase import Atoms

        positions = coordinate_rows(self._X / self._units).numpy()
        return Atoms(numbers=[0] * len(positions), positions=positions)

    def coordinates(self, positions: Array) -> Tensor:
        """Return the coordinates `[d]` in the rows of three, not wrapped."""
        return torch.from_numpy(positions).flatten()[: len(self._X)].to(self._X) * self._units

    def result(self, trial: Trial, positions: Array) -> tuple[float, Array]:
        """Return the energy, and minus its gradient in rows of three, whatever positions are."""
        assert trial.energy is not None
        return trial.energy, -named_gradient_rows(self._space, trial).numpy()


def named_gradient_rows(space: SupportsDomain, trial: Trial) -> Tensor:
    """Return the gradient of the energy of a trial by named coordinates, in rows of three, eV.

    It is NaN where it is not known, as of a variable cell without stresses.

    Args:
        space: Space with a domain, whose units the gradient is by.
        trial: Trial with an energy and forces.
    """
    X = trial.X.unsqueeze(0)
    structures = training_structures([trial], space)  # type: ignore[arg-type]
    gradient = energy_gradients(space, X, structures)[0]
    return coordinate_rows(gradient * space.domain.units.to(X))


def trial_gradient(space: Space, trial: Trial, with_stress: bool = True) -> Tensor:
    """Return the gradient of the enthalpy of a trial by X, `[d]` eV/Å.

    Args:
        space: Space with a variable cell.
        trial: Trial with forces and, for a gradient by the cell too, a stress.
        with_stress: False for the gradient at a fixed cell.
    """
    assert trial.forces is not None
    stress = trial.stress.unsqueeze(0) if with_stress and trial.stress is not None else None
    return enthalpy_gradient(space, trial.X.unsqueeze(0), trial.forces, stress)[0]


def coordinate_rows(X: Tensor) -> Tensor:
    """Return coordinates `[d]` in rows of three, the last one filled with zeros."""
    return torch.nn.functional.pad(X, (0, -len(X) % 3)).reshape(-1, 3)


class _NeedsEvaluation(Exception):  # noqa: N818 - no error
    """Request for a geometry that is not in the log."""

    def __init__(self, X: Tensor) -> None:
        super().__init__()
        self.X = X


class _Diverged(Exception):  # noqa: N818 - no error
    """Request for a geometry where the log has another one."""


class _TooThick(Exception):  # noqa: N818 - no error
    """Request for a layer that is thicker than its space allows."""


@final
class _ReplayCalculator:
    """ASE calculator that answers from the log."""

    def __init__(self, trials: Sequence[Trial], geometry: _Geometry) -> None:
        self._trials, self._geometry = trials, geometry
        self._replayed: list[tuple[Array, float, Array]] = []

    @property
    def n_used(self) -> int:
        """Number of trials used as answers."""
        return len(self._replayed)

    def atoms(self) -> Atoms:
        """Return the first structure with this calculator."""
        atoms = self._geometry.atoms()
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
        for result in reversed(self._replayed):
            if np.array_equal(result[0], positions):
                return result
        if not np.isfinite(positions).all():
            raise RuntimeError("the optimizer diverged")
        X = self._geometry.coordinates(positions)
        if self.n_used == len(self._trials):
            raise _NeedsEvaluation(X)
        trial = self._trials[self.n_used]
        if self.n_used and not torch.allclose(X, trial.X.to(X), rtol=0, atol=POSITION_TOLERANCE):
            raise _Diverged
        self._replayed.append((positions, *self._geometry.result(trial, positions)))
        return self._replayed[-1]
