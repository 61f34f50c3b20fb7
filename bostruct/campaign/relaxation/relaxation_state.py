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

from bostruct.campaign.atom_matching import among
from bostruct.campaign.records import Checked, Planned, Step, Trial
from bostruct.campaign.relaxation.final_relaxation import Check
from bostruct.campaign.relaxation.optimizer_replay import proceed
from bostruct.spaces import Space


class Chain(NamedTuple):
    """One relaxation: where it began, and what was asked for since."""

    root: Trial
    later: tuple[Trial, ...]

    @property
    def done(self) -> list[Trial]:
        """The trials that have an energy, in their order."""
        return [trial for trial in (self.root, *self.later) if trial.state == "done"]

    @property
    def lowest(self) -> Trial:
        """The trial of the lowest energy."""
        return min(self.done, key=lambda trial: (trial.energy, trial.number))


@final
class Relaxations:
    """The relaxations of a campaign as the log has them.

    Args:
        check: What is wanted.
        space: Of the structures.
        steps: All so far.
        trials: All so far, in the order asked.
    """

    def __init__(
        self, check: Check, space: Space, steps: Sequence[Step], trials: Sequence[Trial]
    ) -> None:
        self.check, self.space = check, space
        self._step = len(steps)
        roots = {step.number: step.known[0] for step in steps if step.kind == "check"}
        searched = [trial.number for trial in trials if trial.step not in roots]
        self._since = max(searched, default=-1)
        later: dict[int, list[Trial]] = {}
        for trial in trials:
            if trial.step in roots:
                later.setdefault(roots[trial.step], []).append(trial)
        self.chains = [
            Chain(trial, tuple(later.get(trial.number, ())))
            for trial in trials
            if trial.state == "done" and trial.step not in roots
        ]

    @property
    def begun(self) -> bool:
        """Whether a check has asked for anything since the search last did."""
        return any(self._recent(chain) for chain in self.chains)

    def next(self) -> Planned | None:
        """Return what the check asks for next; None if it has all it needs."""
        start = time.perf_counter()
        if sum(map(self._recent, self.chains)) >= self.check.most:
            return None
        for chain in self._targets:
            if self._state(chain):
                continue
            X = self._proceed(chain)
            if X is not None:
                return Planned(
                    step=self._step,
                    kind="check",
                    X=X.unsqueeze(0),
                    origins=["check"],
                    known=[chain.root.number, *(t.number for t in chain.later)],
                    seconds_search=time.perf_counter() - start,
                )
        return None

    def report(self) -> list[Checked]:
        """Return what was found: the best structures, and what turned out as one."""
        targets = [(chain, "") for chain in self._targets]
        chosen = [chain.root.number for chain in self._targets]
        for chain in self.chains:
            if self._recent(chain) and chain.root.number not in chosen:
                targets.append((chain, "the same structure as a better one"))
        return [self._report(chain, state) for chain, state in targets]

    def _report(self, chain: Chain, state: str) -> Checked:
        end = self._converged(chain) or chain.lowest
        converged = self._converged(chain) is not None
        assert chain.root.energy is not None
        assert end.energy is not None
        return Checked(
            trial=chain.root.number,
            energy=chain.root.energy,
            evaluations=len(chain.later),
            relaxed=end.number,
            relaxed_energy=end.energy,
            force=self._force(end),
            converged=converged,
            state=state or self._state(chain) or self._unfinished(chain),
        )

    def _unfinished(self, chain: Chain) -> str:
        if self._proceed(chain) is None:
            return "not converged: the next step leaves the space, or there is none"
        return "not converged yet" if chain.later else "not relaxed yet"

    def _state(self, chain: Chain) -> str:
        """Return how a relaxation ended, "" if it goes on."""
        if self._converged(chain) is not None:
            return "converged"
        last = chain.later[-1] if chain.later else chain.root
        if last.state == "abandoned" or last.state == "failed":
            return f"not converged: {last.state}, {last.reason}"
        if self._recent(chain) >= self.check.steps:
            return f"not converged in {len(chain.later)} evaluations"
        return ""

    def _proceed(self, chain: Chain) -> torch.Tensor | None:
        """Return the next structure `[d]` of a relaxation, None without one."""
        known = [trial for trial in chain.done if trial.forces is not None]
        if not known:
            return chain.root.X  # it was given without forces
        X = proceed(self.space, known, self.check.tolerance)
        if X is None or not bool(self.space.contains(X)):
            return None
        return X.double().cpu()

    @cached_property
    def _targets(self) -> list[Chain]:
        """The chains of the lowest energies that end in different structures."""
        ends = {c.root.number: self._converged(c) for c in self.chains}
        taken: list[Chain] = []
        for chain in sorted(
            self.chains, key=lambda chain: (chain.lowest.energy, chain.root.number)
        ):
            if len(taken) == self.check.best:
                break
            others = [trial.X for other in taken for trial in other.done]
            if ends[chain.root.number] is None:
                others += [trial.X for trial in ends.values() if trial is not None]
            if not among(self.space, chain.done[-1].X, others):
                taken.append(chain)
        return taken

    def _recent(self, chain: Chain) -> int:
        """Return how many evaluations it took since the last of the search."""
        return sum(trial.number > self._since for trial in chain.later)

    def _converged(self, chain: Chain) -> Trial | None:
        """Return the last trial of a chain that is relaxed, None without one."""
        for trial in reversed(chain.done):
            force = self._force(trial)
            if force is not None and force <= self.check.tolerance:
                return trial
        return None

    def _force(self, trial: Trial) -> float | None:
        """Return the largest force on a movable atom, eV/Å."""
        if trial.forces is None:
            return None
        size = torch.linalg.vector_norm(trial.forces, dim=-1)
        return float(size.masked_fill(self._fixed, 0.0).max())

    @cached_property
    def _fixed(self) -> torch.Tensor:
        return self.space.decode(self.chains[0].root.X).fixed.cpu()
