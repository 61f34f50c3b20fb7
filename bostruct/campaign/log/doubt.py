"""Doubts about the results of a campaign, kept up to date in its log."""

from __future__ import annotations

from collections import Counter
from typing import final

import torch

from bostruct.campaign.analysis.doubts import find_doubts
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.records import Trial
from bostruct.runtime.threads import limited_threads
from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.surrogates import Surrogate
from bostruct.surrogates.local_gp.outliers import isolated_energies
from bostruct.surrogates.training_data import species_counts


@final
class DoubtScreen:
    """Screen that each new result passes, at a cost that hardly grows with their number.

    Only a result that may be doubtful, and any while there is a doubt, has all of them judged anew.

    Args:
        writer: Log, open for writing.
        space: Space that decodes the structures.
        surrogate: Surrogate of the energies; None in a campaign with objectives.
    """

    def __init__(self, writer: LogWriter, space: Space, surrogate: Surrogate | None) -> None:
        self.writer, self.space, self.surrogate = writer, space, surrogate
        self._species = space.numbers.cpu().unique()
        self._counts_by_trial: dict[int, torch.Tensor] = {}
        self.judge_all()

    @limited_threads()
    def judge_all(self) -> None:
        """Judge all results anew, and record the doubts that have come or gone."""
        trials = [t for t in self.writer.trial_records("done") if t.energy is not None]
        self._energies = [trial.energy for trial in trials if trial.energy is not None]
        self._counter = Counter(self._energies)
        self._counts = self._species_counts(trials)
        has_equal = len(self._counter) < len(self._energies)
        reasons = {}
        if has_equal or any(trial.doubt for trial in trials) or self._has_isolated():
            reasons = find_doubts(trials, self.space, self.surrogate)
        for trial in trials:
            reason = reasons.get(trial.number, "")
            if not trial.trust and trial.doubt != reason:
                self.writer.mark_doubt(trial.number, reason)
        self._has_doubts = bool(reasons)

    def judge(self, trial: Trial, energy: float | None) -> None:
        """Judge a result that has just been recorded.

        Args:
            trial: Trial that it is the result of.
            energy: Energy, eV; None for other outcomes alone, which are not judged.
        """
        if energy is None:
            return
        self._energies.append(energy)
        self._counter[energy] += 1
        self._counts = torch.cat([self._counts, self._species_counts([trial])])
        if self._has_doubts or self._counter[energy] > 1 or self._has_isolated():
            self.judge_all()

    def _has_isolated(self) -> bool:
        if self.surrogate is None:
            return False
        energies = torch.tensor(self._energies, dtype=torch.float64)
        return bool(len(isolated_energies(energies, self._counts)))

    def _species_counts(self, trials: list[Trial]) -> torch.Tensor:
        """Return the numbers of atoms of each species, `[t, s]`; each trial is decoded once."""
        counts = self._counts_by_trial
        new = [trial for trial in trials if trial.number not in counts]
        if new:
            X = torch.stack([trial.X for trial in new])
            structures: Structures = self.space.decode(X).to(device="cpu")
            index = torch.searchsorted(self._species, structures.numbers)
            rows = species_counts(structures, index, len(self._species)).double()
            counts.update(zip([trial.number for trial in new], rows, strict=True))
        none = torch.zeros(0, len(self._species), dtype=torch.float64)
        return torch.stack([counts[trial.number] for trial in trials]) if trials else none
