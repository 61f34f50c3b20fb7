"""Doubts about results: reasons, from the log alone, to believe that a recorded result is wrong.

Two kinds of results are doubted: energies equal to the last bit of structures that differ, see
`equal_energies`, and energies far below all others that a model of these contradicts, see
`LocalGP.contradicted_energies`. A doubt is recorded with the trial and taken back when further
results remove its reason. Nothing is learnt from a doubted result, and nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bostruct.campaign.analysis.equal_energies import equal_energies
from bostruct.campaign.records import Trial, training_structures
from bostruct.spaces import Space
from bostruct.surrogates import LocalGP, Surrogate

MAX_COMPARED = 500
"""Largest number of the last energies that one far below all others is compared with."""


def find_doubts(
    trials: Sequence[Trial], space: Space, surrogate: Surrogate | None
) -> dict[int, str]:
    """Return the reasons of the doubts by the number of the trial.

    Args:
        trials: All trials with a result, in order; those that are trusted are never doubted.
        space: Space that decodes the structures.
        surrogate: Surrogate of the energies, whose descriptor compares structures; None where the
            energy is not what is minimized, so that it is no evidence how low it is.
    """
    reasons = equal_energies(trials, space)
    if surrogate is not None:
        rest = [t for t in trials if t.trust or t.number not in reasons]
        reasons |= _low_energies(rest, space, surrogate)
    return {t.number: reasons[t.number] for t in trials if t.number in reasons and not t.trust}


def _low_energies(trials: Sequence[Trial], space: Space, surrogate: Surrogate) -> dict[int, str]:
    """Return the trials whose energies are too low, with the reasons."""
    by_energy = sorted(trials, key=lambda trial: (trial.energy, trial.number))
    lowest = {trial.number for trial in by_energy[: MAX_COMPARED // 4]}
    recent = {trial.number for trial in trials[-MAX_COMPARED:]}
    compared = [trial for trial in trials if trial.number in lowest | recent]
    if not compared:
        return {}
    structures = training_structures(compared, space)
    trusted = torch.tensor([bool(trial.trust) for trial in compared])
    judge, judge_space = LocalGP(), None
    if isinstance(surrogate, LocalGP):
        judge, judge_space = surrogate, space
    rows = judge.contradicted_energies(structures, judge_space, trusted).tolist()
    return {
        compared[
            row
        ].number: f"its energy, {compared[row].energy:.6g} eV, is far below all others, "
        "and a model of these contradicts it; a second low energy near it would confirm it"
        for row in rows
    }
