"""State of the final relaxations, a pure function of the log.

The trajectory of a relaxation holds the trial it starts from, of the search or of the user, and the
trials of its steps. Of trajectories that end in one structure the lowest counts. A relaxation may
take `max_steps` evaluations since the last of the search; new energies of the search begin a new
final relaxation, which continues the existing trajectories.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple, final

import torch

from bostruct.campaign.analysis.bound_diagnosis import bound_name
from bostruct.campaign.atom_matching import is_duplicate
from bostruct.campaign.energy_above_hull import SystemHull, trial_ranks
from bostruct.campaign.enthalpy import has_variable_cell, needs_stress
from bostruct.campaign.planning.trial_columns import TrialColumns
from bostruct.campaign.records import PlannedStep, RelaxationReport, Step, Trial
from bostruct.campaign.reference_entries import ReferenceEntries
from bostruct.campaign.relaxation.final_relaxation import FinalRelaxation
from bostruct.campaign.relaxation.optimizer_replay import (
    coordinate_rows,
    named_gradient_rows,
    next_geometry,
    trial_gradient,
)
from bostruct.spaces import Space
from bostruct.spaces.active_bounds import ActiveBound, SupportsActiveBounds
from bostruct.spaces.coordinates.coordinate_domain import SupportsDomain
from bostruct.spaces.thickness_window import SupportsThicknessWindow

CONVERGED_AT_FIXED_CELL = "converged at a fixed cell: the evaluator returns no stress"
"""State of a relaxation of the atoms alone where the cell varies."""

UNKNOWN_GRADIENT = (
    "not converged: the coordinates change the cell, and the evaluator returns no stress"
)
"""State of a relaxation by coordinates whose forces are not known."""


class RelaxationTrajectory(NamedTuple):
    """Trajectory of one relaxation: its first trial and its steps."""

    start: Trial
    steps: tuple[Trial, ...]

    @property
    def evaluated(self) -> list[Trial]:
        """Trials with an energy that is not doubted, in order."""
        return [trial for trial in (self.start, *self.steps) if trial.is_known]

    @property
    def lowest(self) -> Trial:
        """Trial of the lowest enthalpy."""
        return min(self.evaluated, key=lambda trial: (trial.enthalpy, trial.number))


@final
class RelaxationQueue:
    """Relaxations of a campaign, reconstructed from its log.

    Args:
        final_relaxation: Settings.
        space: Space of the structures.
        steps: Steps of the log.
        trials: Trials of the log, in order.
        columns: Columns of the trials, kept from the step before.
        references: Phases of known enthalpy, where the energy above a hull ranks structures.
    """

    def __init__(
        self,
        final_relaxation: FinalRelaxation,
        space: Space,
        steps: Sequence[Step],
        trials: Sequence[Trial],
        columns: TrialColumns | None = None,
        references: ReferenceEntries | None = None,
    ) -> None:
        self.final_relaxation, self.space = final_relaxation, space
        self._columns = columns or TrialColumns()
        self._references = references
        self._done_trials = [trial for trial in trials if trial.state == "done"]
        self._step_number = len(steps)
        starts = {
            step.number: step.training_trials[0] for step in steps if step.kind == "relaxation"
        }
        search_trials = [trial for trial in trials if trial.step not in starts]
        self._last_search_trial = max((trial.number for trial in search_trials), default=-1)
        relaxation_steps: dict[int, list[Trial]] = {}
        for trial in trials:
            if trial.step in starts:
                relaxation_steps.setdefault(starts[trial.step], []).append(trial)
        self.trajectories = [
            RelaxationTrajectory(trial, tuple(relaxation_steps.get(trial.number, ())))
            for trial in search_trials
            if trial.is_known
        ]

    @property
    def has_started(self) -> bool:
        """True if a structure was relaxed since the last step of the search."""
        return any(map(self._n_recent_evaluations, self.trajectories))

    def next_step(self) -> PlannedStep | None:
        """Return the next step of a relaxation; None if all are finished."""
        start = time.perf_counter()
        n_recent = sum(map(self._n_recent_evaluations, self.trajectories))
        if n_recent >= self.final_relaxation.max_evaluations:
            return None
        for trajectory in self._selected_trajectories:
            if self._final_state(trajectory):
                continue
            X = self._next_geometry(trajectory)
            if X is not None:
                return PlannedStep(
                    step=self._step_number,
                    kind="relaxation",
                    X=X.unsqueeze(0),
                    generators=["relaxation"],
                    training_trials=[t.number for t in (trajectory.start, *trajectory.steps)],
                    seconds_search=time.perf_counter() - start,
                )
        return None

    def reports(self) -> list[RelaxationReport]:
        """Return the reports of the best structures, and of those that became equal to them."""
        selected = self._selected_trajectories
        numbers = [trajectory.start.number for trajectory in selected]
        return [self._make_report(trajectory, "") for trajectory in selected] + [
            self._make_report(trajectory, "the same structure as a better one")
            for trajectory in self.trajectories
            if self._n_recent_evaluations(trajectory) and trajectory.start.number not in numbers
        ]

    def _make_report(self, trajectory: RelaxationTrajectory, state: str) -> RelaxationReport:
        converged = self.converged_trial(trajectory)
        end = converged or trajectory.lowest
        assert trajectory.start.enthalpy is not None
        assert end.enthalpy is not None
        return RelaxationReport(
            trial=trajectory.start.number,
            energy=trajectory.start.enthalpy,
            n_evaluations=len(trajectory.steps),
            relaxed_trial=end.number,
            relaxed_energy=end.enthalpy,
            max_force=self._max_forces[end.number],
            converged=converged is not None,
            state=state or self._final_state(trajectory) or self._unfinished_state(trajectory),
        )

    def _unfinished_state(self, trajectory: RelaxationTrajectory) -> str:
        proposed = self._proposed_geometry(trajectory)
        if proposed is None:
            return "not converged: the optimizer has no next step"
        if not bool(self.space.contains(proposed)):
            crossed = "; ".join(map(bound_name, self._active_bounds(proposed)))
            beyond = f", beyond the bound {crossed}" if crossed else ""
            return f"not converged: the next step leaves the space{beyond}"
        return "not converged yet" if trajectory.steps else "not relaxed yet"

    def _final_state(self, trajectory: RelaxationTrajectory) -> str:
        """Return the end of a relaxation as a sentence, "" if it goes on."""
        if self.converged_trial(trajectory) is not None:
            return self._converged_state(trajectory)
        last = trajectory.steps[-1] if trajectory.steps else trajectory.start
        if isinstance(self.space, SupportsDomain) and self._lacks_gradient(last):
            return UNKNOWN_GRADIENT
        if last.doubt:
            return f"not converged: doubted, {last.doubt}"
        if last.state in ("abandoned", "failed", "retracted"):
            return f"not converged: {last.state}, {last.reason}"
        if self._n_recent_evaluations(trajectory) >= self.final_relaxation.max_steps:
            return f"not converged in {len(trajectory.steps)} evaluations"
        return ""

    def _lacks_gradient(self, trial: Trial) -> bool:
        """Return whether a trial's evaluator returned forces that tell no gradient."""
        is_evaluated = trial.is_known and not trial.is_initial_data
        return is_evaluated and needs_stress(self.space) and trial.stress is None

    def _converged_state(self, trajectory: RelaxationTrajectory) -> str:
        if not self._relaxes_cell:
            return CONVERGED_AT_FIXED_CELL
        trial = self.converged_trial(trajectory)
        assert trial is not None
        assert trial.forces is not None
        if torch.equal(self._resting_forces(trial, trial.forces), trial.forces):
            return "converged"
        bounds = self._active_bounds(trial.X)
        pressed = [bound_name(bound) for bound in bounds if bound.argument == "thickness"]
        return f"converged on the bound {'; '.join(pressed)}"

    def _resting_forces(self, trial: Trial, forces: torch.Tensor) -> torch.Tensor:
        """Return forces `[a, 3]` without those that press a layer on its thickness, eV/Å."""
        space = self.space
        window = None
        if isinstance(space, SupportsThicknessWindow):
            window = space.thickness_window(trial.X)
        return forces if window is None else window.resting_forces(trial.X, forces)

    def _next_geometry(self, trajectory: RelaxationTrajectory) -> torch.Tensor | None:
        """Return the next geometry `[d]` of a relaxation in the space, None without one."""
        X = self._proposed_geometry(trajectory)
        return X if X is not None and bool(self.space.contains(X)) else None

    def _active_bounds(self, X: torch.Tensor) -> list[ActiveBound]:
        space = self.space
        return space.active_bounds(X) if isinstance(space, SupportsActiveBounds) else []

    def _proposed_geometry(self, trajectory: RelaxationTrajectory) -> torch.Tensor | None:
        """Return the next geometry `[d]` of a relaxation, in the space or not."""
        fmax = self.final_relaxation.fmax
        with_forces = [trial for trial in trajectory.evaluated if trial.forces is not None]
        if has_variable_cell(self.space):
            fmax = 0.0  # the forces on the cell are not those that the optimizer measures
            if self._relaxes_cell:
                with_forces = [trial for trial in with_forces if trial.stress is not None]
        if isinstance(self.space, SupportsDomain):
            with_forces = [t for t in with_forces if self._max_forces[t.number] is not None]
        if not with_forces:
            return trajectory.start.X  # initial data without forces
        X = next_geometry(self.space, with_forces, fmax)
        return None if X is None else X.double().cpu()

    @cached_property
    def _selected_trajectories(self) -> list[RelaxationTrajectory]:
        """Trajectories of the lowest energies that end in different structures.

        Where compositions vary, of the lowest energies above the hull.
        """
        lowest = [trajectory.lowest for trajectory in self.trajectories]
        hull = SystemHull.from_trials(self.space, self._references, lowest)
        ranks = {
            trajectory.start.number: rank
            for trajectory, rank in zip(self.trajectories, trial_ranks(lowest, hull), strict=True)
        }
        ends = {t.start.number: self.converged_trial(t) for t in self.trajectories}
        selected: list[RelaxationTrajectory] = []
        for trajectory in sorted(
            self.trajectories, key=lambda t: (ranks[t.start.number], t.start.number)
        ):
            if len(selected) == self.final_relaxation.n_structures:
                break
            others = [trial.X for other in selected for trial in other.evaluated]
            if ends[trajectory.start.number] is None:
                others += [trial.X for trial in ends.values() if trial is not None]
            if not is_duplicate(self.space, trajectory.evaluated[-1].X, others):
                selected.append(trajectory)
        return selected

    def _n_recent_evaluations(self, trajectory: RelaxationTrajectory) -> int:
        """Return the number of evaluations of a relaxation since the last of the search."""
        return sum(trial.number > self._last_search_trial for trial in trajectory.steps)

    def max_force(self, trial: Trial) -> float | None:
        """Return the largest force of a trial as `RelaxationReport` has it, eV/Å, or None."""
        return self._max_forces[trial.number]

    def converged_trial(self, trajectory: RelaxationTrajectory) -> Trial | None:
        """Return the last trial of a trajectory that is relaxed, None without one."""
        for trial in reversed(trajectory.evaluated):
            force = self._max_forces[trial.number]
            if force is not None and force <= self.final_relaxation.fmax:
                return trial
        return None

    @cached_property
    def _max_forces(self) -> dict[int, float | None]:
        """Largest force on a movable atom by the number of the trial, eV/Å; None if unknown.

        Where the cell is relaxed, forces on the coordinates of the space count as well; where these
        are named ones they alone count, in eV per radian or 1 / 2 π of a range.
        """
        forces = self._columns.each("max force", self._done_trials, self._compute_max_force)
        numbers = [trial.number for trial in self._done_trials]
        return dict(zip(numbers, forces, strict=True))

    def _compute_max_force(self, trial: Trial) -> float | None:
        if trial.forces is None:
            return None
        if isinstance(self.space, SupportsDomain):
            rows = named_gradient_rows(self.space, trial)
            largest = float(torch.linalg.vector_norm(rows, dim=-1).max())
            return largest if math.isfinite(largest) else None
        trial = replace(trial, forces=self._resting_forces(trial, trial.forces))
        assert trial.forces is not None
        norms = torch.linalg.vector_norm(trial.forces, dim=-1)
        largest = float(norms.masked_fill(self.space.decode(trial.X).fixed.cpu(), 0.0).max())
        if not (has_variable_cell(self.space) and self._relaxes_cell):
            return largest
        if trial.stress is None:
            return None
        rows = coordinate_rows(trial_gradient(self.space, trial))
        return max(largest, float(torch.linalg.vector_norm(rows, dim=-1).max()))

    @cached_property
    def _relaxes_cell(self) -> bool:
        """False where the cell varies and the evaluator returns no stress."""
        if not has_variable_cell(self.space):
            return True
        evaluated = [trial for trial in self._done_trials if not trial.is_initial_data]
        return all(trial.stress is not None for trial in evaluated)
