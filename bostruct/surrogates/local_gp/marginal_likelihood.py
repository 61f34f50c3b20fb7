"""Hyperparameters of a sparse process by marginal likelihood.

Notation
    F        [rows, m]   1        Nyström features of all energies and force components
    y        [rows]      eV ...   what they were measured to be, less the prior mean
    G_k      [m, m]               F^T F over rows of kind k (energies, forces)
    v_k      [m]                  F^T y over rows of kind k
    u_k                  1        mean of what F does not see of these rows, k - F . F
    y ~ N(0, s² F F^T + D),  D = d_k = e² + s² u_E for energies, f² + s² u_F for forces

With A = 1 / s² + G_E / d_E + G_F / d_F and the matrix determinant lemma,
    -2 log p = sum_k (y_k . y_k / d_k + N_k log d_k) - v^T A^-1 v
               + log |s² A| + N log 2π
where v = v_E / d_E + v_F / d_F. Its cost does not depend on the number of structures.

With u = 0 this is the evidence of the deterministic training conditional. Its noise is
also what F does not see, to which a prediction adds s² (k - F . F): the same twice, and
σ is too wide by up to a half where data are smooth or many. With each row's own
k - F . F it is the fully independent one (Quiñonero-Candela and Rasmussen, JMLR 6, 1939
(2005), sections 5, 6). Their mean needs the same statistics, and finds nearly the
deviations that the latter does: noises are what is left, and misfit tells of s too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import gpytorch
import torch
from botorch.optim.core import scipy_minimize
from gpytorch.constraints import Positive
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from bostruct.surrogates.gpytorch_settings import exact

NAMES = ("signal", "energy_noise", "force_noise")
PANEL = 96  # columns of a product that is made half
ITERATIONS = 60  # of L-BFGS-B; three parameters need 15 to 25


def gram(F: Tensor) -> Tensor:
    """Return F^T F `[m, m]` of F `[r, m]`: a half by products, and its mirror."""
    found = F.new_zeros(F.shape[1], F.shape[1])
    for start in range(0, len(found), PANEL):
        panel = slice(start, start + PANEL)
        found[start:, panel] = F[:, start:].T @ F[:, panel]
    return found.tril() + found.tril(-1).T


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
        unseen: scalar, mean of what the features do not see of the rows, in units of
            the signal variance and of the rows' factors.
    """

    gram: Tensor
    moment: Tensor
    square: Tensor
    count: int
    scale: Tensor
    unseen: Tensor

    @classmethod
    def none(cls, m: int, like: Tensor) -> Rows:
        """Return the statistics of no rows."""
        zero = like.new_zeros(())
        return cls(like.new_zeros(m, m), like.new_zeros(m), zero, 0, zero, zero)

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
            self.gram + gram(F),
            self.moment + y @ F,
            self.square + y.square().sum(),
            self.count + y.numel(),
            self.scale + factor.log().sum(),
            self.unseen,
        )

    def bare(self) -> Rows:
        """Return these statistics as if the features saw all of the rows."""
        return replace(self, unseen=torch.zeros_like(self.unseen))

    def variance(self, s: Tensor, noise: Tensor) -> Tensor:
        """Return d, the variance of a row of factor 1 around its features."""
        return noise**2 + s**2 * self.unseen


@final
class Hyperparameters(gpytorch.Module):  # type: ignore[misc]
    """Signal and noise standard deviations, with priors in units of the data.

    The noises stand for what no features of the model can represent, so they do not
    vanish with noiseless data: below `least` a model would be certain of its own error.

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
    A = energies.gram / energies.variance(s, e) + forces.gram / forces.variance(s, f)
    return A + torch.diag_embed((1 / s**2).expand(A.shape[-1]))


def moment(energies: Rows, forces: Rows, s: Tensor, e: Tensor, f: Tensor) -> Tensor:
    """Return v `[m]`; the mean of the weights given the data is A^-1 v."""
    mine = energies.moment / energies.variance(s, e)
    return mine + forces.moment / forces.variance(s, f)


def posterior(
    energies: Rows, forces: Rows, s: Tensor, e: Tensor, f: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the Cholesky factor `[m, m]` of A, and the mean of the weights `[m]`."""
    factor = torch.linalg.cholesky(precision(energies, forces, s, e, f))
    return factor, solved(factor, moment(energies, forces, s, e, f))


def solved(factor: Tensor, v: Tensor) -> Tensor:
    """Return A^-1 v `[m]` from the Cholesky factor `[m, m]` of A."""
    return torch.cholesky_solve(v.unsqueeze(-1), factor).squeeze(-1)


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
    v = moment(energies, forces, s, e, f)
    factor = torch.linalg.cholesky(precision(energies, forces, s, e, f))
    return _density(energies, forces, s, e, f, v, factor)


def _density(
    energies: Rows,
    forces: Rows,
    s: Tensor,
    e: Tensor,
    f: Tensor,
    v: Tensor,
    factor: Tensor,
) -> Tensor:
    """Return log p(y) from v `[m]` and the Cholesky factor `[m, m]` of A."""
    d, g = energies.variance(s, e), forces.variance(s, f)
    explained = torch.linalg.solve_triangular(factor, v.unsqueeze(-1), upper=False)
    misfit = energies.square / d + forces.square / g - explained.square().sum()
    volume = 2 * factor.diagonal().log().sum() + 2 * len(factor) * s.log()
    noise: Tensor = energies.count * d.log() + forces.count * g.log()
    noise = noise + energies.scale + forces.scale
    count = energies.count + forces.count
    total: Tensor = misfit + volume + noise + count * math.log(2 * math.pi)
    return -total / 2


def slopes(
    energies: Rows, forces: Rows, s: Tensor, e: Tensor, f: Tensor
) -> tuple[Tensor, Tensor]:
    """Return log p(y), and its slopes `[3]` with the logarithms of s, e and f.

    With w = A^-1 v, that with log √d of a kind of rows is
        S_k = (y_k . y_k - 2 w . v_k + w . G_k w + tr(A^-1 G_k)) / d_k - N_k
    of which e and f have the share e² / d_E and f² / d_F, and s the rest of both, and
    the same as S for G = 1, y = v = 0 and N = m.
    """
    v = moment(energies, forces, s, e, f)
    factor = torch.linalg.cholesky(precision(energies, forces, s, e, f))
    w = solved(factor, v)
    covariance = torch.cholesky_inverse(factor)  # the traces ask for all of it
    trace = covariance.diagonal().sum()
    signal = (w.square().sum() + trace) / s**2 - len(factor)
    found = []
    for rows, deviation in ((energies, e), (forces, f)):
        d = rows.variance(s, deviation)
        missed = rows.square - 2 * w @ rows.moment + w @ rows.gram @ w
        spread = (covariance * rows.gram).sum()
        slope = (missed + spread) / d - rows.count
        found.append(slope * deviation**2 / d)
        signal = signal + slope * s**2 * rows.unseen / d
    density = _density(energies, forces, s, e, f, v, factor)
    return density, torch.stack([signal, *found])


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
            evidence, steep = slopes(energies, forces, *values())
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
