"""How sure the end of a campaign is: its best structures, and what else there may be.

An energy that was evaluated is what it is: nothing is left to be unsure of but the
scatter of the evaluator itself. Three things can still be said with an interval.

* `Ranked`: what was predicted of each of the best structures before it was known.
* `Difference`: what a model says of the energy of each less that of the best, with the
  covariance between the two, so that what they share cancels: C_ii + C_jj - 2 C_ij.
  Of structures that the model was trained on this predicts nothing: the interval says
  what the model can resolve, and an evaluated difference outside of it that the model
  does not fit.
* `Remaining`: the energies of structures that were found and not evaluated. The
  intervals are as good as those of the campaign have been (`foretold`), and hold for
  each alone: the lowest of many misses its own more often.

Intervals are mean ± q s, with q from `calibration`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.campaign.analysis.calibration import (
    MISCOVERAGE,
    CalibratedPrediction,
    OnlineCalibration,
    online_calibration,
    trial_z_scores,
)
from bostruct.campaign.analysis.predictions import LoggedPrediction, logged_predictions
from bostruct.campaign.atom_matching import is_duplicate
from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import Trial
from bostruct.candidates import Candidates, select_top
from bostruct.errors import LogError, check_count
from bostruct.spaces import Space
from bostruct.surrogates import FittedModel


@final
@dataclass(frozen=True)
class RankedStructure:
    """One of the best structures, the lowest trial of each.

    Attributes:
        trial: Its number.
        energy: As evaluated, or given, eV.
        energy_above_best: The same less that of the best structure, eV.
        logged_prediction: What was predicted of it before; None if nothing was.
    """

    trial: int
    energy: float
    energy_above_best: float
    logged_prediction: LoggedPrediction | None


@final
@dataclass(frozen=True)
class EnergyDifference:
    """The energy of one trial less that of another.

    Attributes:
        trial: Number of the one.
        reference_trial: Number of the other.
        energy: As evaluated, eV.
        prediction: By the model, as it would be observed.
        latent_sigma: Calibrated standard deviation of the difference without noise, eV.
        in_training_set: Whether the model was trained on both.
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
    """A structure that a search found and that was not evaluated.

    Attributes:
        candidate_index: Its row among the candidates of that step.
        generator: The generator that proposed it.
        prediction: Of its energy, as it would be observed.
    """

    candidate_index: int
    generator: str
    prediction: CalibratedPrediction


@final
@dataclass(frozen=True)
class Assessment:
    """The best structures of a campaign, and those that may be better.

    Attributes:
        best: No two of them the same, best first. Of a log without a space they may be.
        differences: Of each less the first, by the last model.
        unevaluated: Of the last search, lowest ends first. Until there are intervals, the
            calibrated σ takes the place of their half widths in that order.
        missing_reason: Why the last two are not known, "" if they are.
    """

    best: tuple[RankedStructure, ...]
    differences: tuple[EnergyDifference, ...] = ()
    unevaluated: tuple[UnevaluatedCandidate, ...] = ()
    missing_reason: str = ""

    @classmethod
    def from_log(cls, log: Log, count: int = 5, eps: float = MISCOVERAGE) -> Assessment:
        """Return how a campaign stands.

        Args:
            log: Opened with the space and the surrogate of the campaign, for
                differences and remaining structures.
            count: Structures of each kind, at most.
            eps: Share of the intervals that may miss.

        Raises:
            InputError: the count is below 1, or eps outside 0 to 1.
        """
        check_count("count", count)
        trials, steps = log.trial_records(), log.steps()
        lowest = _best_trials(trials, count, log.space)
        best = _rank_structures(
            lowest, logged_predictions(lowest, steps, trial_z_scores(trials), eps)
        )
        steps = [step for step in steps if step.file]
        if not steps:
            return cls(best, missing_reason="there was no step with a surrogate yet")
        if log.space is None or log.surrogate is None:
            return cls(best, missing_reason="space or surrogate are parts of your own")
        found, step = online_calibration(trials), steps[-1]
        try:
            model, tensors = (
                log.posterior(step.number),
                log.posterior_tensors(step.number),
            )
            origins = log.candidate_generators(step.number)
        except LogError as error:
            return cls(best, missing_reason=str(error))
        seen = torch.stack([trial.X for trial in trials])
        return cls(
            best,
            _energy_differences(lowest, model, step.training_trials, found, eps),
            _unevaluated_candidates(tensors, origins, seen, log.space, found, count, eps),
        )


