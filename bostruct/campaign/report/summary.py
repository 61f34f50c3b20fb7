"""Summary of a campaign: its state, its results, and the calibration of its predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from bostruct.campaign.analysis.absurd_energies import absurd_sentence
from bostruct.campaign.analysis.bound_diagnosis import bound_sentences
from bostruct.campaign.analysis.calibration import CalibratedPrediction
from bostruct.campaign.analysis.radius_diagnosis import radius_sentence
from bostruct.campaign.energy_above_hull import (
    SystemHull,
    energies_above_references,
    trial_ranks,
)
from bostruct.campaign.enthalpy import (
    PRESSURE_ENERGY,
    is_crystal,
    missing_stress_sentence,
)
from bostruct.campaign.log.lock import is_locked
from bostruct.campaign.log.malformed_log import reads_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.planning.force_consistency import last_contradiction
from bostruct.campaign.planning.radius_correction import (
    logged_radius_factors,
    with_radius_factors,
)
from bostruct.campaign.records import OPEN_STATES, Attempt, RelaxationReport, Step, Trial
from bostruct.campaign.report.assessment import Assessment
from bostruct.campaign.report.calibration_summary import CalibrationSummary
from bostruct.campaign.report.export import trial_energies_above_hull, trial_formulas
from bostruct.campaign.report.hull_summary import HullSummary, trial_formulas_of_space
from bostruct.campaign.report.pareto_summary import (
    OutcomeSummary,
    ParetoSummary,
    summarize_outcomes,
)
from bostruct.runtime.canonical_json import json_finite
from bostruct.spaces.crystals.crystal_summary import CrystalSummary, summarize_crystal

N_LAST_STEPS = 5
"""Number of steps in a summary."""

N_LAST_FAILURES = 3
"""Number of failures in a summary."""


@final
@dataclass(frozen=True)
class TrialSummary:
    """Trial of one of the last steps.

    Attributes:
        trial: Number of the trial.
        state: State of the trial, as in `Trial`.
        generator: Name of the generator that proposed the structure.
        acquisition: Acquisition value at the selection; None without one.
        reason: Cause of a failure or a retraction.
        doubt: Reason for which the result is doubted; "" without a doubt.
        energy: Energy, eV; None where it is unknown.
        prediction: Prediction of the energy before the evaluation; None without one.
        outcomes: Prediction and result of each outcome by name; empty without objectives.
    """

    trial: int
    state: str
    generator: str
    acquisition: float | None
    reason: str
    doubt: str = ""
    energy: float | None = None
    prediction: CalibratedPrediction | None = None
    outcomes: Mapping[str, OutcomeSummary] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class StepSummary:
    """One of the last steps.

    Attributes:
        step: Number of the step, from 0.
        kind: Kind of the step, as in `Step`.
        n_training_trials: Number of trials the surrogate was trained on.
        hyperparameters: Hyperparameters of the surrogate.
        seconds: Wall time by "fit", "search" and "log".
        trials: Trials of the step.
    """

    step: int
    kind: str
    n_training_trials: int
    hyperparameters: Mapping[str, float]
    seconds: Mapping[str, float]
    trials: tuple[TrialSummary, ...]


@final
@dataclass(frozen=True)
class BestEvaluation:
    """Trial of the lowest energy, under a pressure of the lowest enthalpy.

    Attributes:
        energy: Energy, eV.
        evaluation: Number of the evaluation, from 1; None for initial data.
        step: Number of the step.
        trial: Number of the trial.
        generator: Name of the generator that proposed the structure.
        enthalpy: Enthalpy, eV; None where there is no pressure.
        energy_above_hull: Energy above the convex hull, eV per atom, where compositions vary; the
            best is the stable compound of the lowest formation energy.
    """

    energy: float
    evaluation: int | None
    step: int
    trial: int
    generator: str
    enthalpy: float | None = None
    energy_above_hull: float | None = None

    @property
    def value(self) -> float:
        """Quantity that is minimized: energy, under a pressure enthalpy, or energy above a hull."""
        if self.energy_above_hull is not None:
            return self.energy_above_hull
        return self.energy if self.enthalpy is None else self.enthalpy


@final
@dataclass(frozen=True)
class FinalRelaxationSummary:
    """Progress of the final relaxation.

    Attributes:
        fmax: Largest force of a relaxed structure, eV/Å.
        n_converged: Number of structures that are relaxed.
        structures: Report of each structure.
    """

    fmax: float
    n_converged: int
    structures: tuple[RelaxationReport, ...]


@final
@dataclass(frozen=True)
class EnergySummary:
    """Results of a campaign that minimizes the energy.

    Attributes:
        energies: Energies in the order of the evaluations, eV; None where one failed or is doubted.
        best: Trial of the lowest energy; None without one.
        final_relaxation: Progress of the final relaxation; None without one.
        calibration: Calibration of the predicted energies.
        assessment: Best structures, and candidates that may be better.
        crystals: Symmetry and cell of the best structures by trial, where the cell varies.
        hull: Convex hull, where compositions vary.
        above_references: Energy of the best crystal of one formula above the hull of reference
            entries, eV per atom, negative below it; None without any.
    """

    energies: tuple[float | None, ...]
    best: BestEvaluation | None
    final_relaxation: FinalRelaxationSummary | None
    calibration: CalibrationSummary
    assessment: Assessment
    crystals: Mapping[int, CrystalSummary] = field(default_factory=dict)
    hull: HullSummary | None = None
    above_references: float | None = None


@final
@dataclass(frozen=True)
class CampaignSummary:
    """State and results of a campaign; either `energy` or `pareto` is present.

    Attributes:
        status: running, finished, paused, failed or interrupted.
        reason: Sentence on the status.
        folder: Run folder.
        seed: Seed of the campaign.
        n_initial_data: Number of structures that came with their energies.
        n_initial_data_refused: Number of those whose energies were refused.
        n_evaluations: Number of evaluations, failed ones included.
        n_failed: Number of failed evaluations.
        last_failures: Reasons of the last failures by trial.
        n_pending: Number of trials without a result.
        n_abandoned: Number of abandoned trials.
        contradiction: Sentence on forces that contradict the energies; "" without one.
        diagnoses: Sentences on radii, bounds and first energies that do not suit the problem.
        doubted: Reasons of doubts by trial.
        retracted: Reasons of retractions by trial.
        seconds: Wall time by "fit", "search", "evaluate" (all attempts) and "log".
        n_sessions: Number of sessions.
        device: Device of the last session; None before the first.
        threads: Number of threads of the last session.
        journal: SQLite journal mode of the last session, with the reason.
        versions: Package versions of the last session.
        description: Description of the campaign.
        steps: Last steps.
        names: Names of the structures by trial, where the space is discrete; their formulas where
            compositions vary.
        energy: Results where the energy is minimized.
        pareto: Results where there are objectives.
    """

    status: str
    reason: str
    folder: str
    seed: int
    n_initial_data: int
    n_initial_data_refused: int
    n_evaluations: int
    n_failed: int
    last_failures: Mapping[int, str]
    n_pending: int
    n_abandoned: int
    contradiction: str
    doubted: Mapping[int, str]
    retracted: Mapping[int, str]
    seconds: Mapping[str, float]
    n_sessions: int
    device: str | None
    threads: int | None
    journal: str | None
    versions: Mapping[str, str] | None
    description: Mapping[str, Any]
    steps: tuple[StepSummary, ...]
    names: Mapping[int, str] = field(default_factory=dict)
    diagnoses: tuple[str, ...] = ()
    energy: EnergySummary | None = None
    pareto: ParetoSummary | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the summary as JSON values, with the names of the attributes as keys."""
        values: dict[str, Any] = json_finite(self)
        return values


