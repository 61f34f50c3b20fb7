"""Hyperparameters of a sparse process by marginal likelihood.

Notation
    F        [rows, m]   1        Nyström features of all energies and force components
    y        [rows]      eV ...   what they were measured to be, less the prior mean
    G_k      [m, m]               F^T F over rows of kind k (energies, forces)
    v_k      [m]                  F^T y over rows of kind k
    y ~ N(0, s² F F^T + D),  D = e² for energy rows, f² for force rows

With A = 1 / s² + G_E / e² + G_F / f² and the matrix determinant lemma,
    -2 log p = sum_k (y_k . y_k / d_k + N_k log d_k) - v^T A^-1 v
               + log |s² A| + N log 2π
where v = v_E / e² + v_F / f² and d_k = e², f². Its cost does not depend on the number
of structures. This is the evidence of the deterministic training conditional:
Quiñonero-Candela and Rasmussen, JMLR 6, 1939 (2005), section 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import gpytorch
import torch
from botorch.optim.core import scipy_minimize
from gpytorch.constraints import Positive
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from bostruct.surrogates.numerics import exact

NAMES = ("signal", "energy_noise", "force_noise")
ITERATIONS = 60  # of L-BFGS-B; three parameters need 15 to 25


@final
@dataclass(frozen=True, eq=False)
class Rows:
    """Sufficient statistics of one kind of row.

    Attributes:
        gram: `[m, m]`, F^T F.
        moment: `[m]`, F^T y.
        square: scalar, y . y.
        count: number of rows.
        scale: scalar, sum of the logarithms of the rows' own variance factors.
    """

    gram: Tensor
    moment: Tensor
    square: Tensor
    count: int
    scale: Tensor

    @classmethod
    def none(cls, m: int, like: Tensor) -> Rows:
        """Return the statistics of no rows."""
        zero = like.new_zeros(())
        return cls(like.new_zeros(m, m), like.new_zeros(m), zero, 0, zero)

    def add(self, features: Tensor, values: Tensor, factor: Tensor) -> Rows:
        """Return these statistics with more rows.

        Args:
            features: `[r, m]`.
            values: `[r]`.
            factor: `[r]`, the rows' noise variances in units of the common one.
        """
        root = factor.sqrt()
        F, y = features / root.unsqueeze(-1), values / root
        return Rows(
            self.gram + F.T @ F,
            self.moment + y @ F,
            self.square + y.square().sum(),
            self.count + y.numel(),
            self.scale + factor.log().sum(),
        )


@final
class Hyperparameters(gpytorch.Module):  # type: ignore[misc]
    """Signal and noise standard deviations, with priors in units of the data.

    The noises stand for what the model cannot represent, so they do not vanish with
    noiseless data: below `least` a model would be certain of its own error.

    Args:
        force: eV/Å, typical size of the forces (or a stand-in where there are none).
        length: Å, over which energies change.
    """

    signal: Tensor
    energy_noise: Tensor
    force_noise: Tensor

    def __init__(self, force: float, length: float) -> None:
        super().__init__()
        typical = {
            "signal": (force * length, 2.0, 1e-3),
            "energy_noise": (0.01 * force * length, 1.5, 0.2),
            "force_noise": (0.03 * force, 1.5, 0.3),
        }
        self.least: dict[str, float] = {}
        for name, (start, width, least) in typical.items():
            self.least[name] = start * least
            raw = torch.nn.Parameter(torch.tensor(math.log(start), dtype=torch.float64))
            self.register_parameter(f"raw_{name}", raw)
            positive = Positive(transform=torch.exp, inv_transform=torch.log)
            self.register_constraint(f"raw_{name}", positive)
            prior = LogNormalPrior(math.log(start), width)
            self.register_prior(f"{name}_prior", prior, _reader(name))

    def value(self, name: str) -> Tensor:
        """Return one standard deviation: "signal" eV, "energy_noise", "force_noise"."""
        raw: Tensor = getattr(self, f"raw_{name}")
        constraint = getattr(self, f"raw_{name}_constraint")
        positive: Tensor = constraint.transform(raw)
        return positive

    def set(self, values: tuple[float, float, float]) -> None:
        """Set signal, energy noise and force noise."""
        for name, value in zip(NAMES, values, strict=True):
            raw: torch.nn.Parameter = getattr(self, f"raw_{name}")
            raw.data.fill_(math.log(value))

    def log_prior(self) -> Tensor:
        """Return the log density of the priors over the logarithms, a scalar."""
        terms = [
            prior.base_dist.log_prob(closure(module).log())
            for _, module, prior, closure, _ in self.named_priors()
        ]
        return torch.stack(terms).sum()


def _reader(name: str) -> Callable[[Hyperparameters], Tensor]:
    return lambda module: module.value(name)


def precision(energies: Rows, forces: Rows, s: Tensor, e: Tensor, f: Tensor) -> Tensor:
    """Return A `[m, m]`, the inverse covariance of the weights given the data."""
    A = energies.gram / e**2 + forces.gram / f**2
    return A + torch.diag_embed((1 / s**2).expand(A.shape[-1]))


def log_marginal_likelihood(
    energies: Rows, forces: Rows, s: Tensor, e: Tensor, f: Tensor
) -> Tensor:
    """Return log p(y), a scalar, from statistics and standard deviations.

    Args:
        energies: statistics of the energy rows.
        forces: statistics of the force rows.
        s: signal, eV.
        e: energy noise, eV.
        f: force noise, eV/Å.
    """
    factor = torch.linalg.cholesky(precision(energies, forces, s, e, f))
    v = energies.moment / e**2 + forces.moment / f**2
    explained = torch.linalg.solve_triangular(factor, v.unsqueeze(-1), upper=False)
    misfit = energies.square / e**2 + forces.square / f**2 - explained.square().sum()
    volume = 2 * factor.diagonal().log().sum() + 2 * len(factor) * s.log()
    noise: Tensor = 2 * energies.count * e.log() + 2 * forces.count * f.log()
    noise = noise + energies.scale + forces.scale
    count = energies.count + forces.count
    total: Tensor = misfit + volume + noise + count * math.log(2 * math.pi)
    return -total / 2


def slopes(energies: Rows, forces: Rows, s: Tensor, e: Tensor, f: Tensor) -> Tensor:
    """Return the slopes `[3]` of log p(y) with the logarithms of s, e and f.

    With u = A^-1 v, that with log e (or f) is
        (y_k . y_k - 2 u . v_k + u . G_k u + tr(A^-1 G_k)) / e² - N_k
    and that with log s the same for G = 1, y = v = 0 and N = m.
    """
    factor = torch.linalg.cholesky(precision(energies, forces, s, e, f))
    v = energies.moment / e**2 + forces.moment / f**2
    u = torch.cholesky_solve(v.unsqueeze(-1), factor).squeeze(-1)
    covariance = torch.cholesky_inverse(factor)  # the traces ask for all of it
    trace = covariance.diagonal().sum()
    found = [(u.square().sum() + trace) / s**2 - len(factor)]
    for rows, deviation in ((energies, e), (forces, f)):
        missed = rows.square - 2 * u @ rows.moment + u @ rows.gram @ u
        spread = (covariance * rows.gram).sum()
        found.append((missed + spread) / deviation**2 - rows.count)
    return torch.stack(found)


def maximise(
    energies: Rows, forces: Rows, start: Hyperparameters, *, move: bool = True
) -> Tensor:
    """Move `start` to its most probable values; return log p(y) there.

    What is maximised is the marginal likelihood times the priors. With `move` false
    the values stay as they are.
    """

    def values() -> tuple[Tensor, Tensor, Tensor]:
        like = energies.gram
        s, e, f = (start.value(name).to(like) for name in NAMES)
        return s, e, f

    parameters = dict(start.named_parameters())
    count = max(energies.count + forces.count, 1)

    def closure() -> tuple[Tensor, list[Tensor | None]]:
        with torch.no_grad():
            evidence = log_marginal_likelihood(energies, forces, *values())
            steep = slopes(energies, forces, *values())
        prior = start.log_prior()
        tilts = torch.autograd.grad(prior, list(parameters.values()))
        both = [
            -(one + tilt) / count
            for one, tilt in zip(steep.cpu().unbind(), tilts, strict=True)
        ]
        return -(evidence.cpu() + prior.detach()) / count, list(both)

    with exact():
        if move:
            bounds = {
                f"raw_{name}": (math.log(value), None)
                for name, value in start.least.items()
            }
            options = {"maxiter": ITERATIONS}
            scipy_minimize(closure, parameters, bounds=bounds, options=options)
        with torch.no_grad():
            return log_marginal_likelihood(energies, forces, *values())
