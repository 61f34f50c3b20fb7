"""Hyperparameters of a sparse Gaussian process by marginal likelihood.

Notation
    F        [rows, m]   1        Nyström features of all energies and force components
    y        [rows]      eV ...   measured values less the prior mean
    G_k      [m, m]               F^T F over rows of kind k (energies, forces)
    v_k      [m]                  F^T y over rows of kind k
    u_k                  1        mean residual variance of these rows, k - F . F
    y ~ N(0, s² F F^T + D),  D = d_k = e² + s² u_E for energies, f² + s² u_F for forces

The features of terms beside the environments have weights of other standard deviations s_t: their
columns of F are scaled by s_t / s above, and below 1 / s² is a diagonal matrix S^-1 with 1 / s_t².

With A = 1 / s² + G_E / d_E + G_F / d_F and the matrix determinant lemma,
    -2 log p = sum_k (y_k . y_k / d_k + N_k log d_k) - v^T A^-1 v
               + log |s² A| + N log 2π
where v = v_E / d_E + v_F / d_F. Its cost does not depend on the number of structures.

With u = 0 this is the likelihood of the deterministic training conditional (DTC). Its noise
contains the residual variance, which a prediction adds again as s² (k - F . F), so that σ is too
wide by up to a half where data are smooth or many. With the k - F . F of each row it is that of the
fully independent training conditional (FITC; Quiñonero-Candela and Rasmussen, JMLR 6, 1939 (2005),
sections 5, 6). The mean over the rows needs the same statistics, and gives nearly the standard
deviations of FITC.

DTC believes the forces up to f, and gets better means from them while s² u_F is a few f². Where it
is many, as with few structures of several species, their environments cannot express the forces: to
follow them nevertheless, energies are taken for noise, and are wrong by many of their σ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol, final

import gpytorch
import torch
from botorch.optim.core import scipy_minimize
from torch import Tensor

from bostruct.surrogates.gpytorch_settings import cholesky_only
from bostruct.surrogates.local_gp.energy_terms import NO_TERMS, Amplitude, EnergyTerms

HYPERPARAMETER_NAMES = ("signal", "energy_noise", "force_noise")
PANEL_COLUMNS = 96  # columns of a block of the symmetric product
MAX_ITERATIONS = 60  # of L-BFGS-B; three parameters need 15 to 25
JITTERS = (0.0, 1e-14, 1e-12, 1e-10)  # relative to the diagonal
MIN_ENERGY_NOISE, MIN_FORCE_NOISE = 0.02, 0.1  # in units of the typical ones
FEW_DATA_ENERGY_NOISE, FEW_DATA_FORCE_NOISE = 0.05, 0.2  # where all rows can be expressed
MIN_SIGNAL = 1e-3  # of the typical one: terms may explain everything
MAX_ENERGY_NOISE = 30.0  # of the typical one: forces of a rough energy must not outvote energies
MIN_AMPLITUDE = 1e-3  # of the typical one: a term that explains nothing
MAX_UNSEEN = 15.0  # s² u_F over f²: up to 8 for most elements and ions, 30 to 200 for alloys


def gram_matrix(F: Tensor) -> Tensor:
    """Return F^T F `[m, m]` of F `[r, m]`: the lower half by products, and its mirror."""
    G = F.new_zeros(F.shape[1], F.shape[1])
    for start in range(0, len(G), PANEL_COLUMNS):
        panel = slice(start, start + PANEL_COLUMNS)
        G[start:, panel] = F[:, start:].T @ F[:, panel]
    return G.tril() + G.tril(-1).T


@final
@dataclass(frozen=True, eq=False)
class RowStatistics:
    """Sufficient statistics of one kind of row, in double precision.

    Attributes:
        gram: F^T F, `[m, m]`.
        moment: F^T y, `[m]`.
        sum_of_squares: y . y, a scalar.
        n_rows: Number of rows.
        log_factor_sum: Sum of the logarithms of the noise variance factors of the rows, a scalar.
        mean_residual_variance: Mean of k - F . F over the rows, a scalar in units of the signal
            variance and of the rows' factors.
    """

    gram: Tensor
    moment: Tensor
    sum_of_squares: Tensor
    n_rows: int
    log_factor_sum: Tensor
    mean_residual_variance: Tensor

    @classmethod
    def empty(cls, m: int, like: Tensor) -> RowStatistics:
        """Return the statistics of no rows."""
        like = like.double()  # noises are so small that single precision loses the weights
        zero = like.new_zeros(())
        return cls(like.new_zeros(m, m), like.new_zeros(m), zero, 0, zero, zero)

    def add_rows(
        self, features: Tensor, values: Tensor, noise_variance_factor: Tensor
    ) -> RowStatistics:
        """Return these statistics with more rows.

        Args:
            features: `[r, m]`, F.
            values: `[r]`, y.
            noise_variance_factor: `[r]`, noise variances of the rows in units of the common one.
        """
        noise_variance_factor = noise_variance_factor.double()
        root = noise_variance_factor.sqrt()
        F, y = features.double() / root.unsqueeze(-1), values.double() / root
        return RowStatistics(
            self.gram + gram_matrix(F),
            self.moment + y @ F,
            self.sum_of_squares + y.square().sum(),
            self.n_rows + y.numel(),
            self.log_factor_sum + noise_variance_factor.log().sum(),
            self.mean_residual_variance,
        )

    def in_units(self, value: float, feature: float = 1.0) -> RowStatistics:
        """Return these statistics with y and F in other units.

        Args:
            value: Unit of y.
            feature: Unit of F; noise variances are in that of y.
        """
        return replace(
            self,
            gram=self.gram / feature**2,
            moment=self.moment / (value * feature),
            sum_of_squares=self.sum_of_squares / value**2,
            mean_residual_variance=self.mean_residual_variance / feature**2,
        )

    def of_features(self, columns: Tensor) -> RowStatistics:
        """Return the statistics of some features.

        Args:
            columns: `[k]`, those that are kept; all of the environments, for the residual variance.
        """
        gram = self.gram[columns][:, columns]
        return replace(self, gram=gram, moment=self.moment[columns])

    def without_residual(self) -> RowStatistics:
        """Return these statistics without residual variance."""
        return replace(self, mean_residual_variance=torch.zeros_like(self.mean_residual_variance))

    def row_variance(self, s: Tensor, noise: Tensor) -> Tensor:
        """Return d, the variance of a row of noise factor 1 about its features."""
        return noise**2 + s**2 * self.mean_residual_variance


class StandardDeviations(NamedTuple):
    """Standard deviations of the weights and of the noise.

    Attributes:
        s: Signal, eV.
        e: Energy noise, eV.
        f: Force noise, eV/Å.
        weights: Standard deviation of each weight, `[m]` eV; None where all are s.
    """

    s: Tensor
    e: Tensor
    f: Tensor
    weights: Tensor | None = None


class Rows(NamedTuple):
    """Statistics of the energy rows, and of the force rows."""

    energies: RowStatistics
    forces: RowStatistics

    def variances(self, std: StandardDeviations) -> tuple[Tensor, Tensor]:
        """Return d_E and d_F, the variances of rows of noise factor 1 about their features."""
        return self.energies.row_variance(std.s, std.e), self.forces.row_variance(std.s, std.f)

    def in_units(self, energy: float, length: float) -> Rows:
        """Return these statistics with energies in a unit, eV, and lengths in another, Å."""
        forces = self.forces.in_units(energy / length, 1 / length)
        return Rows(self.energies.in_units(energy), forces)

    def of_features(self, columns: Tensor) -> Rows:
        """Return the statistics of some features, `[k]` columns."""
        return Rows(self.energies.of_features(columns), self.forces.of_features(columns))


@final
class Hyperparameters(gpytorch.Module):  # type: ignore[misc]
    """Signal and noise standard deviations, with priors in units of the data.

    The noises stand for what no features of the model can represent, so they do not vanish with
    noiseless data: they have lower bounds. As many weights as rows express anything, and data tell
    nothing of the noise; so the bounds are larger the fewer rows there are. Where energies change
    faster than the model can follow, as where a bond breaks, many forces would outvote a few
    energies, and these be nothing but noise: it has an upper bound.

    Args:
        force_scale: Typical size of the forces, eV/Å.
        length_scale: Length over which energies change, Å.
        amplitudes: Amplitudes of the terms beside the environments.
        weights_per_row: Number of weights over that of the rows of data.
    """

    signal: Tensor
    energy_noise: Tensor
    force_noise: Tensor

    def __init__(
        self,
        force_scale: float,
        length_scale: float,
        amplitudes: Sequence[Amplitude] = (),
        weights_per_row: float = 1.0,
    ) -> None:
        super().__init__()
        few = min(weights_per_row, 1.0)
        energy_noise = max(FEW_DATA_ENERGY_NOISE * few, MIN_ENERGY_NOISE)
        force_noise = max(FEW_DATA_FORCE_NOISE * few, MIN_FORCE_NOISE)
        self.names = (*HYPERPARAMETER_NAMES, *(amplitude.name for amplitude in amplitudes))
        signal = force_scale * length_scale
        typical = {
            "signal": (signal, 2.0, MIN_SIGNAL),
            "energy_noise": (0.01 * signal, 1.5, energy_noise),
            "force_noise": (0.03 * force_scale, 1.5, force_noise),
        }
        for name, _, factor in amplitudes:
            typical[name] = factor * signal, 2.0, MIN_AMPLITUDE
        self.lower_bounds: dict[str, float] = {}
        means, widths = zip(
            *((math.log(value), width) for value, width, _ in typical.values()), strict=True
        )
        self.prior_mean = torch.tensor(means, dtype=torch.float64)
        self.prior_width = torch.tensor(widths, dtype=torch.float64)
        self.upper_bounds = {"energy_noise": MAX_ENERGY_NOISE * typical["energy_noise"][0]}
        for name, (value, _, minimum) in typical.items():
            self.lower_bounds[name] = value * minimum
            # From a small amplitude the likelihood hardly rises, whatever is behind it.
            start = value if name in HYPERPARAMETER_NAMES else signal
            raw = torch.nn.Parameter(torch.tensor(math.log(start), dtype=torch.float64))
            self.register_parameter(f"raw_{name}", raw)

    def value(self, name: str) -> Tensor:
        """Return one standard deviation: "signal" eV, "energy_noise", that of a term..."""
        raw: Tensor = getattr(self, f"raw_{name}")
        return raw.exp()

    def set_values(self, values: tuple[float, float, float]) -> None:
        """Set signal, energy noise and force noise."""
        for name, value in zip(HYPERPARAMETER_NAMES, values, strict=True):
            raw: torch.nn.Parameter = getattr(self, f"raw_{name}")
            raw.data.fill_(math.log(value))

    def logarithmic_bounds(self) -> dict[str, tuple[float, float]]:
        """Return the smallest and the largest logarithm of each."""
        return {
            name: (math.log(value), math.log(self.upper_bounds.get(name, math.inf)))
            for name, value in self.lower_bounds.items()
        }

    def log_prior(self) -> tuple[Tensor, Tensor]:
        """Return the log density of the priors over the logarithms, and its derivatives by them."""
        raw = torch.stack([getattr(self, f"raw_{name}").detach() for name in self.names])
        z = (raw - self.prior_mean) / self.prior_width
        log_density = -z.square() / 2 - self.prior_width.log() - math.log(2 * math.pi) / 2
        return log_density.sum(), -z / self.prior_width


def are_seen(rows: RowStatistics, s: Tensor, noise: Tensor) -> bool:
    """Return whether the features express rows but for `MAX_UNSEEN` times their noise variance.

    Args:
        rows: Statistics of one kind of row.
        s: Signal, eV.
        noise: Standard deviation of the noise, eV or eV/Å.
    """
    return bool(s**2 * rows.mean_residual_variance <= MAX_UNSEEN * noise**2)


def precision_matrix(rows: Rows, std: StandardDeviations) -> Tensor:
    """Return A `[m, m]`, the inverse covariance of the weights given the data."""
    d, g = rows.variances(std)
    A = rows.energies.gram / d + rows.forces.gram / g
    weight_std = std.s if std.weights is None else std.weights
    return A + torch.diag_embed((1 / weight_std**2).expand(A.shape[-1]))


def precision_cholesky(rows: Rows, std: StandardDeviations) -> Tensor:
    """Return the Cholesky factor of A.

    Where an amplitude is so many times the noise that other weights are lost in rounding, A is
    positive definite but for it.
    """
    return safe_cholesky(precision_matrix(rows, std))


def safe_cholesky(A: Tensor) -> Tensor:
    """Return the Cholesky factor of A, with a part of its diagonal added where rounding needs it.

    Raises:
        torch.linalg.LinAlgError: A is not positive definite beyond rounding.
    """
    factor: Tensor
    for jitter in JITTERS:
        factor, info = torch.linalg.cholesky_ex(A + jitter * A.diagonal().diag_embed())
        if not bool(info):
            return factor
    factor = torch.linalg.cholesky(A)
    return factor


def weighted_moment(rows: Rows, std: StandardDeviations) -> Tensor:
    """Return v `[m]`; the mean of the weights given the data is A^-1 v."""
    d, g = rows.variances(std)
    return rows.energies.moment / d + rows.forces.moment / g


def weight_posterior(rows: Rows, std: StandardDeviations) -> tuple[Tensor, Tensor]:
    """Return the Cholesky factor `[m, m]` of A, and the mean of the weights `[m]`."""
    factor = precision_cholesky(rows, std)
    return factor, solve(factor, weighted_moment(rows, std))


def solve(factor: Tensor, v: Tensor) -> Tensor:
    """Return A^-1 v `[m]` from the Cholesky factor `[m, m]` of A."""
    return torch.cholesky_solve(v.unsqueeze(-1), factor).squeeze(-1)


def log_marginal_likelihood(rows: Rows, std: StandardDeviations) -> Tensor:
    """Return log p(y), a scalar, from statistics and standard deviations."""
    return _log_density(rows, std, weighted_moment(rows, std), precision_cholesky(rows, std))


def _log_density(rows: Rows, std: StandardDeviations, v: Tensor, factor: Tensor) -> Tensor:
    """Return log p(y) from v `[m]` and the Cholesky factor `[m, m]` of A."""
    (energies, forces), (d, g) = rows, rows.variances(std)
    explained = torch.linalg.solve_triangular(factor, v.unsqueeze(-1), upper=False)
    misfit = energies.sum_of_squares / d + forces.sum_of_squares / g - explained.square().sum()
    log_prior = len(factor) * std.s.log() if std.weights is None else std.weights.log().sum()
    log_determinant = 2 * factor.diagonal().log().sum() + 2 * log_prior
    noise: Tensor = energies.n_rows * d.log() + forces.n_rows * g.log()
    noise = noise + energies.log_factor_sum + forces.log_factor_sum
    count = energies.n_rows + forces.n_rows
    total: Tensor = misfit + log_determinant + noise + count * math.log(2 * math.pi)
    return -total / 2


def value_and_gradient(
    rows: Rows,
    std: StandardDeviations,
    amplitude_blocks: Sequence[slice] = (),
    n_environments: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return log p(y), and its derivatives with respect to the logarithms of s, e, f and more.

    With w = A^-1 v, the derivative with respect to log √d of a kind of rows is
        S_k = (y_k . y_k - 2 w . v_k + w . G_k w + tr(A^-1 G_k)) / d_k - N_k
    The derivatives for e and f are the shares e² / d_E and f² / d_F of it; that for s is the rest
    of both, and S for G = 1, y = v = 0 and N = m over the weights of the environments. That for the
    amplitude of a term is the latter, over its weights.

    Args:
        rows: Statistics of the rows.
        std: Standard deviations.
        amplitude_blocks: Weights of each of t terms with an amplitude of its own.
        n_environments: Number of weights of the environments, the first ones; None for all.

    Returns:
        The logarithm, a scalar, and its derivatives `[3 + t]`.
    """
    v, factor = weighted_moment(rows, std), precision_cholesky(rows, std)
    w = solve(factor, v)
    covariance = torch.cholesky_inverse(factor)  # the traces need all of it
    weight_std = std.s.expand(len(w)) if std.weights is None else std.weights
    shares = (w.square() + covariance.diagonal()) / weight_std**2 - 1
    amplitudes = [shares[block].sum() for block in amplitude_blocks]
    signal = shares[:n_environments].sum()
    noises = []
    for kind, noise, d in zip(rows, (std.e, std.f), rows.variances(std), strict=True):
        squared_error = kind.sum_of_squares - 2 * w @ kind.moment + w @ kind.gram @ w
        variance = (covariance * kind.gram).sum()
        derivative = (squared_error + variance) / d - kind.n_rows
        noises.append(derivative * noise**2 / d)
        signal = signal + derivative * std.s**2 * kind.mean_residual_variance / d
    return _log_density(rows, std, v, factor), torch.stack([signal, *noises, *amplitudes])


