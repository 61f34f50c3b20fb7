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
    EPS,
    Calibrated,
    Expected,
    calibrated,
    scores,
)
from bostruct.campaign.analysis.predictions import Foretold, foretold
from bostruct.campaign.atom_matching import among
from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import Trial
from bostruct.candidates import Candidates, choose
from bostruct.errors import LogError, check_count
from bostruct.spaces import Space
from bostruct.surrogates import FittedModel


@final
@dataclass(frozen=True)
class Ranked:
    """One of the best structures, the lowest trial of each.

    Attributes:
        trial: Its number.
        energy: As evaluated, or given, eV.
        above: The same less that of the best structure, eV.
        foretold: What was predicted of it before; None if nothing was.
    """

    trial: int
    energy: float
    above: float
    foretold: Foretold | None


@final
@dataclass(frozen=True)
class Difference:
    """The energy of one trial less that of another.

    Attributes:
        trial: Number of the one.
        other: Number of the other.
        energy: As evaluated, eV.
        expected: By the model, as it would be observed.
        latent: Calibrated standard deviation of the difference without noise, eV.
        known: Whether the model was trained on both.
    """

    trial: int
    other: int
    energy: float
    expected: Expected
    latent: float
    known: bool


@final
@dataclass(frozen=True)
class Remaining:
    """A structure that a search found and that was not evaluated.

    Attributes:
        candidate: Its row among the candidates of that step.
        origin: The generator that proposed it.
        expected: Of its energy, as it would be observed.
    """

    candidate: int
    origin: str
    expected: Expected


@final
@dataclass(frozen=True)
class Outlook:
    """The best structures of a campaign, and those that may be better.

    Attributes:
        best: No two of them the same, best first. Of a log without a space they may be.
        differences: Of each less the first, by the last model.
        remaining: Of the last search, lowest ends first. Until there are intervals, the
            calibrated σ takes the place of their half widths in that order.
        missing: Why the last two are not known, "" if they are.
    """

    best: tuple[Ranked, ...]
    differences: tuple[Difference, ...] = ()
    remaining: tuple[Remaining, ...] = ()
    missing: str = ""

    @classmethod
    def of(cls, log: Log, count: int = 5, eps: float = EPS) -> Outlook:
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
        trials, steps = log.undecoded(), log.steps()
        lowest = _lowest(trials, count, log.space)
        best = _ranked(lowest, foretold(lowest, steps, scores(trials), eps))
        steps = [step for step in steps if step.file]
        if not steps:
            return cls(best, missing="there was no step with a surrogate yet")
        if log.space is None or log.surrogate is None:
            return cls(best, missing="space or surrogate are parts of your own")
        found, step = calibrated(trials), steps[-1]
        try:
            model, tensors = log.posterior(step.number), log.arrays(step.number)
            origins = log.origins(step.number)
        except LogError as error:
            return cls(best, missing=str(error))
        seen = torch.stack([trial.X for trial in trials])
        return cls(
            best,
            _differences(lowest, model, step.known, found, eps),
            _remaining(tensors, origins, seen, log.space, found, count, eps),
        )


def _lowest(trials: Sequence[Trial], count: int, space: Space | None) -> list[Trial]:
    """Return the trials of the best structures, best first, no two of them the same."""
    done = [(t.energy, t.number, t) for t in trials if t.energy is not None]
    found: list[Trial] = []
    for _, _, trial in sorted(done, key=lambda item: item[:2]):
        if len(found) == count:
            break
        if space is None or not among(space, trial.X, [each.X for each in found]):
            found.append(trial)
    return found


def _ranked(best: Sequence[Trial], foretold: Sequence[Foretold]) -> tuple[Ranked, ...]:
    earlier = {each.trial: each for each in foretold}
    return tuple(
        Ranked(
            trial=trial.number,
            energy=_energy(trial),
            above=_energy(trial) - _energy(best[0]),
            foretold=earlier.get(trial.number),
        )
        for trial in best
    )


def _differences(
    best: Sequence[Trial],
    model: FittedModel,
    known: Sequence[int],
    found: Calibrated,
    eps: float,
) -> tuple[Difference, ...]:
    if len(best) < 2:
        return ()
    X = torch.stack([trial.X for trial in best])
    with torch.no_grad():
        latent = model.posterior(X)
        observed = model.posterior(X, observation_noise=True)
    mean = (latent.mean.flatten() - latent.mean.flatten()[0]).tolist()
    of_latent = _from_first(latent.distribution.covariance_matrix)
    of_observed = _from_first(observed.distribution.covariance_matrix)
    return tuple(
        Difference(
            trial=trial.number,
            other=best[0].number,
            energy=_energy(trial) - _energy(best[0]),
            expected=found.expect(mean[i], of_observed[i], eps),
            latent=found.factor * math.sqrt(of_latent[i]),
            known={trial.number, best[0].number} <= set(known),
        )
        for i, trial in enumerate(best[1:], 1)
    )


def _from_first(covariance: Tensor) -> list[float]:
    """Return the variance of each value less the first, `[k]`, from `[k, k]`."""
    own = covariance.diagonal()
    return (own + own[0] - 2 * covariance[0]).clamp(min=0).tolist()


def _remaining(
    tensors: Mapping[str, Tensor],
    origins: Sequence[str],
    seen: Tensor,
    space: Space,
    found: Calibrated,
    count: int,
    eps: float,
) -> tuple[Remaining, ...]:
    """Return the candidates that are like none that was seen `[t, d]`."""
    q = found.quantile(eps)
    width = q if math.isfinite(q) else found.factor
    mean, observed = tensors["candidates.mean"], tensors["candidates.observed"]
    candidates = Candidates(
        X=tensors["candidates.X"],
        value=width * observed.sqrt() - mean,  # the lower it may be, the better
        origin=origins,
        steps=tensors["candidates.steps"],
        converged=tensors["candidates.converged"],
    )
    old = torch.ones(len(seen), dtype=torch.bool)  # the same, however far relaxed
    rows = choose(candidates, count, space=space, seen=seen, resting=old)
    return tuple(
        Remaining(i, origins[i], found.expect(float(mean[i]), float(observed[i]), eps))
        for i in rows.tolist()
    )


def _energy(trial: Trial) -> float:
    assert trial.energy is not None
    return trial.energy