@reads_log
def summarize(log: Log) -> CampaignSummary:
    """Return the summary of a log."""
    trials, steps, sessions = log.trial_records(), log.steps(), log.sessions()
    initial_data = [trial for trial in trials if trial.is_initial_data]
    finished = [trial for trial in trials if trial.is_finished and not trial.is_initial_data]
    failed = [trial for trial in finished if trial.state == "failed"]
    last = sessions[-1] if sessions else {}
    status, reason = campaign_status(log, last)
    energy, pareto = None, None
    predictions: dict[int, CalibratedPrediction] = {}
    outcomes: dict[int, dict[str, OutcomeSummary]] = {}
    last_steps = steps[-N_LAST_STEPS:]
    if log.optimization_config is None:
        logged = log.predictions()
        assessment = Assessment.from_log(log)
        predictions = {prediction.trial: prediction.prediction for prediction in logged}
        best = best_evaluation(finished, initial_data, SystemHull.from_log(log))
        energy = EnergySummary(
            energies=tuple(None if trial.doubt else trial.energy for trial in finished),
            best=best,
            final_relaxation=_summarize_final_relaxation(log),
            calibration=CalibrationSummary.from_predictions(log.calibration(), logged),
            assessment=assessment,
            crystals=_summarize_crystals(log, [each.trial for each in assessment.best]),
            hull=HullSummary.from_log(log),
            above_references=None
            if best is None
            else energies_above_references(log).get(best.trial),
        )
    else:
        front = log.pareto_front()
        points = {point.trial: point for point in front.evaluated}
        numbers = {step.number for step in last_steps}
        outcomes = {
            trial.number: summarize_outcomes(
                trial, log.optimization_config, points.get(trial.number)
            )
            for trial in trials
            if trial.step in numbers
        }
        pareto = ParetoSummary.from_front(
            front,
            trial_formulas(log, [point.trial for point in front.points]),
            trial_energies_above_hull(log),
            {
                name: CalibrationSummary.from_predictions(
                    log.calibration(outcome=name), log.predictions(outcome=name)
                )
                for name in front.learned_names
            },
        )
    return CampaignSummary(
        status=status,
        reason=reason,
        folder=str(log.folder),
        seed=log.seed,
        n_initial_data=sum(trial.state == "done" for trial in initial_data),
        n_initial_data_refused=sum(trial.state == "failed" for trial in initial_data),
        n_evaluations=len(finished),
        n_failed=len(failed),
        last_failures={trial.number: trial.reason for trial in failed[-N_LAST_FAILURES:]},
        n_pending=sum(trial.state in OPEN_STATES for trial in trials),
        n_abandoned=sum(trial.state == "abandoned" for trial in trials),
        contradiction=last_contradiction(steps),
        doubted={trial.number: trial.doubt for trial in trials if trial.doubt},
        retracted={trial.number: trial.reason for trial in trials if trial.state == "retracted"},
        seconds=total_seconds(steps, [*finished, *log.attempts()]),
        n_sessions=len(sessions),
        device=last.get("device"),
        threads=last.get("threads"),
        journal=last.get("journal"),
        versions=last.get("versions"),
        description=log.description,
        steps=tuple(_summarize_step(step, trials, predictions, outcomes) for step in last_steps),
        names={trial.number: trial.member for trial in trials if trial.member}
        | trial_formulas_of_space(log.space, trials),
        diagnoses=() if energy is None else _diagnoses(log, energy.assessment),
        energy=energy,
        pareto=pareto,
    )