def _best_trials(trials: Sequence[Trial], count: int, space: Space | None) -> list[Trial]:
    """Return the trials of the best structures, best first, no two of them the same."""
    done = [(t.energy, t.number, t) for t in trials if t.energy is not None]
    found: list[Trial] = []
    for _, _, trial in sorted(done, key=lambda item: item[:2]):
        if len(found) == count:
            break
        if space is None or not is_duplicate(space, trial.X, [each.X for each in found]):
            found.append(trial)
    return found


def _rank_structures(
    best: Sequence[Trial], predictions: Sequence[LoggedPrediction]
) -> tuple[RankedStructure, ...]:
    earlier = {each.trial: each for each in predictions}
    return tuple(
        RankedStructure(
            trial=trial.number,
            energy=_energy(trial),
            energy_above_best=_energy(trial) - _energy(best[0]),
            logged_prediction=earlier.get(trial.number),
        )
        for trial in best
    )


def _energy_differences(
    best: Sequence[Trial],
    model: FittedModel,
    training_trials: Sequence[int],
    calibration: OnlineCalibration,
    eps: float,
) -> tuple[EnergyDifference, ...]:
    if len(best) < 2:
        return ()
    X = torch.stack([trial.X for trial in best])
    with torch.no_grad():
        latent = model.posterior(X)
        observed = model.posterior(X, observation_noise=True)
    mean = (latent.mean.flatten() - latent.mean.flatten()[0]).tolist()
    of_latent = _difference_variances(latent.distribution.covariance_matrix)
    of_observed = _difference_variances(observed.distribution.covariance_matrix)
    return tuple(
        EnergyDifference(
            trial=trial.number,
            reference_trial=best[0].number,
            energy=_energy(trial) - _energy(best[0]),
            prediction=calibration.predict(mean[i], of_observed[i], eps),
            latent_sigma=calibration.sigma_factor * math.sqrt(of_latent[i]),
            in_training_set={trial.number, best[0].number} <= set(training_trials),
        )
        for i, trial in enumerate(best[1:], 1)
    )


def _difference_variances(covariance: Tensor) -> list[float]:
    """Return the variance of each value less the first, `[k]`, from `[k, k]`."""
    own = covariance.diagonal()
    return (own + own[0] - 2 * covariance[0]).clamp(min=0).tolist()


def _unevaluated_candidates(
    tensors: Mapping[str, Tensor],
    generators: Sequence[str],
    X_evaluated: Tensor,
    space: Space,
    calibration: OnlineCalibration,
    count: int,
    eps: float,
) -> tuple[UnevaluatedCandidate, ...]:
    """Return the candidates that are like none that was seen `[t, d]`."""
    q = calibration.quantile(eps)
    width = q if math.isfinite(q) else calibration.sigma_factor
    mean, observed = (
        tensors["candidates.mean"],
        tensors["candidates.predictive_variance"],
    )
    candidates = Candidates(
        X=tensors["candidates.X"],
        acq_value=width * observed.sqrt() - mean,  # the lower it may be, the better
        generator_names=generators,
        n_steps=tensors["candidates.steps"],
        converged=tensors["candidates.converged"],
    )
    old = torch.ones(len(X_evaluated), dtype=torch.bool)  # the same, however far relaxed
    rows = select_top(candidates, count, space=space, X_evaluated=X_evaluated, is_relaxed=old)
    return tuple(
        UnevaluatedCandidate(
            i,
            generators[i],
            calibration.predict(float(mean[i]), float(observed[i]), eps),
        )
        for i in rows.tolist()
    )


def _energy(trial: Trial) -> float:
    assert trial.energy is not None
    return trial.energy
