"""Gaussian process of the energy over a few named coordinates, periodic where these are.

It is fitted to energies and to the evaluator's forces, projected on the coordinates: d + 1 numbers
of each structure. High energies are warped first, see `warping`. Hyperparameters are those of
highest posterior density, with priors in units of the data, so that another origin or unit of the
energy changes nothing.

Notation
    n, d   training structures, coordinates
    G      [n, d]  eV   gradients by coordinates in units in which their range is 2 π
    S      []      eV   scale of the data
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple, final

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain, SupportsDomain
from bostruct.structures import Structures
from bostruct.structures.problem_scale import few_values_factor, unknown_energy
from bostruct.surrogates.coordinate_gp.coordinate_kernel import CoordinateKernel
from bostruct.surrogates.coordinate_gp.model import CoordinateGPModel, CoordinateGPState
from bostruct.surrogates.coordinate_gp.projected_forces import energy_gradients
from bostruct.surrogates.coordinate_gp.rotation_kernel import RotationKernel
from bostruct.surrogates.coordinate_gp.warping import LogWarping
from bostruct.surrogates.properties.map_estimate import find_map_estimate, negative_log_density
from bostruct.surrogates.training_data import TrainingData

LENGTHSCALE, LENGTHSCALE_SPREAD = 0.6, 0.5
"""Median of the prior of length scales in radians, and standard deviation of its logarithm: from
threefold barriers of torsions to one broad well."""

AMPLITUDE_SPREAD = 1.0
"""Standard deviation of the logarithm of amplitudes; medians share the variance of the data."""

NOISE, NOISE_SPREAD = 3e-3, 1.0
"""Median of the noise, in the scale of the data, and standard deviation of its logarithm."""

GRADIENT_NOISE_RATIO = 3.0
"""Noise of a gradient by that of an energy, medians of their priors."""

MAX_LOG_DEVIATION = 4.0
"""Bound of parameters, in standard deviations of their priors."""

JITTER = 1e-10
"""Of the prior variance, added to the diagonal of covariances: near duplicates are allowed."""

SHORT_START = -1.5
"""Second start of the search for length scales, in standard deviations of their prior."""


class _Rows(NamedTuple):
    """Training data in the units of the kernel."""

    U: Tensor  # [n, d]
    values: Tensor  # [r] eV, energies less their mean, and gradients
    is_observed: Tensor  # [(d + 1) n] bool
    is_energy: Tensor  # [r] bool
    mean: Tensor  # [] eV
    warping: LogWarping
    scale: float  # eV


@final
@dataclass(frozen=True)
class CoordinateGP:
    """Gaussian process over the coordinates of a space, on energies and projected forces.

    For spaces with few coordinates that are named and bounded, such as `Coordinates`, `Conformers`
    and `Pose`. Cost grows with the cube of (d + 1) n. See `coordinate_kernel` for the kernel.

    Attributes:
        use_forces: False to learn from energies alone, if forces are not to be trusted.
        additive: True for terms of single coordinates and of pairs beside the product of all,
            False for the product alone.

    >>> CoordinateGP().description()
    {'type': 'CoordinateGP', 'use_forces': True, 'additive': True}
    """

    use_forces: bool = True
    additive: bool = True
    supports_multiple_outcomes: ClassVar[bool] = False
    uses_coordinates: ClassVar[bool] = True

    def description(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON values."""
        return {"type": "CoordinateGP", **asdict(self)}

    def fit(self, data: Structures | TrainingData, space: Any = None) -> CoordinateGPModel:  # noqa: ANN401 - with few coordinates
        """Return the model fitted to energies and forces.

        Args:
            data: structures of the space with `energy`, and `forces` where there are any; or
                `TrainingData` with their coordinates too.
            space: space with named coordinates.

        Raises:
            InputError: an energy is missing, or the space has no named coordinates.
        """
        if not isinstance(space, SupportsDomain):
            condition = "have few named coordinates for `CoordinateGP`"
            hint = "Coordinates, Conformers and Pose do; for others pass LocalGP()."
            raise InputError(error_message("space", condition, type(space).__name__, hint))
        if isinstance(data, TrainingData):
            structures, X = data.structures, data.X
            if structures is None:
                raise InputError(error_message("structures", "be given", None))
        else:
            structures, X = data, space.encode(data)  # type: ignore[attr-defined]
        X = X.to(torch.float64)
        rows = self._rows(structures, X, space)
        fitted, log_likelihood = self._fit_hyperparameters(rows, space.domain)
        kernel, e, g = fitted
        A = _covariance(kernel, e, g, rows)
        factor = torch.linalg.cholesky(A)
        alpha = torch.cholesky_solve(rows.values.unsqueeze(-1), factor).squeeze(-1)
        domain = space.domain
        rotation = kernel.rotation
        return CoordinateGPModel(
            CoordinateGPState(
                X=X,
                lower=domain.lower.to(X),
                units=domain.units.to(X),
                periodic=domain.periodic.to(X.device),
                is_observed=rows.is_observed,
                alpha=alpha,
                cholesky=factor.contiguous(),
                lengthscales=kernel.lengthscales,
                amplitudes=kernel.amplitudes,
                constant=kernel.constant,
                mean=rows.mean,
                lowest=rows.warping.lowest,
                threshold=rows.warping.threshold,
                energy_noise_std=e,
                gradient_noise_std=g,
                log_marginal_likelihood=log_likelihood,
                rotation_column=None if rotation is None else torch.tensor(rotation.column),
                rotation_directions=None if rotation is None else rotation.directions.contiguous(),
            ),
            space,
        )

    def restore(self, state: Mapping[str, Tensor], space: Any = None) -> CoordinateGPModel:  # noqa: ANN401 - with few coordinates
        """Return the model that `state` was taken from; its predictions are equal."""
        return CoordinateGPModel(CoordinateGPState.from_tensors(state), space)

    def _rows(self, structures: Structures, X: Tensor, space: Any) -> _Rows:  # noqa: ANN401
        """Return warped energies and gradients with their scale."""
        energy = structures.energy
        if energy is None or not bool(energy.isfinite().all()) or not len(structures):
            hint = "Leave out structures that have none, or compute them first."
            raise InputError(error_message("energy", "be known and finite", "missing", hint))
        domain: CoordinateDomain = space.domain
        n, d = X.shape
        units = domain.units.to(X)
        warping = LogWarping.of(energy.to(X))
        warped, slope = warping.warp(energy.to(X))
        G = torch.full_like(X, torch.nan)
        if self.use_forces:
            G = energy_gradients(space, X, structures) * units * slope.unsqueeze(-1)
        mean = warped.mean()
        is_known = G.isfinite()
        is_observed = torch.cat((torch.ones_like(is_known[:, :1]), is_known), -1).T.flatten()
        values = torch.cat(((warped - mean).unsqueeze(-1), G), -1).T.flatten()[is_observed]
        is_energy = (torch.arange(n * (d + 1), device=X.device) < n)[is_observed]
        U = (X - domain.lower.to(X)) / units
        scale = _data_scale(values, is_energy) or unknown_energy(space.numbers)
        return _Rows(U, values, is_observed, is_energy, mean, warping, scale)

    def _fit_hyperparameters(
        self, rows: _Rows, domain: CoordinateDomain
    ) -> tuple[tuple[CoordinateKernel, Tensor, Tensor], Tensor]:
        """Return kernel and noise of highest posterior density, and the log likelihood.

        Parameters are standardized logarithms: deviations from their priors' medians in standard
        deviations, so that the prior is N(0, 1) of each.
        """
        d = int(domain.factor_index[-1]) + 1
        n_terms = (1 if d == 1 else 2 if d == 2 else 3) if self.additive else 1
        periodic = domain.periodic.to(rows.U.device)
        rotation = None
        if domain.rotation is not None:
            directions = domain.rotation.directions.to(rows.U)
            rotation = RotationKernel(domain.rotation.column, directions)

        def build(p: Tensor) -> tuple[CoordinateKernel, Tensor, Tensor]:
            p = p.to(rows.U)
            lengths = LENGTHSCALE * torch.exp(LENGTHSCALE_SPREAD * p[:d])
            spread = torch.exp(AMPLITUDE_SPREAD * p[d : d + n_terms])
            terms = rows.scale / math.sqrt(n_terms) * spread
            zero = torch.zeros_like(terms[:1])
            amplitudes = {
                1: (zero, zero, terms[:1]),
                2: (terms[:1], zero, terms[1:]),
                3: (terms[:1], terms[1:2], terms[2:]),
            }[n_terms]
            noise = rows.scale * NOISE * torch.exp(NOISE_SPREAD * p[-2:])
            constant = torch.full_like(noise[0], rows.scale)
            kernel = CoordinateKernel(periodic, lengths, torch.cat(amplitudes), constant, rotation)
            return kernel, noise[0], GRADIENT_NOISE_RATIO * noise[1]

        def objective(p: Tensor) -> Tensor:
            A = _covariance(*build(p), rows) / rows.scale**2
            density = negative_log_density(A, rows.values / rows.scale)
            return density.cpu() + 0.5 * p.square().sum()

        start = torch.zeros(d + n_terms + 2, dtype=torch.float64)
        short = start.clone()
        short[:d] = SHORT_START
        bound = torch.full_like(start, MAX_LOG_DEVIATION)
        p = find_map_estimate(objective, (start, short), -bound, bound)
        with torch.no_grad():
            fitted = build(p)
            A = _covariance(*fitted, rows)
            constant = 0.5 * len(rows.values) * math.log(2 * math.pi)
            log_likelihood = -negative_log_density(A, rows.values) - constant
        return fitted, log_likelihood


def _covariance(kernel: CoordinateKernel, e: Tensor, g: Tensor, rows: _Rows) -> Tensor:
    """Return the covariance of the rows with their noise, `[r, r]` eV²."""
    K = kernel.joint(rows.U, rows.U)[rows.is_observed][:, rows.is_observed]
    noise = torch.where(rows.is_energy, e, g)
    diagonal = noise.square() + JITTER * K.diagonal()
    return K + torch.diag_embed(diagonal)


def _data_scale(values: Tensor, is_energy: Tensor) -> float:
    """Return the scale of energies and gradients `[r]`: the larger root mean square, eV.

    0 where they tell none. Gradients are by radians; a wave of one period over the range has both
    equal.
    """
    energies, gradients = values[is_energy], values[~is_energy]
    factor = few_values_factor(torch.ones_like(energies).unsqueeze(-1))
    sizes = [factor * float(energies.square().mean().sqrt())] if len(energies) > 1 else []
    if len(gradients):
        sizes = [*(size / factor for size in sizes), float(gradients.square().mean().sqrt())]
    return max([size for size in sizes if size > 0], default=0.0)
