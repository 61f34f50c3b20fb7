"""Assessment of the end of a campaign: its best structures, and candidates that may be better.

An evaluated energy has no uncertainty but the noise of the evaluator. Three statements have one.

* `RankedStructure`: the prediction of each of the best structures before its evaluation.
* `EnergyDifference`: the energy of each less that of the best by the last model, with the
  covariance between the two, so that shared errors cancel: C_ii + C_jj - 2 C_ij. Of structures that
  the model was trained on this predicts nothing: the interval shows the resolution of the model,
  and an evaluated difference outside of it that the model does not fit.
* `UnevaluatedCandidate`: the energies of candidates that were not evaluated. The coverage of the
  intervals is that of the campaign so far (`predictions`), and holds for each alone: the lowest of
  many misses its own more often.

Intervals are mean ± q s, with q from `calibration`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.campaign.analysis.best_trials import best_trials
from bostruct.campaign.analysis.calibration import (
    MISCOVERAGE,
    CalibratedPrediction,
    OnlineCalibration,
    online_calibration,
    trial_z_scores,
)
from bostruct.campaign.analysis.energy_comparison import EnergyComparison
from bostruct.campaign.analysis.predictions import LoggedPrediction, logged_predictions
from bostruct.campaign.energy_above_hull import SystemHull
from bostruct.campaign.enthalpy import PRESSURE_ENERGY, pressure_energy, pressure_of
from bostruct.campaign.log.reader import Log
from bostruct.campaign.member_names import member_names
from bostruct.campaign.records import Trial
from bostruct.candidates import select_unevaluated
from bostruct.errors import LogError, check_count
from bostruct.spaces import DiscreteSpace, Space


@final
@dataclass(frozen=True)
class RankedStructure:
    """One of the best structures, by its trial of lowest energy.

    Attributes:
        trial: Number of the trial.
        energy: Energy, eV.
        energy_above_best: Energy, or enthalpy under a pressure, less that of the best, eV; where
            compositions vary the energy above the convex hull, eV per atom.
        logged_prediction: Prediction before the evaluation; None without one.
        enthalpy: Enthalpy, eV; None where there is no pressure.
    """

    trial: int
    energy: float
    energy_above_best: float
    logged_prediction: LoggedPrediction | None
    enthalpy: float | None = None


@final
@dataclass(frozen=True)
class EnergyDifference:
    """Energy of one trial less that of another, of enthalpies under a pressure.

    Attributes:
        trial: Number of the trial.
        reference_trial: Number of the trial whose energy is subtracted.
        energy: Evaluated difference, eV.
        prediction: Difference predicted by the model, with observation noise.
        latent_sigma: Calibrated standard deviation of the difference without noise, eV.
        in_training_set: True if the model was trained on both trials.
    """

    trial: int
    reference_trial: int
    energy: float
    prediction: CalibratedPrediction
    latent_sigma: float
    in_training_set: bool


@final
@dataclass(frozen=True)
class UnevaluatedCandidate:
    """Candidate of a search that was not evaluated.

    Attributes:
        candidate_index: Row among the candidates of the step.
        generator: Name of the generator that proposed the structure.
        prediction: Predicted energy, or enthalpy under a pressure, with observation noise; where
            compositions vary the energy above the convex hull, eV per atom, negative below it.
        name: Name of the structure in a discrete space, its formula where compositions vary, ""
            without one.
    """

    candidate_index: int
    generator: str
    prediction: CalibratedPrediction
    name: str = ""


@final
@dataclass(frozen=True)
class Assessment:
    """Best structures of a campaign, and candidates that may be better.

    Attributes:
        best: Best structures, best first, without duplicates if the log has a space.
        differences: Energy of each of them less that of the first, by the last model; none where
            compositions vary.
        unevaluated: Candidates of the last search, of largest acquisition first; in a discrete
            space the lowest ends of the intervals, or of the calibrated σ until there are any.
        missing_reason: Reason for which the last two are not known, "" if they are.
    """

    best: tuple[RankedStructure, ...]
    differences: tuple[EnergyDifference, ...] = ()
    unevaluated: tuple[UnevaluatedCandidate, ...] = ()
    missing_reason: str = ""

    @classmethod
    def from_log(cls, log: Log, count: int = 5, eps: float = MISCOVERAGE) -> Assessment:
        """Return the assessment of a campaign.

        Args:
            log: Log, opened with the space and the surrogate of the campaign for differences and
                candidates.
            count: Maximum number of structures of each kind.
            eps: Miscoverage of the intervals.

        Raises:
            InputError: the count is below 1, or eps outside 0 to 1.
        """
        check_count("count", count)
        trials, steps = log.trial_records(), log.steps()
        hull = SystemHull.from_log(log)
        ranked = best_trials(trials, count, log.space, hull=hull)
        z_scores = trial_z_scores(log.trials_before_retraction())
        predictions = logged_predictions(ranked, steps, z_scores, eps)
        best = _rank_structures(ranked, predictions, hull)
        steps = [step for step in steps if step.file]
        if not steps:
            return cls(best, missing_reason="there was no step with a surrogate yet")
        is_foreign = "space or surrogate is not one of bostruct"
        if log.space is None:
            return cls(best, missing_reason=is_foreign)
        calibration, step = online_calibration(trials), steps[-1]
        try:
            tensors, header = log.read_posterior(step.number)
            generators = list(map(str, header["generators"]))
            comparison = EnergyComparison.from_tensors(tensors, step, ranked)
            if comparison is None:
                if log.surrogate is None:
                    return cls(best, missing_reason=is_foreign)
                model = log.restore(step.number, tensors)
                comparison = EnergyComparison.from_model(model, torch.stack([t.X for t in ranked]))
        except LogError as error:
            return cls(best, missing_reason=str(error))
        X = torch.stack([trial.X for trial in trials])
        differences: tuple[EnergyDifference, ...] = ()
        if hull is None:
            differences = _energy_differences(
                ranked, comparison, step.training_trials, calibration, eps
            )
        return cls(
            best,
            differences,
            _unevaluated_candidates(
                tensors, generators, X, log.space, calibration, count, eps, hull
            ),
        )


def _rank_structures(
    best: Sequence[Trial], predictions: Sequence[LoggedPrediction], hull: SystemHull | None
) -> tuple[RankedStructure, ...]:
    by_trial = {prediction.trial: prediction for prediction in predictions}
    return tuple(
        RankedStructure(
            trial=trial.number,
            energy=_energy(trial),
            energy_above_best=_enthalpy(trial) - _enthalpy(best[0])
            if hull is None
            else max(0.0, hull.energy_above(trial)),
            logged_prediction=by_trial.get(trial.number),
            enthalpy=trial.enthalpy if PRESSURE_ENERGY in trial.properties else None,
        )
        for trial in best
    )


def _energy_differences(
    best: Sequence[Trial],
    comparison: EnergyComparison,
    training_trials: Sequence[int],
    calibration: OnlineCalibration,
    eps: float,
) -> tuple[EnergyDifference, ...]:
    if len(best) < 2:
        return ()
    known = comparison.mean.new_tensor([t.properties.get(PRESSURE_ENERGY, 0.0) for t in best])
    enthalpies = comparison.mean + known
    mean = (enthalpies - enthalpies[0]).tolist()
    latent_variances = _difference_variances(comparison.latent_covariance)
    variances = _difference_variances(comparison.covariance)
    return tuple(
        EnergyDifference(
            trial=trial.number,
            reference_trial=best[0].number,
            energy=_enthalpy(trial) - _enthalpy(best[0]),
            prediction=calibration.predict(mean[i], variances[i], eps),
            latent_sigma=calibration.sigma_factor * math.sqrt(latent_variances[i]),
            in_training_set={trial.number, best[0].number} <= set(training_trials),
        )
        for i, trial in enumerate(best[1:], 1)
    )


def _difference_variances(covariance: Tensor) -> list[float]:
    """Return the variance of each value less the first, `[k]`, from `[k, k]`."""
    variance = covariance.diagonal()
    return (variance + variance[0] - 2 * covariance[0]).clamp(min=0).tolist()


def _unevaluated_candidates(
    tensors: Mapping[str, Tensor],
    generators: Sequence[str],
    X_evaluated: Tensor,
    space: Space,
    calibration: OnlineCalibration,
    count: int,
    eps: float,
    hull: SystemHull | None = None,
) -> tuple[UnevaluatedCandidate, ...]:
    """Return the best candidates that are no duplicates of evaluated structures `[t, d]`.

    Those of largest acquisition in a continuous space, where the lowest ends of intervals are of
    structures of which the model knows nothing.
    """
    q = calibration.quantile(eps)
    width = q if math.isfinite(q) else calibration.sigma_factor
    mean, variance = tensors["candidates.mean"], tensors["candidates.predictive_variance"]
    if pressure_of(space):
        mean = mean + pressure_energy(space, tensors["candidates.X"]).to(mean)
    if hull is not None:
        m = hull.space.member_index(tensors["candidates.X"])
        n = hull.space.atom_counts[m].to(mean)
        mean, variance = mean / n - hull.member_energies[m].to(mean), variance / n.square()
    X, order = tensors["candidates.X"], tensors["candidates.acquisition"]
    if isinstance(space, DiscreteSpace):
        order = width * variance.sqrt() - mean
    rows = select_unevaluated(X, order, count, space, X_evaluated)
    names = member_names(space, X[rows])
    if hull is not None:
        names = [hull.space.formulas[i] for i in m[rows].tolist()]
    return tuple(
        UnevaluatedCandidate(
            i, generators[i], calibration.predict(float(mean[i]), float(variance[i]), eps), name
        )
        for i, name in zip(rows.tolist(), names, strict=True)
    )


def _enthalpy(trial: Trial) -> float:
    assert trial.enthalpy is not None
    return trial.enthalpy


def _energy(trial: Trial) -> float:
    assert trial.energy is not None
    return trial.energy