def _summarize_crystals(log: Log, numbers: Sequence[int]) -> dict[int, CrystalSummary]:
    """Return symmetry and cell of some trials by number; none but of crystals and layers."""
    if log.space is None or not is_crystal(log.space):
        return {}
    by_number = {trial.number: trial for trial in log.trial_records()}
    trials = log.with_structures([by_number[number] for number in numbers])
    found = {trial.number: trial.structures for trial in trials}
    return {n: summarize_crystal(structures) for n, structures in found.items() if structures}


def best_evaluation(
    finished: Sequence[Trial],
    initial_data: Sequence[Trial] = (),
    hull: SystemHull | None = None,
) -> BestEvaluation | None:
    """Return the trial of the lowest enthalpy, of equal ones the first; None without an energy.

    Doubted energies do not count.

    Args:
        finished: Evaluated trials in order.
        initial_data: Trials of the user's data.
        hull: Hull of all of them, where the energy above it is minimized.
    """
    numbered = [(None, trial) for trial in initial_data] + list(enumerate(finished, 1))
    ranks = trial_ranks([trial for _, trial in numbered], hull)
    known = [
        (rank, t.number, i, t)
        for rank, (i, t) in zip(ranks, numbered, strict=True)
        if rank < math.inf
    ]
    if not known:
        return None
    _, number, evaluation, trial = min(known, key=lambda item: item[:2])
    assert trial.energy is not None
    has_pressure = PRESSURE_ENERGY in trial.properties
    return BestEvaluation(
        trial.energy,
        evaluation,
        trial.step,
        number,
        trial.generator,
        trial.enthalpy if has_pressure else None,
        None if hull is None else max(0.0, hull.energy_above(trial)),
    )


