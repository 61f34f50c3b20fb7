"""A campaign that is open in a run folder: `ask`, `tell`, and what is between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch

from bostruct.campaign.effort import level
from bostruct.campaign.ledger import Ledger
from bostruct.campaign.parts import Parts
from bostruct.campaign.plan import plan
from bostruct.campaign.records import OPEN, Trial
from bostruct.campaign.value import Task
from bostruct.errors import ExhaustedError, InputError, must
from bostruct.evaluators import Evaluation, Failure
from bostruct.evaluators.evaluator import check, limits


@final
class Session:
    """The steps of one campaign in one folder, written by this process alone.

    Args:
        parts: What the campaign is made of.
        ledger: Its log.
        device: Of the tensor work.
    """

    def __init__(self, parts: Parts, ledger: Ledger, device: torch.device) -> None:
        self.parts = parts
        self.ledger = ledger
        self.device = device
        self._out: set[int] = set()  # handed out in this session

    def queue(self) -> list[Trial]:
        """Return the trials that are planned and not handed out."""
        trials = self.ledger.undecoded(*OPEN)
        return [trial for trial in trials if trial.number not in self._out]

    def plan(self, q: int) -> list[Trial]:
        """Plan the next step and return its trials, recorded.

        Raises:
            ExhaustedError: no structure is left that was not asked for.
        """
        ledger = self.ledger
        steps, trials = ledger.steps(), ledger.undecoded()
        effort = level(self.parts.search, trials, steps)
        task = Task(self.parts, ledger.seed, self.device, len(steps), q, effort)
        planned = plan(task, trials)
        if len(planned.X) == 0:
            raise ExhaustedError(
                "every structure found in the space has been evaluated already: "
                "the campaign has nothing left to ask for."
            )
        return ledger.add(planned)

    def hand_out(self, trials: Sequence[Trial]) -> list[Trial]:
        """Record that energies are asked for; return the trials with structures."""
        self.ledger.run(trials)
        self._out.update(trial.number for trial in trials)
        return self.ledger.decoded(trials)

    def tell(self, trial: Trial | str, outcome: Evaluation | Failure) -> None:
        """Record what came of a trial."""
        found = self._find(trial)
        if found.finished:
            condition = "be one without an outcome"
            raise InputError(must("trial", condition, f"{found.number}, {found.state}"))
        if isinstance(outcome, Evaluation):
            atoms = len(self.parts.space.decode(found.X).positions)
            outcome = check(outcome, atoms, **limits(self.parts.evaluator))
        elif not isinstance(outcome, Failure):
            kind = type(outcome).__name__
            raise InputError(must("outcome", "be an Evaluation or a Failure", kind))
        self.ledger.finish(found.number, outcome)

    def abandon(self, trial: Trial | str, reason: str) -> None:
        """Record that the energy of a trial will not be asked for any more."""
        found = self._find(trial)
        if found.state not in OPEN:
            condition = "be one without an outcome"
            raise InputError(must("trial", condition, f"{found.number}, {found.state}"))
        self.ledger.abandon(found.number, reason)

    def energies(self) -> tuple[float | None, ...]:
        """Return the energies so far in the order asked, None where one failed."""
        query = (
            "SELECT energy FROM bostruct_trial "
            "WHERE state IN ('done', 'failed') ORDER BY number"
        )
        return tuple(row["energy"] for row in self.ledger.rows(query))

    def _find(self, trial: Trial | str) -> Trial:
        key = trial if isinstance(trial, str) else trial.key
        # A late result of an earlier attempt is as good as that of the last one.
        wanted = key.rpartition("-")[0]
        for found in self.ledger.undecoded():
            if found.key.rpartition("-")[0] == wanted:
                return found
        raise InputError(must("trial", "be one of this campaign", repr(key)))