class ValueAndGradient(Protocol):
    """Another way to `value_and_gradient` of some rows."""

    def __call__(
        self, std: StandardDeviations, amplitude_blocks: Sequence[slice] = ()
    ) -> tuple[Tensor, Tensor]:
        """Return log p(y) and its derivatives."""
        ...


def degrees_of_freedom(rows: Rows, std: StandardDeviations) -> Tensor:
    """Return the part of each weight that the data determine, 1 - (A^-1)_kk / s_k², `[m]`."""
    factor = precision_cholesky(rows, std)
    weight_std = std.s if std.weights is None else std.weights
    return 1 - torch.cholesky_inverse(factor).diagonal() / weight_std**2


def maximize_marginal_likelihood(
    rows: Rows,
    hyperparameters: Hyperparameters,
    terms: EnergyTerms = NO_TERMS,
    *,
    fixed_names: Sequence[str] = (),
    evaluate: ValueAndGradient | None = None,
) -> Tensor:
    """Set `hyperparameters` to their most probable values; return log p(y) there.

    Maximized is the marginal likelihood times the priors.

    Args:
        rows: Statistics of the rows.
        hyperparameters: Standard deviations and their priors.
        terms: Terms beside the environments, whose features are the last ones.
        fixed_names: Names of those that stay.
        evaluate: A faster `value_and_gradient` of these rows; optional.
    """
    m = len(rows.energies.moment) - terms.n_features
    blocks = terms.amplitude_blocks(m)
    if evaluate is None:
        evaluate = partial(value_and_gradient, rows, n_environments=m)

    def values() -> StandardDeviations:
        like = rows.energies.gram
        every = (hyperparameters.value(name).to(like) for name in hyperparameters.names)
        s, e, f, *amplitudes = every
        weights = terms.weight_std(s, m, amplitudes) if terms.terms else None
        return StandardDeviations(s, e, f, weights)

    parameters = dict(hyperparameters.named_parameters())
    raw_names = [f"raw_{name}" for name in hyperparameters.names]
    free = [name for name in raw_names if name.removeprefix("raw_") not in fixed_names]
    count = max(rows.energies.n_rows + rows.forces.n_rows, 1)

    def closure() -> tuple[Tensor, list[Tensor | None]]:
        with torch.no_grad():
            evidence, gradient = evaluate(values(), amplitude_blocks=blocks)
        prior, prior_gradient = hyperparameters.log_prior()
        loss = -(evidence.cpu() + prior) / count
        both = -(gradient.cpu() + prior_gradient) / count
        slopes = dict(zip(raw_names, both.unbind(), strict=True))
        return loss, [slopes[name] for name in free]

    with cholesky_only():
        if free:
            bounds = {
                f"raw_{name}": bound
                for name, bound in hyperparameters.logarithmic_bounds().items()
                if f"raw_{name}" in free
            }
            options = {"maxiter": MAX_ITERATIONS}
            free_parameters = {name: parameters[name] for name in free}
            scipy_minimize(closure, free_parameters, bounds=bounds, options=options)
        with torch.no_grad():
            return log_marginal_likelihood(rows, values())
