"""A campaign that is open in a run folder: `ask`, `tell`, and what is between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from statistics import median
from typing import final

import torch
from torch import Tensor

from bostruct.campaign.analysis.hypervolume_history import Standing, standing
from bostruct.campaign.analysis.outcome_table import table
from bostruct.campaign.analysis.pareto_front import bound
from bostruct.campaign.components import Parts
from bostruct.campaign.log.retraction import retractable
from bostruct.campaign.log.writer import Ledger
from bostruct.campaign.planning.adaptive_kappa import boldness
from bostruct.campaign.planning.batch_acquisition import Task
from bostruct.campaign.planning.search_effort import level
from bostruct.campaign.planning.step import given, plan
from bostruct.campaign.records import OPEN, Trial
from bostruct.campaign.relaxation.final_relaxation import Check, without_forces
from bostruct.campaign.relaxation.relaxation_state import Relaxations
from bostruct.campaign.stop import Progress
from bostruct.errors import ExhaustedError, InputError, must
from bostruct.evaluators import Evaluation, Failure
from bostruct.evaluators.base import check, limits

FINISHED = """
SELECT CASE t.state WHEN 'done' THEN t.energy END AS energy, t.attempt, t.seconds,
    t.step, s.kind
FROM bostruct_trial t JOIN bostruct_step s ON s.number = t.step
WHERE t.state IN ('done', 'failed', 'retracted') ORDER BY t.number
"""


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
        start = parts.start
        if start is not None and len(start.data) and not ledger.steps():
            ledger.add(given(start))

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
        asked = [trial for trial in trials if not trial.given]
        effort = level(self.parts.search, asked, steps)
        bold = boldness(trials)
        task = Task(self.parts, ledger.seed, self.device, len(steps), q, effort, bold)
        planned = plan(task, trials)
        if len(planned.X) == 0:
            raise ExhaustedError(
                "every structure found in the space has been evaluated already: "
                "the campaign has nothing left to ask for."
            )
        return ledger.add(planned)

    def due(self) -> bool:
        """Return whether a check comes before the next step of the search.

        That is where one has begun, or where the last step brought the evaluations of
        the search past a multiple of `every`.
        """
        check = self.parts.check
        if check is None or not self.ledger.steps():
            return False
        if self._relaxations(check).begun:
            return True
        rows = [row for row in self.ledger.rows(FINISHED) if row["attempt"]]
        searched = [row["step"] for row in rows if row["kind"] != "check"]
        if check.every is None or not searched:
            return False
        before = len(searched) - searched.count(max(searched))
        return len(searched) // check.every > before // check.every

    def plan_check(self) -> list[Trial]:
        """Plan the next step of the check; return its trial, or none if it is through.

        Raises:
            InputError: the evaluator has no forces.
        """
        check = self.parts.check
        if check is None:
            return []
        self.require_forces()
        found = self._relaxations(check)
        planned = found.next()
        self.ledger.report(found.report())
        return [] if planned is None else self.ledger.add(planned)

    def checks(self) -> list[Trial]:
        """Return the trials of a check that are planned and not handed out."""
        kinds = {step.number: step.kind for step in self.ledger.steps()}
        return [trial for trial in self.queue() if kinds[trial.step] == "check"]

    def conclude(self) -> None:
        """Record how far the check is, at the end of a run."""
        if self.parts.check is not None:
            self.ledger.report(self._relaxations(self.parts.check).report())

    def require_forces(self) -> None:
        """Refuse to go on without the forces that a check needs.

        Raises:
            InputError: the evaluator returned none.
        """
        query = (
            "SELECT number FROM bostruct_trial WHERE state = 'done' "
            "AND attempt > 0 AND forces IS NULL LIMIT 1"
        )
        found = self.ledger.rows(query) if self.parts.check is not None else []
        if found:
            raise InputError(without_forces(f"none for trial {found[0]['number']}"))

    def _relaxations(self, check: Check) -> Relaxations:
        steps, trials = self.ledger.steps(), self.ledger.undecoded()
        return Relaxations(check, self.parts.space, steps, trials)

    def hand_out(self, trials: Sequence[Trial]) -> list[Trial]:
        """Record that energies are asked for; return the trials with structures."""
        self.ledger.run(trials)
        self._out.update(trial.number for trial in trials)
        return self.ledger.decoded(trials)

    def tell(self, trial: Trial | str, outcome: Evaluation | Failure) -> None:
        """Record what came of a trial."""
        found = self._find(trial)
        if found.finished:
            raise InputError(_over(found))
        if isinstance(outcome, Evaluation):
            atoms = len(self.parts.space.decode(found.X).positions)
            outcome = check(outcome, atoms, **limits(self.parts.evaluator))
        elif not isinstance(outcome, Failure):
            kind = type(outcome).__name__
            raise InputError(must("outcome", "be an Evaluation or a Failure", kind))
        elif outcome.retryable and not found.retryable:
            self.ledger.again(found, outcome)
            self._out.discard(found.number)
            return
        self.ledger.finish(found.number, outcome)

    def retract(self, trial: Trial | int | str, reason: str) -> None:
        """Take back what a trial found."""
        number = trial if isinstance(trial, int) else self._find(trial).number
        self.ledger.retract(retractable(self.ledger, number, reason).number, reason)

    def abandon(self, trial: Trial | str, reason: str) -> None:
        """Record that the energy of a trial will not be asked for any more."""
        found = self._find(trial)
        if found.state not in OPEN:
            raise InputError(_over(found))
        self.ledger.abandon(found.number, reason)

    def progress(self, seconds: float) -> Progress:
        """Return what a stop rule looks at, `seconds` after the run was started."""
        rows = self.ledger.rows(FINISHED)
        asked = [row for row in rows if row["attempt"]]
        known = [row["energy"] for row in rows if not row["attempt"]]
        checks = (i for i, row in enumerate(asked) if row["kind"] == "check")
        return Progress(
            energies=tuple(row["energy"] for row in asked),
            seconds=seconds,
            checks=frozenset(checks),
            given=min((e for e in known if e is not None), default=None),
            searched=sum(row["kind"] == "model" for row in asked),
            stood=self._stood(),
        )

    def _stood(self) -> Callable[[int], Standing] | None:
        """Return what says where the front stood; None in a campaign without goals.

        Nothing is read or computed before it is asked, and nothing twice after.
        """
        goals, ledger = self.parts.goals, self.ledger
        if goals is None:
            return None

        @cache
        def believed() -> tuple[list[Trial], Tensor | None]:
            trials = ledger.undecoded("done", "failed", "retracted")
            return trials, bound(table(trials, goals), ledger.steps(), goals)[0]

        @cache
        def stood(n: int) -> Standing:
            trials, reference = believed()
            return standing(trials, goals, reference, n)

        return stood

    def seconds(self) -> float:
        """Return what an evaluation takes, s; 0 before there is one."""
        rows = self.ledger.rows(FINISHED)
        found = [row["seconds"] for row in rows if row["attempt"]]
        return median(found) if found else 0.0

    def _find(self, trial: Trial | str) -> Trial:
        key = trial if isinstance(trial, str) else trial.key
        # A late result of an earlier attempt is as good as that of the last one.
        wanted = key.rpartition("-")[0]
        for found in self.ledger.undecoded():
            if found.key.rpartition("-")[0] == wanted:
                return found
        raise InputError(must("trial", "be one of this campaign", repr(key)))


def _over(trial: Trial) -> str:
    found = f"{trial.number}, {trial.state}"
    return must("trial", "be one without an outcome", found)
