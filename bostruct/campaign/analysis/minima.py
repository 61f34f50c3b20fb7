"""Minima of a campaign: all distinct structures of low energy, of a molecule its conformers.

Three kinds of structures are minima, or stand for one:

* an evaluated one that is at rest, by the evaluator itself;
* an evaluated one that is not: the lowest of those from which the mean of the last model leads down
  to one minimum;
* a minimum of that mean which nobody has evaluated. Its σ is that of the model times the factor by
  which the campaign's earlier predictions were calibrated.

The probability that a lower minimum exists is that of the lowest of the last kind being below the
lowest of the first two, by joint samples of the model. Of minima that the model does not show it
knows nothing.

Notation
    n, m   starts, minima that were not evaluated
    X      [..., d]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, final

import torch
from torch import Tensor

from bostruct.acquisition import AcquisitionContext, LowerConfidenceBound
from bostruct.campaign.analysis.calibration import online_calibration
from bostruct.campaign.atom_matching import is_duplicate
from bostruct.campaign.enthalpy import pressure_energy, pressure_of
from bostruct.campaign.log.reader import Log
from bostruct.campaign.planning.batch_acquisition import BatchAcquisition
from bostruct.campaign.planning.posterior_tensors import posterior_mean_variance
from bostruct.campaign.planning.radius_correction import (
    logged_radius_factors,
    with_radius_factors,
)
from bostruct.campaign.records import Trial
from bostruct.campaign.relaxation.all_atoms import relaxes_in_other_space
from bostruct.campaign.relaxation.final_relaxation import FinalRelaxation
from bostruct.campaign.relaxation.relaxation_run import RelaxationRun, read_relaxation_runs
from bostruct.campaign.relaxation.relaxation_state import RelaxationQueue
from bostruct.candidates import BasinHopping
from bostruct.errors import InputError, LogError, check_positive, error_message
from bostruct.spaces import Cluster, Conformers, DiscreteSpace, Space
from bostruct.spaces.coordinates.coordinate_domain import SupportsDomain
from bostruct.spaces.molecules.conformer_rmsd import ConformerRMSD
from bostruct.spaces.molecules.molecule import Molecule
from bostruct.spaces.space import SupportsCompositions
from bostruct.structures import Structures
from bostruct.structures.problem_scale import ProblemScale
from bostruct.surrogates import FittedModel
from bostruct.surrogates.botorch_models.offset_model import OffsetModel

BOLTZMANN_CONSTANT = 8.617333262e-5
"""eV/K, CODATA 2018."""

ROOM_TEMPERATURE = 298.15
"""K."""

WINDOW_IN_KT = 10.0
"""Default energy window in units of kT: a minimum at its end has a weight of 5e-5."""

N_CANDIDATES, N_EVALUATED, N_RANDOM = 64, 64, 128
"""Structures from which the mean is followed down: lowest candidates of the last search, lowest
evaluated ones, and where coordinates are named random ones."""

MAX_STEPS = 200
"""Steps of a descent."""

FMAX_FRACTION = 0.1
"""Largest gradient at a minimum of the mean, in that of a search."""

MAX_UNEVALUATED = 64
"""Minima that were not evaluated, of which the lowest count."""

N_SAMPLES = 1 << 13
"""Joint samples of the energies of minima that were not evaluated."""


@final
@dataclass(frozen=True, eq=False)
class Minimum:
    """One structure of low energy.

    Attributes:
        trial: Trial in which it, or what it was relaxed from, was evaluated; None where it was not.
        X: `[d]` coordinates in the space of the campaign; where there was a separate relaxation,
            of the structure that it began from.
        energy: Evaluated energy, or enthalpy under a pressure, eV; else the mean of the model.
        sigma: Calibrated standard deviation of the mean, eV; 0 of an evaluated one.
        is_relaxed: True if the forces of the evaluator are below the tolerance of the final
            relaxation.
        max_force: Largest force, eV/Å, as in `RelaxationReport`; None if it is not known.
        evaluated: Trial with the structure; None where it was not evaluated.
        run: Separate relaxation that ended in it; None without one.
        structures: The structure.
        energy_above: Energy above the lowest one, eV. Of `Conformers` those that are relaxed, and
            those that are not, are compared among themselves.
        weight: Boltzmann weight, by `energy_above` alone.
    """

    trial: int | None
    X: Tensor
    energy: float
    sigma: float
    is_relaxed: bool
    max_force: float | None
    evaluated: Trial | None
    run: RelaxationRun | None
    structures: Structures
    energy_above: float = 0.0
    weight: float = 0.0

    @property
    def final_coordinates(self) -> Tensor:
        """Coordinates `[d]` in its own space: of a separate relaxation the last ones."""
        return self.X if self.evaluated is None else self.evaluated.X


@final
@dataclass(frozen=True, eq=False)
class Minima:
    """All distinct minima of a campaign in a window of energies.

    Attributes:
        minima: The minima, lowest first.
        energy_window: Highest energy above the lowest one, eV.
        temperature: Temperature of the weights, K.
        probability_lower: Probability that a minimum of the model that was not evaluated is below
            all evaluated ones; None without a model.
        missing_reason: Reason for which there is no model, "" with one.
    """

    minima: tuple[Minimum, ...]
    energy_window: float
    temperature: float
    probability_lower: float | None
    missing_reason: str = ""

    @classmethod
    def from_log(
        cls,
        log: Log,
        energy_window: float | None = None,
        temperature: float = ROOM_TEMPERATURE,
        rmsd_threshold: float | None = None,
    ) -> Self:
        """Return the minima of a campaign.

        Args:
            log: Log, opened with its space, and with its surrogate for all that is not evaluated.
            energy_window: Highest energy above the lowest one, eV; 10 kT by default.
            temperature: Temperature of the Boltzmann weights, K.
            rmsd_threshold: RMSD of heavy atoms, Å, up to which conformers of one molecule are one;
                None prunes no more than the duplicates of the space.

        Raises:
            InputError: an argument is no positive number, the campaign has several objectives or
                compositions, or an RMSD is asked for of something else than one molecule.
            LogError: the log has no space, or no energy yet.
        """
        check_positive("temperature", temperature, "In K.")
        if energy_window is None:
            energy_window = WINDOW_IN_KT * BOLTZMANN_CONSTANT * temperature
        check_positive("energy_window", energy_window, "In eV.")
        space = _space_with_minima(log)
        rmsd = None
        if rmsd_threshold is not None:
            check_positive("rmsd", rmsd_threshold, "In Å.")
            rmsd = ConformerRMSD.from_molecule(_single_molecule(space))
        found = _evaluated_minima(log, space)
        if not found:
            raise LogError(f"{log.folder} has no energy yet: there are no minima.")
        known = [trial.enthalpy for trial in _known_trials(log) if trial.enthalpy is not None]
        lowest = {
            False: min([*known, *(m.energy for m in found if not _is_apart(m, space))]),
            True: min((m.energy for m in found if _is_apart(m, space)), default=0.0),
        }
        X_evaluated = torch.stack([m.X for m in found])
        # What is above the window stands for no minimum of the model that is inside.
        found = [m for m in found if m.energy - lowest[_is_apart(m, space)] <= energy_window]
        model, reason = _last_model(log)
        probability: float | None = None
        unevaluated: list[Minimum] = []
        if model is not None and not isinstance(space, DiscreteSpace):
            found, unevaluated, probability = _with_model(
                log, space, model, found, X_evaluated, lowest[False]
            )
        kept = _distinct(found, space, rmsd, rmsd_threshold)
        kept += [
            minimum
            for minimum in _distinct(unevaluated, space, rmsd, rmsd_threshold)
            if not any(_is_pruned(minimum, other, rmsd, rmsd_threshold) for other in kept)
        ]
        above = [(m.energy - lowest[_is_apart(m, space)], m) for m in kept]
        inside = sorted(
            (replace(m, energy_above=e) for e, m in above if e <= energy_window),
            key=lambda m: (m.energy_above, not m.is_relaxed),
        )
        energies = torch.tensor([m.energy_above for m in inside], dtype=torch.float64)
        weights = boltzmann_weights(energies, temperature).tolist()
        minima = tuple(replace(m, weight=w) for m, w in zip(inside, weights, strict=True))
        return cls(minima, energy_window, temperature, probability, reason)


def boltzmann_weights(energies: Tensor, temperature: float) -> Tensor:
    """Return the Boltzmann weights of energies `[n]` eV, which add up to 1.

    Args:
        energies: Energies from any zero on.
        temperature: Temperature, K.
    """
    return torch.softmax(-energies / (BOLTZMANN_CONSTANT * temperature), 0)


def _space_with_minima(log: Log) -> Space:
    """Return the space of a log whose campaign minimizes one energy, with its last radii.

    Raises:
        InputError: it has objectives, or several compositions.
        LogError: the log was opened without a space.
    """
    if log.optimization_config is not None or isinstance(log.space, SupportsCompositions):
        value = "one with objectives"
        value = value if log.optimization_config is not None else "one of several compositions"
        hint = "`bostruct export` without it writes the front, or the stable phases."
        raise InputError(error_message("minima", "be of a campaign for one energy", value, hint))
    if log.space is None:
        raise LogError(f"{log.folder}: its space is not one of bostruct, open it with its file.")
    return with_radius_factors(log.space, logged_radius_factors(log.steps()))


def _single_molecule(space: Space) -> Molecule:
    """Return the one molecule of which a space holds the conformers.

    Raises:
        InputError: there is none.
    """
    if isinstance(space, Conformers):
        return space.molecule
    fragments = space.fragments if isinstance(space, Cluster) else None
    unit = None if fragments is None or len(fragments.units) > 1 else fragments.units[0]
    if unit is None:
        hint = "The duplicates of the space are left out in any case."
        raise InputError(error_message("rmsd", "be for one molecule", repr(space), hint))
    return unit


def _is_apart(minimum: Minimum, space: Space) -> bool:
    """Return whether a structure was relaxed in other coordinates than those of the search."""
    return minimum.run is not None and relaxes_in_other_space(space)


def _evaluated_minima(log: Log, space: Space) -> list[Minimum]:
    """Return the end of each relaxation, and each structure that was not relaxed."""
    described = log.description.get("final_relaxation")
    settings = FinalRelaxation(**described) if described else FinalRelaxation()
    trials, steps = log.trial_records(), log.steps()
    queue = RelaxationQueue(settings, space, steps, trials)
    runs = read_relaxation_runs(log.folder)
    known = {trial.number for trial in _known_trials(log)}
    runs = [run for run in runs if run.trial is None or run.trial in known]
    relaxed = {run.trial for run in runs if run.end is not None}
    found, is_rigid = [], relaxes_in_other_space(space)
    for trajectory in queue.trajectories:
        if relaxed & {trial.number for trial in trajectory.evaluated}:
            continue
        converged = None if isinstance(space, DiscreteSpace) else queue.converged_trial(trajectory)
        end = log.with_structures([converged or trajectory.lowest])[0]
        force = None if isinstance(space, DiscreteSpace) else queue.max_force(end)
        is_relaxed = converged is not None and not is_rigid
        found.append(_evaluated(end, end.X, is_relaxed, None if is_rigid else force, end.number))
    for run in runs:
        if run.end is None or run.end.structures is None or run.start is None:
            continue
        X = space.encode(run.start)[0].double().cpu()
        report = run.report
        force = None if report is None else report.max_force
        minimum = _evaluated(run.end, X, run.is_converged, force, run.trial)
        found.append(replace(minimum, run=run))
    return sorted(found, key=lambda m: (m.energy, m.trial is None, m.trial))


def _evaluated(
    end: Trial, X: Tensor, is_relaxed: bool, force: float | None, number: int | None
) -> Minimum:
    assert end.enthalpy is not None
    assert end.structures is not None
    return Minimum(number, X, end.enthalpy, 0.0, is_relaxed, force, end, None, end.structures)


def _known_trials(log: Log) -> list[Trial]:
    """Return the trials with an energy that is not doubted."""
    trials = log.trial_records()
    return [trial for trial in trials if trial.is_known and trial.enthalpy is not None]


def _last_model(log: Log) -> tuple[FittedModel | None, str]:
    """Return the last model of a log, or None and the reason for which there is none."""
    steps = [step.number for step in log.steps() if step.file]
    if not steps:
        return None, "there was no step with a surrogate yet"
    if log.surrogate is None:
        return None, "its surrogate is not one of bostruct"
    try:
        return log.posterior(steps[-1]), ""
    except LogError as error:
        return None, str(error)


def _with_model(
    log: Log,
    space: Space,
    model: FittedModel,
    found: Sequence[Minimum],
    X_evaluated: Tensor,
    lowest: float,
) -> tuple[list[Minimum], list[Minimum], float]:
    """Return evaluated minima, minima that were not evaluated, and the probability of a lower one.

    Of evaluated structures from which the mean leads to one minimum the lowest is returned.

    Args:
        log: Log of the campaign.
        space: Space of the structures.
        model: Last model of the campaign.
        found: Evaluated structures inside of the energy window, lowest first.
        X_evaluated: `[n, d]` all evaluated structures.
        lowest: Lowest energy that was evaluated in the coordinates of the space, eV.
    """
    if pressure_of(space):
        model = OffsetModel(model, partial(pressure_energy, space))
    ends = X_evaluated[:0]
    if found:
        ends = _descend(log, space, model, torch.stack([m.X for m in found]))
    leads = [
        m.final_coordinates if m.is_relaxed and not _is_apart(m, space) else x
        for m, x in zip(found, ends, strict=True)
    ]
    kept: list[int] = []
    for i in range(len(found)):
        basins = [leads[j] for j in kept if not (found[i].is_relaxed and found[j].is_relaxed)]
        if not is_duplicate(space, leads[i], basins):
            kept.append(i)
    factor = online_calibration(log.trial_records()).sigma_factor
    own = [m.final_coordinates for m in found if not _is_apart(m, space)]
    X = _unevaluated(log, space, model, [*ends, *X_evaluated, *own])
    evaluated = [found[i] for i in kept]
    if not len(X):
        return evaluated, [], 0.0
    mean, variance = (v.squeeze(-1) for v in posterior_mean_variance(model, X))
    structures = space.decode(X)
    unevaluated = [
        Minimum(None, x, float(e), factor * float(v) ** 0.5, False, None, None, None, structure)
        for x, e, v, structure in zip(X, mean, variance, structures.split(), strict=True)
    ]
    return evaluated, unevaluated, probability_below(model, X, lowest, factor)


def probability_below(model: FittedModel, X: Tensor, energy: float, sigma_factor: float) -> float:
    """Return the probability that the lowest of some energies is below another one.

    Args:
        model: Model of the energy, whose joint posterior is sampled.
        X: `[m, d]` structures.
        energy: Energy, eV.
        sigma_factor: Factor on the standard deviations of the model.
    """
    with torch.no_grad():
        posterior = model.posterior(X)
    covariance = posterior.distribution.covariance_matrix.double()
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt()
    noise = torch.randn(
        N_SAMPLES, len(X), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    samples = posterior.mean.flatten().double() + sigma_factor * noise @ root.T
    return float((samples.amin(-1) < energy).double().mean())


def _unevaluated(log: Log, space: Space, model: FittedModel, known: Sequence[Tensor]) -> Tensor:
    """Return minima of the mean `[m, d]` that are none of known structures, lowest first."""
    trials = sorted(_known_trials(log), key=lambda trial: (trial.enthalpy, trial.number))
    step = next(step.number for step in reversed(log.steps()) if step.file)
    tensors = log.posterior_tensors(step)
    order = tensors["candidates.mean"].argsort(stable=True)[:N_CANDIDATES]
    starts = [tensors["candidates.X"][order], *(t.X.unsqueeze(0) for t in trials[:N_EVALUATED])]
    if isinstance(space, SupportsDomain):
        starts.append(space.domain.sample(N_RANDOM, torch.Generator().manual_seed(0)))
    X = _descend(log, space, model, torch.cat(starts), only_converged=True)
    if not len(X):
        return X
    mean = posterior_mean_variance(model, X)[0].squeeze(-1)
    new: list[Tensor] = []
    for row in mean.argsort(stable=True).tolist():
        if not is_duplicate(space, X[row], [*known, *new]):
            new.append(X[row])
        if len(new) == MAX_UNEVALUATED:
            break
    return torch.stack(new) if new else X[:0]


def _descend(
    log: Log, space: Space, model: FittedModel, X: Tensor, only_converged: bool = False
) -> Tensor:
    """Return the minima of the mean below starts `[n, d]`; where it leaves the space the start.

    Args:
        log: Log whose energies give the scale.
        space: Space of the structures.
        model: Model of the energy.
        X: Starts.
        only_converged: True to leave out what is no minimum inside of the space.
    """
    trials = _known_trials(log)
    Y = torch.tensor([trial.enthalpy for trial in trials], dtype=torch.float64)
    X_known = torch.stack([trial.X for trial in trials])
    scale = ProblemScale.from_energies(Y, space.atomic_radii, space.numbers)
    context = AcquisitionContext(model, X_baseline=X_known, Y=Y, best_f=float(Y.min()))
    mean = BatchAcquisition(LowerConfidenceBound(kappa=0.0, adaptive=False), context)
    search = BasinHopping(max_steps=MAX_STEPS).with_scale(scale.energy, scale.length)
    assert search.fmax is not None
    search = replace(search, fmax=FMAX_FRACTION * search.fmax)
    found = search.climb(mean, space, X_known, X, contains=None)
    ends = found.X.detach()
    inside = ends.isfinite().all(-1) & space.contains(ends.nan_to_num())
    if only_converged:
        return ends[inside & found.converged]
    return torch.where(inside.unsqueeze(-1), ends, X)


def _distinct(
    minima: Sequence[Minimum], space: Space, rmsd: ConformerRMSD | None, threshold: float | None
) -> list[Minimum]:
    """Return minima of which no two are one structure, the first of each."""
    kept: list[Minimum] = []
    for minimum in minima:
        if not any(
            _is_same(minimum, other, space) or _is_pruned(minimum, other, rmsd, threshold)
            for other in kept
        ):
            kept.append(minimum)
    return kept


def _is_same(minimum: Minimum, other: Minimum, space: Space) -> bool:
    """Return whether two minima are duplicates in the space in which both are."""
    if _is_apart(minimum, space) is not _is_apart(other, space):
        return False
    if minimum.run is not None and minimum.run.space is not None:
        space = minimum.run.space
    return is_duplicate(space, minimum.final_coordinates, [other.final_coordinates])


def _is_pruned(
    minimum: Minimum, other: Minimum, rmsd: ConformerRMSD | None, threshold: float | None
) -> bool:
    """Return whether conformers differ by less than a threshold, Å."""
    if rmsd is None or threshold is None:
        return False
    return rmsd(minimum.structures.positions, other.structures.positions) < threshold
