"""Energy above the convex hull: what a campaign minimizes where compositions vary.

    e - E(x)    eV/atom

with the energy e per atom of a structure, under a pressure its enthalpy, and the convex hull E of
all known ones and of reference entries, at its composition x. Of one composition in several sizes E
is the lowest energy per atom. The hull follows from the log, in which energies remain energies.

Notation
    m   members of the space, of one formula each
    s   elements
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self, final

import torch
from torch import Tensor

from bostruct.campaign.reference_entries import ReferenceEntries
from bostruct.objectives.convex_hull import FRACTION_TOLERANCE, ConvexHull
from bostruct.spaces import Space
from bostruct.spaces.space import SupportsCompositions

RELATIVE_ROUNDING = 1e-11
"""Energy above the hull up to which a phase counts as on it, in units of the largest energy."""


class HasEnthalpy(Protocol):
    """Trial with coordinates and perhaps an enthalpy."""

    @property
    def X(self) -> Tensor:  # noqa: N802
        """Coordinates, `[d]`."""
        ...

    @property
    def enthalpy(self) -> float | None:
        """Enthalpy, eV."""
        ...

    @property
    def doubt(self) -> str:
        """Reason for which the result is doubted; "" without a doubt."""
        ...


class HasResult(HasEnthalpy, Protocol):
    """Trial whose result may count or not."""

    @property
    def number(self) -> int:
        """Number of the trial."""
        ...

    @property
    def is_known(self) -> bool:
        """True if there is a result, and no doubt about it."""
        ...


class HasSpace(Protocol):
    """Log of a campaign, with its space if that is one of bostruct."""

    space: Space | None

    @property
    def references(self) -> ReferenceEntries:
        """Phases of known enthalpy that belong to the hull."""
        ...

    def trial_records(self) -> Sequence[HasResult]:
        """Return all trials."""
        ...


@final
@dataclass(frozen=True, eq=False)
class SystemHull:
    """Convex hull of the trials of a space of several compositions, and of reference entries.

    Attributes:
        space: space of the trials.
        hull: hull of the enthalpies, eV per atom.
        ends: `[p, s]` compositions that no mixture of others has: the elements, if they are
            members.
    """

    space: SupportsCompositions
    hull: ConvexHull
    ends: Tensor

    @classmethod
    def from_references(cls, space: Space, references: ReferenceEntries | None) -> Self | None:
        """Return the hull before any trial; None where a space has one composition and size."""
        if not isinstance(space, SupportsCompositions):
            return None
        references = references or ReferenceEntries(())
        every = torch.cat([space.compositions, references.compositions(space.numbers)])
        every = every.unique(dim=0).flip(0)  # the elements in their order
        # Of a concave function all points but those in the corners lie above the hull.
        ends = ConvexHull.from_points(every, -every.square().sum(-1)).compositions
        return cls(space, references.hull(space.numbers), ends)

    @classmethod
    def from_trials(
        cls, space: Space, references: ReferenceEntries | None, trials: Sequence[HasEnthalpy]
    ) -> Self | None:
        """Return the hull of trials; None where a space has one composition and size."""
        hull = cls.from_references(space, references)
        return None if hull is None else functools.reduce(add_to_hull, trials, hull)

    @cached_property
    def member_energies(self) -> Tensor:
        """Hull at the compositions of the members, `[m]` eV/atom; infinite where it is unknown."""
        return self.hull.energy(self.space.compositions)

    @cached_property
    def mean_energy(self) -> float:
        """Mean of the hull over the members, eV/atom: it falls where any part of the hull does."""
        return float(self.member_energies.mean())

    @classmethod
    def from_log(cls, log: HasSpace) -> Self | None:
        """Return the hull of all known trials of a log; None where energies are minimized."""
        if log.space is None or not isinstance(log.space, SupportsCompositions):
            return None
        trials = [trial for trial in log.trial_records() if trial.is_known]
        return cls.from_trials(log.space, log.references, trials)

    @property
    def is_complete(self) -> bool:
        """True if the hull is known at the compositions of all members."""
        return math.isfinite(self.mean_energy)

    def energy_above(self, trial: HasEnthalpy) -> float:
        """Return the energy of a trial above the hull, eV/atom; below it is negative.

        Infinite without an energy, or with a doubt about it; minus infinity where the hull is
        unknown.
        """
        found = self._composition_and_energy(trial)
        if found is None:
            return math.inf
        return self.without_rounding(found[1] - float(self.member_energies[found[0]]))

    def formation_energy(self, trial: HasEnthalpy) -> float:
        """Return the energy of a trial less that of a mixture of the ends, eV/atom.

        Infinite without an energy, or with a doubt about it; NaN where an end is unknown.
        """
        found = self._composition_and_energy(trial)
        if found is None:
            return math.inf
        mixture = float(self._mixtures[found[0]])
        if not math.isfinite(mixture):
            return math.nan
        return self.without_rounding(found[1] - mixture)

    def without_rounding(self, difference: float) -> float:
        """Return a difference of energies, zero where it is a rounding error, eV/atom."""
        largest = float(self.hull.energies.abs().amax()) if len(self.hull.energies) else 0.0
        return difference if abs(difference) > RELATIVE_ROUNDING * largest else 0.0

    def with_trial(self, trial: HasEnthalpy) -> Self:
        """Return the hull with another trial; itself where that is not below it."""
        found = self._composition_and_energy(trial)
        if found is None or found[1] >= float(self.member_energies[found[0]]):
            return self
        x = self.space.compositions[found[0]]
        return replace(self, hull=self.hull.with_point(x, found[1]))

    def missing_members(self, X_pending: Tensor | None = None) -> list[int]:
        """Return the smallest member at each end whose energy is unknown.

        Args:
            X_pending: `[p, d]` structures under evaluation, whose ends are left out.
        """
        compositions, sizes = self.space.compositions, self.space.atom_counts.tolist()
        pending = compositions[:0]
        if X_pending is not None:
            pending = compositions[self.space.member_index(X_pending)]
        members = []
        for end in self.ends:
            is_pending = bool(_is_equal(pending, end).any())
            if is_pending or math.isfinite(float(self.hull.energy(end))):
                continue
            alike = _is_equal(compositions, end).nonzero().flatten().tolist()
            members += sorted(alike, key=sizes.__getitem__)[:1]
        return members

    def mixture_energy(self, x: Tensor) -> Tensor:
        """Return the energy of mixtures of the ends at compositions `[..., s]`, eV/atom."""
        return ConvexHull(self.ends, self.hull.energy(self.ends)).energy(x)

    @cached_property
    def _mixtures(self) -> Tensor:
        """Energy of mixtures of the ends at the compositions of the members, `[m]` eV/atom."""
        return self.mixture_energy(self.space.compositions)

    def _composition_and_energy(self, trial: HasEnthalpy) -> tuple[int, float] | None:
        """Return the member of a trial, and its enthalpy per atom; None without a known one."""
        if trial.enthalpy is None or trial.doubt:
            return None
        m = int(self.space.member_index(trial.X))
        return m, trial.enthalpy / int(self.space.atom_counts[m])


def add_to_hull(hull: SystemHull, trial: HasEnthalpy) -> SystemHull:
    """Return the hull with another trial."""
    return hull.with_trial(trial)


def mean_hull_history(trials: Sequence[HasResult], hull: SystemHull) -> list[float | None]:
    """Return the mean of the hull after each evaluation, eV per atom.

    None where there is no result that counts, and until the hull is complete.

    Args:
        trials: Evaluated trials in order.
        hull: Hull before the first of them.
    """
    history: list[float | None] = []
    for trial in trials:
        hull = hull.with_trial(trial) if trial.is_known else hull
        counts = trial.is_known and trial.enthalpy is not None and hull.is_complete
        history.append(hull.mean_energy if counts else None)
    return history


def energies_above_references(log: HasSpace) -> dict[int, float]:
    """Return the energy of each trial above the hull of reference entries, eV/atom, by number.

    Of crystals of one formula, whose campaign minimizes the energy; below the hull it is negative.
    Empty without references, or where their hull does not reach the formula.
    """
    references, space = log.references, log.space
    if space is None or isinstance(space, SupportsCompositions) or not references.entries:
        return {}
    elements = space.numbers.unique()
    x = (space.numbers.unsqueeze(-1) == elements).double().mean(0)
    hull, n = float(references.hull(elements).energy(x)), len(space.numbers)
    return {
        trial.number: trial.enthalpy / n - hull
        for trial in log.trial_records()
        if trial.is_known and trial.enthalpy is not None and math.isfinite(hull)
    }


def believed_enthalpy(trial: HasEnthalpy) -> float:
    """Return the enthalpy of a trial, eV; infinity without one, or with a doubt about it."""
    return math.inf if trial.enthalpy is None or trial.doubt else trial.enthalpy


def trial_ranks(trials: Sequence[HasEnthalpy], hull: SystemHull | None) -> list[float]:
    """Return a number for each trial, lower where it is better; infinite without a known energy.

    The enthalpy, or with a hull the place in the order of rising energy above it; of those on the
    hull the compounds of the lowest formation energy come first.

    Args:
        trials: Trials in the order of their numbers.
        hull: Hull of all trials; None where the energy is minimized.
    """
    if hull is None:
        return [believed_enthalpy(trial) for trial in trials]
    keys = []
    for i, trial in enumerate(trials):
        above, formation = hull.energy_above(trial), hull.formation_energy(trial)
        keys.append((above, formation if math.isfinite(formation) else 0.0, i))
    ranks = [math.inf] * len(trials)
    for rank, (above, _, i) in enumerate(sorted(keys)):
        ranks[i] = float(rank) if above < math.inf else math.inf
    return ranks


def atoms_of(space: SupportsCompositions, X: Tensor) -> Tensor:
    """Return the number of atoms at X `[..., d]`, `[...]` in the dtype of X."""
    return space.atom_counts.to(X.device)[space.member_index(X)].to(X)


def _is_equal(compositions: Tensor, x: Tensor) -> Tensor:
    """Return which of the compositions `[m, s]` are x `[s]`, `[m]` bool."""
    return (compositions - x).abs().amax(-1) < FRACTION_TOLERANCE
