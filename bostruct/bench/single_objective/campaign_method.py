"""The method that is ours: a campaign, as a user would run it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from bostruct.bench.single_objective.method import place
from bostruct.bench.single_objective.run import PARTS, Belief, Run
from bostruct.bench.single_objective.settings import SETTINGS, Setting
from bostruct.bench.single_objective.task import Task
from bostruct.campaign import Campaign, Log, stop
from bostruct.campaign.log.run_folder import inspect
from bostruct.campaign.records import Trial
from bostruct.errors import LogError, check_count


@final
@dataclass(frozen=True)
class Campaigns:
    """A campaign in a run folder for each seed, which `bostruct show` reads as well.

    Args:
        setting: What differs from the defaults.
        cap: Evaluations, the first random ones and failed ones counted.
        device: Of the tensor work.
    """

    setting: Setting = SETTINGS["default"]
    cap: int = 100
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_count("evaluations", self.cap)

    @property
    def name(self) -> str:
        """In the results."""
        own = self.setting.name
        return "bostruct" if own == "default" else f"bostruct {own}"

    def folder(self, task: Task) -> Path:
        """Return the task's folder, or one in it for other settings."""
        own = self.setting.name
        return Path(task.name) if own == "default" else Path(task.name, own)

    def read(self, task: Task, seed: int, out: Path) -> Run:
        """Return what the log holds.

        Raises:
            LogError: the folder holds something else.
            MismatchError: it holds another campaign.
        """
        folder = place(self, task, seed, out)
        if not inspect(folder):
            return self._run(task, seed)
        return self._logged(task, seed, self.log(task, seed, out))

    def run(self, task: Task, seed: int, out: Path) -> Run:
        """Run the campaign until the task is solved or the cap is reached.

        An error that is not about the folder ends the run, which has failed.

        Raises:
            LogError: the folder cannot be used.
        """
        found = self.read(task, seed, out)
        if found.finished:
            return found
        folder = place(self, task, seed, out)
        rule = stop.EnergyReached(task.target) | stop.Evaluations(self.cap)
        campaign = self.campaign(task)
        reason = ""
        try:
            campaign.run(folder, seed, self.device, stop=rule, progress=False)
        except LogError:
            raise
        except Exception as error:  # noqa: BLE001 - a part may fail in any way
            reason = f"{type(error).__name__}: {error}"
        found = self.read(task, seed, out)
        if not found.finished and not reason:
            reason = str(self.log(task, seed, out).sessions()[-1]["reason"])
        return replace(found, reason=reason)

    def log(self, task: Task, seed: int, out: Path) -> Log:
        """Return the log of a run.

        Raises:
            LogError: there is none.
            MismatchError: it is that of another campaign.
        """
        return self.campaign(task).read(place(self, task, seed, out))

    def campaign(self, task: Task) -> Campaign:
        """Return the campaign that a task is solved with."""
        return Campaign(task.domain, task.evaluator, **self.setting.arguments)

    def _run(self, task: Task, seed: int) -> Run:
        return Run(task.name, self.name, seed, self.cap, task.target)

    def _logged(self, task: Task, seed: int, log: Log) -> Run:
        finished = [trial for trial in log.trials() if trial.finished]
        trials = [trial for trial in finished if not trial.given]
        last = max((t.step for t in trials[: self.cap]), default=-1)
        steps = [s for s in log.steps() if s.kind == "model" and s.number <= last]
        return replace(
            self._run(task, seed),
            energies=tuple(trial.energy for trial in trials),
            beliefs=tuple(_belief(trial) for trial in trials),
            seconds=tuple(tuple(s.seconds[part] for part in PARTS) for s in steps),
        )


def _belief(trial: Trial) -> Belief | None:
    """Return what was expected of a trial, NaN for what is no number."""
    if trial.candidate is None:
        return None
    mean, latent, observed = (
        math.nan if value is None else value
        for value in (trial.mean, trial.variance, trial.observed)
    )
    return Belief(mean, _root(latent), _root(observed))


def _root(variance: float) -> float:
    return math.sqrt(variance) if variance >= 0 else math.nan
