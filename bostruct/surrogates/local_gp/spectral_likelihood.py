"""Marginal likelihood in the eigenbasis of the forces of the environments.

Notation, beside that of `marginal_likelihood`
    m, t, M   weights of the environments, of the terms beside them, of both
    n         rank of the energies, at most their number
    L         [m]            eigenvalues of G_F over the weights of the environments
    C, T      [m, t] [t, t]  G_F between environments and terms, and among terms
    R, y      [n, M] [n]     R^T R = G_E, R^T y = v_E: n energies that say what all say

Forces come first, log p = log p(forces) + log p(energies given forces). Given forces alone, with
D = 1 / s² + L / d_F diagonal in the eigenbasis, B = C / d_F and a Cholesky factor K of t rows,

    A_F = | D    B               |     K K^T = S_t^-1 + T / d_F - B^T D^-1 B
          | B^T  S_t^-1 + T / d_F |     w_F = A_F^-1 v_F / d_F

Energies given these have the covariance d_E H, and mean R w_F:

    H = 1 + R A_F^-1 R^T / d_E,   q = H^-1 (y - R w_F) / √d_E,   w = w_F + A_F^-1 R^T q / √d_E

in which √d_E q is y - R w (block elimination and Woodbury; Press et al., Numerical Recipes, 3rd
edition, section 2.7). So one eigenbasis serves all hyperparameters, and what is left are matrices
of t and of n rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from scipy.linalg.lapack import dpstrf
from torch import Tensor

from bostruct.surrogates.local_gp.marginal_likelihood import (
    Rows,
    StandardDeviations,
    safe_cholesky,
)

MIN_ENVIRONMENTS = 100
"""Number m from which on the eigenbasis saves time."""

MAX_BORDER = 0.6
"""Largest t + n, in units of m, with which it does."""


@final
@dataclass(frozen=True, eq=False)
class SpectralLikelihood:
    """Marginal likelihood of some rows, for any hyperparameters.

    Attributes:
        rows: Statistics, with moments in the eigenbasis.
        eigenvalues: L, `[m]`.
        coupling: C, `[m, t]`.
        term_gram: T, `[t, t]`.
        energy_root: R, `[n, M]`.
        energy_values: y, `[n]`.
    """

    rows: Rows
    eigenvalues: Tensor
    coupling: Tensor
    term_gram: Tensor
    energy_root: Tensor
    energy_values: Tensor

    @classmethod
    def of(cls, rows: Rows, m: int) -> SpectralLikelihood | None:
        """Return the likelihood of these rows; None where a dense factor is as fast.

        Args:
            rows: Statistics of the rows.
            m: Number of weights of the environments, the first ones.
        """
        border = len(rows.energies.moment) - m + rows.energies.n_rows
        if m < MIN_ENVIRONMENTS or border > MAX_BORDER * m:
            return None
        return cls.decompose(rows, m)

    @classmethod
    def decompose(cls, rows: Rows, m: int) -> SpectralLikelihood:
        """Return the likelihood of these rows also where a dense factor is as fast.

        The arguments are those of `of`.
        """
        energies, forces = rows
        eigenvalues, Q = torch.linalg.eigh(forces.gram[:m, :m])

        def rotated(x: Tensor) -> Tensor:
            return torch.cat((x[..., :m] @ Q, x[..., m:]), -1)

        root, values = _root(energies.gram, energies.moment)
        return cls(
            Rows(*(replace(kind, moment=rotated(kind.moment)) for kind in rows)),
            eigenvalues.clamp(min=0),
            Q.T @ forces.gram[:m, m:],
            forces.gram[m:, m:],
            rotated(root),
            values,
        )

    def of_rows(self, rows: Rows) -> SpectralLikelihood:
        """Return the likelihood of the same rows with the mean residual variances of others."""
        changed = (
            replace(own, mean_residual_variance=other.mean_residual_variance)
            for own, other in zip(self.rows, rows, strict=True)
        )
        return replace(self, rows=Rows(*changed))

    def in_units(self, energy: float, length: float) -> SpectralLikelihood:
        """Return the likelihood with energies in a unit, eV, and lengths in another, Å."""
        return replace(
            self,
            rows=self.rows.in_units(energy, length),
            eigenvalues=self.eigenvalues * length**2,
            coupling=self.coupling * length**2,
            term_gram=self.term_gram * length**2,
            energy_values=self.energy_values / energy,
        )

    def value_and_gradient(
        self, std: StandardDeviations, amplitude_blocks: Sequence[slice] = ()
    ) -> tuple[Tensor, Tensor]:
        """Return log p(y) and its derivatives, as `marginal_likelihood.value_and_gradient` does.

        Args:
            std: Standard deviations, those of the weights `[M]`.
            amplitude_blocks: Weights of each term with an amplitude of its own.

        Returns:
            The logarithm, a scalar, and its derivatives.
        """
        (energies, forces), (m, t) = self.rows, self.coupling.shape
        (d, g), s = self.rows.variances(std), std.s
        term_std = s.expand(t) if std.weights is None else std.weights[m:]
        y, R = self.energy_values / d.sqrt(), self.energy_root / d.sqrt()
        D, B, v = self.eigenvalues / g + 1 / s**2, self.coupling / g, forces.moment / g
        Y = torch.cat((B, R[:, :m].T), -1) / D.unsqueeze(-1)
        P = B.T @ Y
        K = safe_cholesky((1 / term_std**2).diag() + self.term_gram / g - P[:, :t])
        U = _solve(K, R[:, m:].T - P[:, t:])
        identity = torch.eye(len(y)).to(U)
        H = safe_cholesky(identity + R[:, :m] @ Y[:, t:] + U.T @ U)

        explained = _solve(K, (v[m:] - Y[:, :t].T @ v[:m]).unsqueeze(-1))
        w_t = _solve_transposed(K, explained).squeeze(-1)
        w = torch.cat(((v[:m] - B @ w_t) / D, w_t))
        innovation = _solve(H, (y - R @ w).unsqueeze(-1))
        q = _solve_transposed(H, innovation).squeeze(-1)
        Z = _solve_transposed(K, U)  # rows of A_F^-1 R^T for the terms
        w = w + torch.cat((Y[:, t:] @ q - Y[:, :t] @ (Z @ q), Z @ q))

        inverse, change = torch.cholesky_inverse(H), torch.cat((-Z, identity))
        N = -change @ inverse @ change.T  # A^-1 = 1 / D + Y N Y^T over the environments
        N[:t, :t] += torch.cholesky_inverse(K)
        variances = (1 / D).sum() + (N * (Y.T @ Y)).sum(), N.diagonal()[:t]
        signal = (w[:m].square().sum() + variances[0]) / s**2 - m
        shares = (w[m:].square() + variances[1]) / term_std**2 - 1
        amplitudes = [shares[block.start - m : block.stop - m].sum() for block in amplitude_blocks]

        energy_trace = len(y) - inverse.diagonal().sum()
        prior_trace = variances[0] / s**2 + (variances[1] / term_std**2).sum()
        force_trace = m + t - prior_trace - energy_trace  # A^-1 A has the trace m + t
        unexplained = energies.sum_of_squares / d - y.square().sum()
        Gw = self.eigenvalues * w[:m] + self.coupling @ w[m:]
        Gw = torch.cat((Gw, self.coupling.T @ w[:m] + self.term_gram @ w[m:]))
        force_error = (forces.sum_of_squares + w @ (Gw - 2 * forces.moment)) / g
        noises = []
        for rows, variance, noise, square in (
            (energies, d, std.e, unexplained + q.square().sum() + energy_trace),
            (forces, g, std.f, force_error + force_trace),
        ):
            derivative = square - rows.n_rows
            noises.append(derivative * noise**2 / variance)
            signal = signal + derivative * s**2 * rows.mean_residual_variance / variance

        misfit = forces.sum_of_squares / g - (v[:m].square() / D).sum() - explained.square().sum()
        misfit = misfit + unexplained + innovation.square().sum()
        log_determinant = D.log().sum() + 2 * (m * s.log() + term_std.log().sum())
        for factor in (K, H):
            log_determinant = log_determinant + 2 * factor.diagonal().log().sum()
        noise = energies.n_rows * d.log() + forces.n_rows * g.log()
        noise = noise + energies.log_factor_sum + forces.log_factor_sum
        count = energies.n_rows + forces.n_rows
        density = -(misfit + log_determinant + noise + count * math.log(2 * math.pi)) / 2
        return density, torch.stack([signal, *noises, *amplitudes])


def _solve(factor: Tensor, rows: Tensor) -> Tensor:
    """Return L^-1 rows `[k, r]` of a lower Cholesky factor L `[k, k]`."""
    solution: Tensor = torch.linalg.solve_triangular(factor, rows, upper=False)
    return solution


def _solve_transposed(factor: Tensor, rows: Tensor) -> Tensor:
    """Return L^-T rows `[k, r]` of a lower Cholesky factor L `[k, k]`."""
    solution: Tensor = torch.linalg.solve_triangular(factor.mT, rows, upper=True)
    return solution


def _root(G: Tensor, moment: Tensor) -> tuple[Tensor, Tensor]:
    """Return R `[n, M]` with R^T R = G `[M, M]`, and y `[n]` with R^T y = `moment`.

    R is a pivoted Cholesky factor, of columns scaled to unit length so that small ones are kept.
    """
    scale = G.diagonal().sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    factor, pivots, n, _ = dpstrf((G / scale / scale.unsqueeze(-1)).cpu().numpy(), lower=0)
    root = torch.from_numpy(factor[:n]).to(G).triu()
    order = torch.from_numpy(pivots).to(G.device).long() - 1
    first = (moment / scale)[order[:n]].unsqueeze(-1)
    values = torch.linalg.solve_triangular(root[:, :n].T, first, upper=False)
    R = torch.zeros_like(root)
    R[:, order] = root
    return R * scale, values.squeeze(-1)
