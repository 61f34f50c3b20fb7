"""Summary of the convex hull of a campaign: stable phases, and those that are nearest to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import torch

from bostruct.campaign.energy_above_hull import SystemHull
from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import Trial
from bostruct.campaign.reference_entries import ReferenceEntries
from bostruct.spaces.crystals.crystal_summary import summarize_crystal
from bostruct.spaces.formula import parse_formula
from bostruct.spaces.space import SupportsCompositions
from bostruct.structures import SYMBOLS

FRACTION_DIGITS = 9
"""Number of digits of fractions that tell compositions apart."""

N_SHOWN = 12
"""Number of phases in a table, unless more are stable."""


@final
@dataclass(frozen=True)
class Phase:
    """Lowest structure of one composition, or a reference entry.

    Attributes:
        formula: Formula of the cell, in the spelling of the space; that of a reference entry as it
            was given, unless the space has its atoms.
        fractions: Fraction of each element, in the order of `HullSummary.elements`.
        formation_energy: Energy less that of a mixture of the ends, eV/atom.
        energy_above_hull: Energy above the hull, eV/atom; 0 of a stable phase.
        trial: Number of the trial; None of a reference entry.
        n_atoms: Number of atoms in the cell; None of a reference entry.
        space_group: Symbol of Hermann and Mauguin, "" of a reference entry.
    """

    formula: str
    fractions: tuple[float, ...]
    formation_energy: float
    energy_above_hull: float
    trial: int | None = None
    n_atoms: int | None = None
    space_group: str = ""

    @property
    def is_stable(self) -> bool:
        """True for a phase on the hull."""
        return self.energy_above_hull == 0


@final
@dataclass(frozen=True)
class HullSummary:
    """Convex hull of a campaign; enthalpies under a pressure.

    Attributes:
        elements: Elements, in the order of fractions.
        phases: Lowest phase of each composition, nearest to the hull first, stable ones in the
            order of compositions.
        missing: Formulas of the ends that have no energy yet; formation energies are not known
            until then, and there are no phases.
        points: Fraction of the last element, and formation energy, eV/atom, of all evaluated
            structures of two elements, by trial.
        last_lowered: Number of the trial that lowered the hull last; None without one.
    """

    elements: tuple[str, ...]
    phases: tuple[Phase, ...]
    missing: tuple[str, ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    last_lowered: int | None = None

    @property
    def stable(self) -> tuple[Phase, ...]:
        """Phases on the hull."""
        return tuple(phase for phase in self.phases if phase.is_stable)

    @property
    def shown(self) -> tuple[Phase, ...]:
        """Phases of a table: the stable ones and the nearest others."""
        return self.phases[: max(N_SHOWN, len(self.stable))]

    @classmethod
    def from_log(cls, log: Log) -> Self | None:
        """Return the summary of a log; None where compositions do not vary."""
        hull = SystemHull.from_log(log)
        if hull is None:
            return None
        elements = tuple(SYMBOLS[z] for z in log.space.numbers.tolist()) if log.space else ()
        if not hull.is_complete:
            missing = [hull.space.formulas[m] for m in hull.missing_members()]
            return cls(elements, (), tuple(missing))
        trials = [t for t in log.trial_records() if t.is_known and t.enthalpy is not None]
        found = [*_lowest_phases(hull, trials), *_reference_phases(hull, log.references)]
        found.sort(key=lambda phase: -phase.energy_above_hull)
        phases = list({_rounded(phase.fractions): phase for phase in found}.values())
        phases.sort(key=lambda phase: (phase.energy_above_hull, phase.fractions[-1]))
        points = [
            (float(hull.space.compositions[int(hull.space.member_index(trial.X))][-1]), e)
            for trial in trials
            if len(elements) == 2 and math.isfinite(e := hull.formation_energy(trial))
        ]
        summary = cls(elements, tuple(phases), (), tuple(points), _last_lowered(log, trials))
        shown = summary.shown
        named = (*_with_space_groups(log, shown), *summary.phases[len(shown) :])
        return replace(summary, phases=named)


def trial_formulas_of_space(space: object, trials: Sequence[Trial]) -> dict[int, str]:
    """Return the formula of each trial by number; none where all have the same."""
    if not isinstance(space, SupportsCompositions):
        return {}
    return {trial.number: space.formulas[int(space.member_index(trial.X))] for trial in trials}


def _lowest_phases(hull: SystemHull, trials: Sequence[Trial]) -> list[Phase]:
    """Return the phase of lowest energy of each composition."""
    lowest: dict[tuple[float, ...], tuple[float, Trial]] = {}
    space = hull.space
    for trial in trials:
        x = _rounded(space.compositions[_member(hull, trial)].tolist())
        above = hull.energy_above(trial)
        if x not in lowest or (above, trial.number) < (lowest[x][0], lowest[x][1].number):
            lowest[x] = above, trial
    phases = []
    for above, trial in lowest.values():
        m = _member(hull, trial)
        phases.append(
            Phase(
                formula=space.formulas[m],
                fractions=tuple(space.compositions[m].tolist()),
                formation_energy=hull.formation_energy(trial),
                energy_above_hull=above,
                trial=trial.number,
                n_atoms=int(space.atom_counts[m]),
            )
        )
    return phases


def _reference_phases(hull: SystemHull, references: ReferenceEntries) -> list[Phase]:
    """Return the reference entries as phases."""
    spelling = {_sorted_atoms(formula): formula for formula in hull.space.formulas}
    x = references.compositions(hull.space.numbers)
    energies = torch.tensor([e for _, e in references.entries], dtype=torch.float64)
    above = (energies - hull.hull.energy(x)).tolist()
    formation = (energies - hull.mixture_energy(x)).tolist()
    return [
        Phase(
            formula=spelling.get(_sorted_atoms(formula), formula),
            fractions=tuple(x[i].tolist()),
            formation_energy=hull.without_rounding(formation[i]),
            energy_above_hull=hull.without_rounding(above[i]),
        )
        for i, (formula, _) in enumerate(references.entries)
    ]


def _rounded(fractions: Sequence[float]) -> tuple[float, ...]:
    """Return a composition as a key, without rounding errors."""
    return tuple(round(fraction, FRACTION_DIGITS) for fraction in fractions)


def _sorted_atoms(formula: str) -> tuple[int, ...]:
    return tuple(sorted(parse_formula(formula, min_atoms=1).tolist()))


def _with_space_groups(log: Log, phases: Sequence[Phase]) -> list[Phase]:
    """Return phases with the space groups of their structures."""
    by_number = {trial.number: trial for trial in log.trial_records()}
    trials = [by_number[phase.trial] for phase in phases if phase.trial is not None]
    groups: dict[int | None, str] = {
        trial.number: summarize_crystal(trial.structures).space_group
        for trial in log.with_structures(trials)
        if trial.structures is not None
    }
    return [replace(phase, space_group=groups.get(phase.trial, "")) for phase in phases]


def _last_lowered(log: Log, trials: Sequence[Trial]) -> int | None:
    """Return the number of the trial that lowered the hull last."""
    space = log.space
    hull = None if space is None else SystemHull.from_references(space, log.references)
    last = None
    for trial in trials:
        if hull is not None and (lowered := hull.with_trial(trial)) is not hull:
            hull, last = lowered, trial.number
    return last


def _member(hull: SystemHull, trial: Trial) -> int:
    return int(hull.space.member_index(trial.X))
