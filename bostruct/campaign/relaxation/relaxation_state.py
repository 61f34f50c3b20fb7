"""How far a check is: a pure function of the log, like a step of the search.

A relaxation is a chain of trials: one that the search or the user found, and those that
a check asked for to relax it. Of chains that end in one structure the lowest counts. A
relaxation may take `steps` evaluations since the last of the search; with new energies
of the search a new check begins, which goes on with the chains there are.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, final

import torch

from bostruct.campaign.atom_matching import is_duplicate
from bostruct.campaign.records import PlannedStep, RelaxationReport, Step, Trial
from bostruct.campaign.relaxation.final_relaxation import FinalRelaxation
from bostruct.campaign.relaxation.optimizer_replay import next_geometry
from bostruct.spaces import Space


class RelaxationTrajectory(NamedTuple):
    """One relaxation: where it began, and what was asked for since."""

    start: Trial
    steps: tuple[Trial, ...]

    @property
    def evaluated(self) -> list[Trial]:
        """The trials that have an energy, in their order."""
        return [trial for trial in (self.start, *self.steps) if trial.state == "done"]

    @property
    def lowest(self) -> Trial:
        """The trial of the lowest energy."""
        return min(self.evaluated, key=lambda trial: (trial.energy, trial.number))


@final
class RelaxationQueue:
    """The relaxations of a campaign as the log has them.

    Args:
        final_relaxation: What is wanted.
        space: Of the structures.
        steps: All so far.
        trials: All so far, in the order asked.
    """

    def __init__(
        self,
        final_relaxation: FinalRelaxation,
        space: Space,
        steps: Sequence[Step],
        trials: Sequence[Trial],
    ) -> None:
        self.final_relaxation, self.space = final_relaxation, space
        self._step_number = len(steps)
        roots = {
            step.number: step.training_trials[0] for step in steps if step.kind == "relaxation"
        }
        searched = [trial.number for trial in trials if trial.step not in roots]
        self._last_search_trial = max(searched, default=-1)
        later: dict[int, list[Trial]] = {}
        for trial in trials:
            if trial.step in roots:
                later.setdefault(roots[trial.step], []).append(trial)
        self.trajectories = [
            RelaxationTrajectory(trial, tuple(later.get(trial.number, ())))
            for trial in trials
            if trial.state == "done" and trial.step not in roots
        ]

    @property
    def has_started(self) -> bool:
        """Whether a check has asked for anything since the search last did."""
        return any(self._n_recent_evaluations(chain) for chain in self.trajectories)

    def next_step(self) -> PlannedStep | None:
        """Return what the check asks for next; None if it has all it needs."""
        start = time.perf_counter()
        if (
            sum(map(self._n_recent_evaluations, self.trajectories))
            >= self.final_relaxation.max_evaluations
        ):
            return None
        for chain in self._selected_trajectories:
            if self._final_state(chain):
                continue
            X = self._next_geometry(chain)
            if X is not None:
                return PlannedStep(
                    step=self._step_number,
                    kind="relaxation",
                    X=X.unsqueeze(0),
                    generators=["relaxation"],
                    training_trials=[
                        chain.start.number,
                        *(t.number for t in chain.steps),
                    ],
                    seconds_search=time.perf_counter() - start,
                )
        return None

    def reports(self) -> list[RelaxationReport]:
        """Return what was found: the best structures, and what turned out as one."""
        targets = [(chain, "") for chain in self._selected_trajectories]
        chosen = [chain.start.number for chain in self._selected_trajectories]
        for chain in self.trajectories:
            if self._n_recent_evaluations(chain) and chain.start.number not in chosen:
                targets.append((chain, "the same structure as a better one"))
        return [self._make_report(chain, state) for chain, state in targets]

    def _make_report(self, trajectory: RelaxationTrajectory, state: str) -> RelaxationReport:
        end = self._converged_trial(trajectory) or trajectory.lowest
        converged = self._converged_trial(trajectory) is not None
        assert trajectory.start.energy is not None
        assert end.energy is not None
        return RelaxationReport(
            trial=trajectory.start.number,
            energy=trajectory.start.energy,
            n_evaluations=len(trajectory.steps),
            relaxed_trial=end.number,
            relaxed_energy=end.energy,
            max_force=self._max_force(end),
            converged=converged,
            state=state or self._final_state(trajectory) or self._unfinished_state(trajectory),
        )

    def _unfinished_state(self, trajectory: RelaxationTrajectory) -> str:
        if self._next_geometry(trajectory) is None:
            return "not converged: the next step leaves the space, or there is none"
        return "not converged yet" if trajectory.steps else "not relaxed yet"

    def _final_state(self, trajectory: RelaxationTrajectory) -> str:
        """Return how a relaxation ended, "" if it goes on."""
        if self._converged_trial(trajectory) is not None:
            return "converged"
        last = trajectory.steps[-1] if trajectory.steps else trajectory.start
        if last.state == "abandoned" or last.state == "failed":
            return f"not converged: {last.state}, {last.reason}"
        if self._n_recent_evaluations(trajectory) >= self.final_relaxation.max_steps:
            return f"not converged in {len(trajectory.steps)} evaluations"
        return ""

    def _next_geometry(self, trajectory: RelaxationTrajectory) -> torch.Tensor | None:
        """Return the next structure `[d]` of a relaxation, None without one."""
        known = [trial for trial in trajectory.evaluated if trial.forces is not None]
        if not known:
            return trajectory.start.X  # it was given without forces
        X = next_geometry(self.space, known, self.final_relaxation.fmax)
        if X is None or not bool(self.space.contains(X)):
            return None
        return X.double().cpu()

    @cached_property
    def _selected_trajectories(self) -> list[RelaxationTrajectory]:
        """The chains of the lowest energies that end in different structures."""
        ends = {c.start.number: self._converged_trial(c) for c in self.trajectories}
        taken: list[RelaxationTrajectory] = []
        for chain in sorted(
            self.trajectories,
            key=lambda chain: (chain.lowest.energy, chain.start.number),
        ):
            if len(taken) == self.final_relaxation.n_structures:
                break
            others = [trial.X for other in taken for trial in other.evaluated]
            if ends[chain.start.number] is None:
                others += [trial.X for trial in ends.values() if trial is not None]
            if not is_duplicate(self.space, chain.evaluated[-1].X, others):
                taken.append(chain)
        return taken

    def _n_recent_evaluations(self, trajectory: RelaxationTrajectory) -> int:
        """Return how many evaluations it took since the last of the search."""
        return sum(trial.number > self._last_search_trial for trial in trajectory.steps)

    def _converged_trial(self, trajectory: RelaxationTrajectory) -> Trial | None:
        """Return the last trial of a chain that is relaxed, None without one."""
        for trial in reversed(trajectory.evaluated):
            force = self._max_force(trial)
            if force is not None and force <= self.final_relaxation.fmax:
                return trial
        return None

    def _max_force(self, trial: Trial) -> float | None:
        """Return the largest force on a movable atom, eV/Å."""
        if trial.forces is None:
            return None
        size = torch.linalg.vector_norm(trial.forces, dim=-1)
        return float(size.masked_fill(self._fixed_mask, 0.0).max())

    @cached_property
    def _fixed_mask(self) -> torch.Tensor:
        return self.space.decode(self.trajectories[0].start.X).fixed.cpu()
