"""Bayesian-optimization campaign as a method of the energy benchmark."""

from __future__ import annotations

import math
import time
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from bostruct.bench.benchmark import read_json, write_json
from bostruct.bench.single_objective.method import empty_run, run_folder
from bostruct.bench.single_objective.run import TIMED_PARTS, EnergyPrediction, Run
from bostruct.bench.single_objective.settings import CAMPAIGN_SETTINGS, Setting
from bostruct.bench.single_objective.task import Task
from bostruct.campaign import Campaign, Log, stop
from bostruct.campaign.energy_above_hull import SystemHull, mean_hull_history
from bostruct.campaign.enthalpy import PRESSURE_ENERGY, has_variable_cell, pressure_of
from bostruct.campaign.log.run_folder import has_campaign
from bostruct.campaign.records import Trial
from bostruct.errors import InputError, LogError, check_count, error_message
from bostruct.evaluators import Calculator, Evaluator
from bostruct.runtime.rng import generator_for
from bostruct.spaces import SupportsGenerators
from bostruct.spaces.space import SupportsCompositions
from bostruct.structures import Structures, to_ase

N_START_STRUCTURES = 2
"""Number of structures that a campaign starts from where a task has its own, as many as random ones
by default."""


@final
@dataclass(frozen=True)
class HullReached(stop.StoppingCriterion):
    """Criterion on the mean of the convex hull over the formulas of a space.

    Args:
        energy: Mean at or below which the run ends, eV/atom.
    """

    energy: float

    def reason(self, progress: stop.Progress) -> str | None:
        """Return the mean once it is low enough."""
        lowest = min((e for e in progress.energies if e is not None), default=math.inf)
        return f"a mean hull of {lowest:.6f} eV/atom" if lowest <= self.energy else None