def total_seconds(
    steps: Sequence[Step], evaluations: Sequence[Trial | Attempt]
) -> dict[str, float]:
    """Return the total wall time by "fit", "search", "evaluate" and "log".

    Args:
        steps: All steps.
        evaluations: Finished trials, and the attempts before their last.
    """
    fit, search, log = (
        math.fsum(step.seconds[part] for step in steps) for part in ("fit", "search", "log")
    )
    evaluate = math.fsum(evaluation.seconds for evaluation in evaluations)
    return {"fit": fit, "search": search, "evaluate": evaluate, "log": log}


def _diagnoses(log: Log, assessment: Assessment) -> tuple[str, ...]:
    """Return the sentences on radii, bounds and first energies of a search by energy."""
    trials, steps = log.trial_records(), log.steps()
    sentences = [absurd_sentence(trials)]
    if log.space is not None:
        sentences.append(missing_stress_sentence(log.space, trials))
        sentences.append(radius_sentence(log.space, steps))
        numbers = [structure.trial for structure in assessment.best]
        by_number = {trial.number: trial for trial in trials}
        space = with_radius_factors(log.space, logged_radius_factors(steps))
        sentences += bound_sentences([by_number[n] for n in numbers], trials, space)
    return tuple(sentence for sentence in sentences if sentence)


def _summarize_final_relaxation(log: Log) -> FinalRelaxationSummary | None:
    description = log.description.get("final_relaxation")
    if description is None:
        return None
    reports = tuple(log.relaxations())
    n_converged = sum(report.converged for report in reports)
    return FinalRelaxationSummary(description["fmax"], n_converged, reports)


def campaign_status(log: Log, last_session: Mapping[str, Any]) -> tuple[str, str]:
    """Return the status of a campaign and its reason, as in `CampaignSummary`.

    Args:
        log: Log of the campaign.
        last_session: Values of the last session; empty before the first.
    """
    if is_locked(log.folder):
        return "running", f"process {last_session.get('pid')} on {last_session.get('host')}"
    if not last_session or last_session["ended"] is None:
        return "interrupted", "run the same command again to go on"
    return str(last_session["status"]), str(last_session["reason"])


def _summarize_step(
    step: Step,
    trials: Sequence[Trial],
    predictions: Mapping[int, CalibratedPrediction],
    outcomes: Mapping[int, Mapping[str, OutcomeSummary]],
) -> StepSummary:
    return StepSummary(
        step=step.number,
        kind=step.kind,
        n_training_trials=len(step.training_trials),
        hyperparameters=step.hyperparameters,
        seconds=step.seconds,
        trials=tuple(
            TrialSummary(
                trial=trial.number,
                state=trial.state,
                generator=trial.generator,
                acquisition=trial.acquisition,
                reason=trial.reason,
                doubt=trial.doubt,
                energy=trial.energy,
                prediction=predictions.get(trial.number),
                outcomes=outcomes.get(trial.number, {}),
            )
            for trial in trials
            if trial.step == step.number
        ),
    )
