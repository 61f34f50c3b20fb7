"""Landscape of a campaign over named coordinates: slices of its last posterior, and its minima.

Notation
    g, d, m   points of a slice, coordinates, minima
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self, final

import torch
from torch import Tensor

from bostruct import acquisition as acquisitions
from bostruct.acquisition import Acquisition, AcquisitionContext
from bostruct.campaign.analysis.minima import ROOM_TEMPERATURE, boltzmann_weights
from bostruct.campaign.analysis.recalibration import Recalibration
from bostruct.campaign.log.reader import Log
from bostruct.campaign.planning.adaptive_kappa import SupportsKappaScaling
from bostruct.campaign.planning.posterior_tensors import posterior_mean_variance
from bostruct.campaign.records import Step
from bostruct.candidates.batched_lbfgs import relax
from bostruct.candidates.relaxation_in_units import relax_in_units
from bostruct.errors import InputError, LogError, check_positive, error_message
from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain, SupportsDomain
from bostruct.surrogates import FittedModel
from bostruct.surrogates.botorch_models.recalibrated_model import RecalibratedModel
from bostruct.surrogates.coordinate_gp.model import CoordinateGPModel

N_POINTS_1D, N_POINTS_2D = 361, 73
"""Points along a coordinate of a slice."""

N_STARTS = 128
"""Random points from which minima of the mean are sought, beside the evaluated ones."""

MAX_STEPS, MAX_STEP, CONVERGED = 200, 0.1, 1e-4
"""Steps of a descent, the largest one in units of the domain, and its largest gradient in the
standard deviation of the energies."""


@final
@dataclass(frozen=True)
class SurrogateMinimum:
    """Local minimum of the posterior mean.

    Attributes:
        X: coordinates of the minimum, in their units.
        energy: mean, eV above the lowest minimum.
        std: latent standard deviation, eV.
        weight: Boltzmann weight among the minima, by their means alone.
    """

    X: tuple[float, ...]
    energy: float
    std: float
    weight: float


@final
@dataclass(frozen=True, eq=False)
class Landscape:
    """Slice of a posterior along one or two coordinates, through the best structure.

    Attributes:
        domain: names, bounds and periods of the coordinates.
        shown: columns of the coordinates of the slice, one or two.
        axes: values of each of these.
        energy: `[g]` or `[g, g]` eV, means above the lowest energy evaluated; the first coordinate
            in the rows.
        std: like `energy`, eV, latent.
        acquisition: like `energy`, values of the acquisition of that step, with the weight of σ
            that it had; NaN where it has none for single points.
        X_best: `[d]` the best structure, through which the slice goes.
        X_evaluated: `[t, d]` all structures with an energy.
        energies: `[t]` eV above the lowest one.
        minima: minima of the mean, lowest first.
        temperature: temperature of the weights, K.
    """

    domain: CoordinateDomain
    shown: tuple[int, ...]
    axes: tuple[Tensor, ...]
    energy: Tensor
    std: Tensor
    acquisition: Tensor
    X_best: Tensor
    X_evaluated: Tensor
    energies: Tensor
    minima: tuple[SurrogateMinimum, ...]
    temperature: float

    @classmethod
    def from_log(
        cls, log: Log, names: Sequence[str] = (), temperature: float = ROOM_TEMPERATURE
    ) -> Self:
        """Return the landscape of a campaign after its last step with a surrogate.

        Args:
            log: log, opened with its space and its surrogate.
            names: one or two coordinates of the slice; by default the first two, or the only one.
            temperature: temperature of Boltzmann weights, K.

        Raises:
            InputError: the space has no named coordinates, or a name is not one of them.
            LogError: the log has no step with a surrogate.
        """
        check_positive("temperature", temperature, "In K.")
        space = log.space
        if not isinstance(space, SupportsDomain):
            kind = "none" if space is None else type(space).__name__
            condition = "be one of named coordinates, such as Conformers"
            raise InputError(error_message("space", condition, kind))
        shown = _columns(space.domain, names)
        steps = [step for step in log.steps() if step.file]
        trials = [t for t in log.trial_records("done") if t.is_known and t.energy is not None]
        if not steps or not trials:
            raise LogError(f"{log.folder} has no step with a surrogate yet.")
        model = log.restore(steps[-1].number, log.read_posterior(steps[-1].number)[0])
        best = min(trials, key=lambda trial: (trial.energy, trial.number))
        X_evaluated = torch.stack([trial.X for trial in trials])
        energies = torch.tensor([trial.energy for trial in trials], dtype=torch.float64)
        axes, X = _slice_points(space.domain, shown, best.X)
        mean, variance = (v.squeeze(-1) for v in posterior_mean_variance(model, X))
        shape = tuple(len(axis) for axis in axes)
        return cls(
            space.domain,
            shown,
            axes,
            (mean - energies.min()).reshape(shape),
            variance.sqrt().reshape(shape),
            acquisition_values(log, steps[-1], model, X).reshape(shape),
            best.X,
            X_evaluated,
            energies - energies.min(),
            _minima(space, model, X_evaluated, float(energies.std()), temperature),
            temperature,
        )

    def minima_lines(self) -> list[str]:
        """Return the minima as lines of a table, angles of a period of 2 π in degrees."""
        names = "  ".join(f"{display_name(self.domain, k):>12}" for k in range(len(self.domain)))
        weight = f"weight at {self.temperature:g} K"
        lines = [
            f"minima of the surrogate, eV above the lowest\n{names}    energy       σ  {weight}"
        ]
        for minimum in self.minima:
            X = display_values(self.domain, torch.tensor(minimum.X))
            values = "  ".join(f"{x:12.3f}" for x in X.tolist())
            lines.append(
                f"{values}  {minimum.energy:8.3f}  {minimum.std:6.3f}  {minimum.weight:.3f}"
            )
        return lines


def display_name(domain: CoordinateDomain, k: int) -> str:
    """Return the name of a coordinate, with the unit ° where its period is 2 π."""
    return f"{domain.names[k]} (°)" if _is_radian(domain)[k] else domain.names[k]


def display_values(domain: CoordinateDomain, X: Tensor) -> Tensor:
    """Return X `[..., d]` for people: angles of a period of 2 π in degrees."""
    return torch.where(_is_radian(domain), torch.rad2deg(X), X.double())


def _is_radian(domain: CoordinateDomain) -> Tensor:
    return domain.periodic & ((domain.range - 2 * torch.pi).abs() < 1e-9)


def _columns(domain: CoordinateDomain, names: Sequence[str]) -> tuple[int, ...]:
    """Return the columns of named coordinates, by default of the first two.

    Raises:
        InputError: a name is unknown, or there are others than one or two.
    """
    names = list(names) or list(domain.names[:2])
    if len(set(names)) not in (1, 2) or len(set(names)) < len(names):
        condition = "be one or two different coordinates"
        raise InputError(error_message("coordinates", condition, ", ".join(names)))
    if unknown := [name for name in names if name not in domain.names]:
        condition = f"name coordinates of the space ({', '.join(domain.names)})"
        raise InputError(error_message("coordinates", condition, ", ".join(unknown)))
    return tuple(domain.names.index(name) for name in names)


def _slice_points(
    domain: CoordinateDomain, shown: tuple[int, ...], x: Tensor
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return the values along each coordinate, and all points of the slice through x, `[n, d]`."""
    n = N_POINTS_1D if len(shown) == 1 else N_POINTS_2D
    axes = tuple(
        torch.linspace(float(domain.lower[k]), float(domain.upper[k]), n, dtype=torch.float64)
        for k in shown
    )
    grid = torch.cartesian_prod(*axes).reshape(-1, len(shown))
    X = x.repeat(len(grid), 1)
    X[:, list(shown)] = grid
    return axes, X