@final
@dataclass(frozen=True)
class CampaignMethod:
    """Campaign in one run folder for each seed, which `bostruct show` reads as well.

    Args:
        setting: Arguments of the campaign that differ from the defaults.
        max_evaluations: Limit of evaluations, with initial and failed ones.
        device: Device of the tensors.
    """

    setting: Setting = CAMPAIGN_SETTINGS["default"]
    max_evaluations: int = 100
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_count("max_evaluations", self.max_evaluations)

    @property
    def name(self) -> str:
        """Name of the method in the results."""
        return "bostruct" if self.setting.name == "default" else f"bostruct {self.setting.name}"

    def suits(self, task: Task) -> bool:
        """Return whether the setting makes a difference to the task.

        A search without stresses does where the cell varies at no pressure, one without a move
        or generator where the space has it.
        """
        space = task.search_space
        if self.setting.without_stress and (not has_variable_cell(space) or pressure_of(space)):
            return False
        search = self.setting.arguments.get("search")
        lacks = getattr(search, "exclude", ())
        names = set(space.moves())
        if isinstance(space, SupportsGenerators):
            names |= set(space.generators())
        return not self.setting.is_ablation or set(lacks) <= names

    def folder(self, task: Task) -> Path:
        """Return the folder of the task, or one in it for settings other than the default."""
        name = self.setting.name
        return Path(task.name) if name == "default" else Path(task.name, name)

    def read(self, task: Task, seed: int, out: Path) -> Run:
        """Return the run in the log.

        Raises:
            LogError: the folder holds something else.
            MismatchError: the folder holds another campaign.
        """
        folder = run_folder(self, task, seed, out)
        if not has_campaign(folder):
            return empty_run(self, task, seed)
        run = self._run_from_log(task, seed, self.log(task, seed, out))
        return replace(run, cpu_seconds=read_json(self._cpu_path(task, seed, out)))

    def run(self, task: Task, seed: int, out: Path) -> Run:
        """Run the campaign until the task is solved or the limit of evaluations is reached.

        An error that is not about the folder ends the run, which has failed then.

        Raises:
            LogError: the folder cannot be used.
        """
        run = self.read(task, seed, out)
        if run.is_finished:
            return run
        folder = run_folder(self, task, seed, out)
        reached: stop.StoppingCriterion = stop.EnergyReached(task.target_energy)
        if isinstance(task.search_space, SupportsCompositions):
            reached = HullReached(task.target_energy)
        rule = reached | stop.Evaluations(self.max_evaluations)
        campaign = self.campaign(task, seed)
        reason = ""
        begin = time.process_time()
        try:
            campaign.run(folder, seed, self.device, stop=rule, progress=False)
        except LogError:
            raise
        except Exception as error:  # noqa: BLE001 - components raise any error
            reason = f"{type(error).__name__}: {error}"
        self._add_cpu_seconds(time.process_time() - begin, task, seed, out)
        run = self.read(task, seed, out)
        if not run.is_finished and not reason:
            reason = str(self.log(task, seed, out).sessions()[-1]["reason"])
        return replace(run, reason=reason)

    def log(self, task: Task, seed: int, out: Path) -> Log:
        """Return the log of a run.

        Raises:
            LogError: there is no log.
            MismatchError: the log is that of another campaign.
        """
        return self.campaign(task, seed).read(run_folder(self, task, seed, out))

    def campaign(self, task: Task, seed: int) -> Campaign:
        """Return the campaign of a task.

        Args:
            task: Task.
            seed: Random seed of the structures that the task starts from, if it has its own.
        """
        arguments = dict(self.setting.arguments)
        if task.make_start is not None:
            generators = (generator_for(seed, "start", k) for k in range(N_START_STRUCTURES))
            starts = [task.search_space.decode(task.start(generator)) for generator in generators]
            arguments.setdefault("initial_structures", to_ase(Structures.cat(starts)))
        evaluator = task.evaluator
        if self.setting.without_stress:
            evaluator = without_stress(evaluator)
        return Campaign(task.search_space, evaluator, **arguments)

    def _cpu_path(self, task: Task, seed: int, out: Path) -> Path:
        return run_folder(self, task, seed, out).with_suffix(".cpu.json")

    def _add_cpu_seconds(self, seconds: float, task: Task, seed: int, out: Path) -> None:
        """Add the CPU time of one session to that of the run."""
        path = self._cpu_path(task, seed, out)
        write_json((read_json(path) or 0.0) + seconds, path, indent=None)

    def _run_from_log(self, task: Task, seed: int, log: Log) -> Run:
        finished = [trial for trial in log.trials() if trial.is_finished]
        trials = [trial for trial in finished if not trial.is_initial_data]
        last = max((t.step for t in trials[: self.max_evaluations]), default=-1)
        steps = [s for s in log.steps() if s.kind == "model" and s.number <= last]
        hull = SystemHull.from_references(task.search_space, None)
        return replace(
            empty_run(self, task, seed),
            energies=tuple(trial.enthalpy for trial in trials),
            hull_energies=() if hull is None else tuple(mean_hull_history(trials, hull)),
            predictions=tuple(_energy_prediction(trial) for trial in trials),
            step_seconds=tuple(tuple(s.seconds[part] for part in TIMED_PARTS) for s in steps),
        )


def without_stress(evaluator: Evaluator) -> Evaluator:
    """Return a calculator that reads no stress.

    Raises:
        InputError: the evaluator is no `Calculator`.
    """
    if not isinstance(evaluator, Calculator):
        condition, value = "be a Calculator for a search without stresses", type(evaluator).__name__
        raise InputError(error_message("evaluator", condition, value))
    silent = copy(evaluator)
    silent.with_stress = False
    return silent


def _energy_prediction(trial: Trial) -> EnergyPrediction | None:
    """Return the prediction of a trial, with NaN for invalid numbers; None without one.

    Under a pressure it is that of the enthalpy.
    """
    if trial.candidate_index is None:
        return None
    work = trial.properties.get(PRESSURE_ENERGY, 0.0)
    mean, latent, predictive = (
        math.nan if value is None else value
        for value in (trial.mean, trial.latent_variance, trial.predictive_variance)
    )
    return EnergyPrediction(mean + work, _std_or_nan(latent), _std_or_nan(predictive))


def _std_or_nan(variance: float) -> float:
    return math.sqrt(variance) if variance >= 0 else math.nan