def acquisition_values(log: Log, step: Step, model: FittedModel, X: Tensor) -> Tensor:
    """Return the acquisition of a step at X `[n, d]`, `[n]`; NaN where it is none of single points.

    Its weight of σ, and the corrections of mean and σ, are those with which the step has searched.
    Not taken in is that a search with a model of atoms sees it shrunk where it knows nothing.

    Args:
        log: Log of the campaign.
        step: Step with a model.
        model: Fitted surrogate of the step.
        X: Structures.
    """
    described = dict(log.description["acquisition"])
    kind = getattr(acquisitions, str(described.pop("type", "")), None)
    numbers = set(step.training_trials)
    trials = [t for t in log.trials_before_retraction() if t.number in numbers]
    Y = torch.tensor([trial.energy for trial in trials], dtype=torch.float64)
    seen: FittedModel = model.warped if isinstance(model, CoordinateGPModel) else model
    found = Recalibration.from_logged(step.hyperparameters)
    shift = Y.new_tensor([found.limited_shift])
    seen = RecalibratedModel(seen, shift, Y.new_tensor([found.widened_scale]))
    try:
        acquisition: Acquisition = kind(**described)  # type: ignore[misc]
        if isinstance(acquisition, SupportsKappaScaling):
            acquisition = acquisition.scaled(step.hyperparameters.get("kappa_factor", 1.0))
        context = AcquisitionContext(
            seen,
            X_baseline=torch.stack([trial.X for trial in trials]),
            Y=Y,
            best_f=float(Y.min()),
        )
        function = acquisition.build(context)
    except (TypeError, InputError):  # of the user, or with objectives
        return torch.full((len(X),), torch.nan, dtype=torch.float64)
    with torch.no_grad():
        return torch.cat([function(part.unsqueeze(-2)) for part in X.split(256)])


def _minima(
    space: SupportsDomain, model: FittedModel, X_evaluated: Tensor, scale: float, temperature: float
) -> tuple[SurrogateMinimum, ...]:
    """Return the minima of the mean in a space, no two of them one structure, lowest first."""
    drawn = space.domain.sample(N_STARTS, torch.Generator().manual_seed(0))
    climb = partial(relax, fmax=CONVERGED * (scale or 1.0), max_steps=MAX_STEPS, max_step=MAX_STEP)

    def low(X: Tensor) -> Tensor:
        value: Tensor = -model.posterior(X.unsqueeze(-2)).mean.flatten()
        return value

    found = relax_in_units(climb, low, space.domain, torch.cat((X_evaluated, drawn)))
    X = found.X[found.converged & space.contains(found.X)]  # type: ignore[attr-defined]
    if not len(X):
        return ()
    mean, variance = (v.squeeze(-1) for v in posterior_mean_variance(model, X))
    kept: list[int] = []
    for row in mean.argsort().tolist():
        away = space.domain.difference(X[row], X[kept]) / space.domain.units
        if bool((away.abs().amax(-1) > MAX_STEP).all()):
            kept.append(row)
    energy, std = mean[kept] - mean.min(), variance[kept].sqrt()
    weight = boltzmann_weights(energy, temperature)
    columns = (X[kept], energy, std, weight)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return tuple(SurrogateMinimum(tuple(x), e, s, w) for x, e, s, w in rows)
