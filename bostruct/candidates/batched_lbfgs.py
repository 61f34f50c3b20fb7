"""Gradient ascent of a whole batch at once: L-BFGS with a trust radius per structure.

Notation
    b, d   structures, coordinates of each
    X      [b, d]      coordinates
    f, g   [b], [b, d] what is minimised (minus the value) and its gradient
    S, Y   [h, b, d]   last h changes of X and of g;  rho [h, b] = 1 / (S . Y), 0 = void

Every structure has its own history, step limit and verdict; all share one call of the
function per step. A step that makes a structure worse is taken back, its limit
shrunk and its history forgotten. Two-loop recursion: Nocedal and Wright, Numerical
Optimization (2006), algorithm 7.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.errors import check_count, check_positive

Value = Callable[[Tensor], Tensor]
"""X `[b, d]` to what a look at each is worth, `[b]`; larger is better."""

HISTORY = 8  # pairs remembered
SHRINK, GROW = 0.4, 1.5  # of the step limit after a bad and a good step
SMALLEST = 1e-3  # of the step limit: a structure that is stuck this hard has ended
CURVATURE = 1e-10  # least cosine between a change of X and of g that is remembered
COMPACT = 0.8  # share of the batch still moving below which the rest is put aside
LOOK = 4  # steps between two looks at who has ended; each waits for the device


@final
@dataclass(frozen=True, eq=False)
class Relaxed:
    """Where a batch came to rest.

    Attributes:
        X: `[b, d]`.
        value: `[b]`, never less than at the start.
        steps: `[b]` int64, steps each structure took.
        converged: `[b]` bool, whether its gradient fell below the tolerance.
    """

    X: Tensor
    value: Tensor
    steps: Tensor
    converged: Tensor


@dataclass(eq=False)
class _Batch:
    """The part of the batch that still moves."""

    row: Tensor  # [b] place in the whole batch
    X: Tensor
    f: Tensor
    g: Tensor
    limit: Tensor  # [b] largest change of a coordinate in the next step
    S: Tensor
    Y: Tensor
    rho: Tensor

    def keep(self, rows: Tensor) -> _Batch:
        """Return the rows given by a boolean `[b]`."""
        return _Batch(
            row=self.row[rows],
            X=self.X[rows],
            f=self.f[rows],
            g=self.g[rows],
            limit=self.limit[rows],
            S=self.S[:, rows],
            Y=self.Y[:, rows],
            rho=self.rho[:, rows],
        )


def relax(
    value: Value,
    X: Tensor,
    *,
    tolerance: float = 0.05,
    steps: int = 100,
    step: float = 0.2,
    project: Callable[[Tensor], Tensor] | None = None,
) -> Relaxed:
    """Climb to the nearest maxima of `value`.

    Args:
        value: what is maximised, differentiable.
        X: `[b, d]` starts.
        tolerance: largest component of the gradient at rest, in units of the value
            per unit of X: eV/Å for the lower confidence bound of an energy.
        steps: the most steps of each structure.
        step: largest change of a coordinate in one step, in units of X: Å.
        project: puts coordinates back into the region.

    Raises:
        InputError: a number is out of range.
    """
    check_positive("tolerance", tolerance)
    check_count("steps", steps, 0)
    check_positive("step", step)
    X = (X if project is None else project(X)).detach()
    f, g = _evaluate(value, X)
    b, d = X.shape
    history = X.new_zeros(HISTORY, b, d)
    batch = _Batch(
        row=torch.arange(b, device=X.device),
        X=X,
        f=f,
        g=g,
        limit=torch.full_like(f, step),
        S=history,
        Y=history.clone(),
        rho=X.new_zeros(HISTORY, b),
    )
    end_X, end_f = X.clone(), f.clone()
    taken = torch.zeros(b, dtype=torch.int64, device=X.device)
    converged = torch.zeros(b, dtype=torch.bool, device=X.device)
    for turn in range(steps):
        rest = _rests(batch, tolerance)
        moving = ~rest & batch.f.isfinite() & (batch.limit > SMALLEST * step)
        if turn % LOOK == 0:
            count = int(moving.sum())
            if count < COMPACT * len(moving) or count == 0:
                _store(batch, end_X, end_f, converged, rest)
                batch, moving = batch.keep(moving), moving[moving]
                if count == 0:
                    break
        taken[batch.row] += moving
        _advance(batch, value, moving, turn % HISTORY, step, project)
    _store(batch, end_X, end_f, converged, _rests(batch, tolerance))
    return Relaxed(end_X, -end_f, taken, converged)


def _evaluate(value: Value, X: Tensor) -> tuple[Tensor, Tensor]:
    """Return minus the value, infinite where it is not finite, and its slope."""
    moving = X.detach().requires_grad_()
    with torch.enable_grad():
        f = -value(moving)
        (g,) = torch.autograd.grad(f.sum(), moving)
    f = f.detach()
    sound = f.isfinite() & g.isfinite().all(-1)
    return torch.where(sound, f, torch.inf), torch.where(sound.unsqueeze(-1), g, 0)


def _rests(batch: _Batch, tolerance: float) -> Tensor:
    return batch.f.isfinite() & (batch.g.abs().amax(-1) < tolerance)


def _store(
    batch: _Batch, X: Tensor, f: Tensor, converged: Tensor, rest: Tensor
) -> None:
    X[batch.row], f[batch.row], converged[batch.row] = batch.X, batch.f, rest


def _advance(
    batch: _Batch,
    value: Value,
    moving: Tensor,
    slot: int,
    largest: float,
    project: Callable[[Tensor], Tensor] | None,
) -> None:
    """Take one step with every structure that moves; keep those that got better."""
    change = _direction(batch, slot)
    size = change.abs().amax(-1)
    change = change * (batch.limit / size.clamp(min=1e-30)).clamp(max=1).unsqueeze(-1)
    change = torch.where(moving.unsqueeze(-1), change, 0)
    X = batch.X + change
    if project is not None:
        X = torch.where(moving.unsqueeze(-1), project(X), batch.X)
    f, g = _evaluate(value, X)
    better = moving & (f <= batch.f)
    worse = moving & ~better
    s, y = X - batch.X, g - batch.g
    curvature = (s * y).sum(-1)
    sizes = torch.linalg.vector_norm(s, dim=-1) * torch.linalg.vector_norm(y, dim=-1)
    useful = moving & f.isfinite() & (curvature > CURVATURE * sizes)
    batch.S[slot] = torch.where(useful.unsqueeze(-1), s, 0)
    batch.Y[slot] = torch.where(useful.unsqueeze(-1), y, 0)
    batch.rho[slot] = torch.where(useful, 1 / curvature.clamp(min=1e-30), 0)
    others = torch.arange(HISTORY, device=X.device).unsqueeze(-1) != slot
    batch.rho = torch.where(worse & others, 0, batch.rho)
    batch.X = torch.where(better.unsqueeze(-1), X, batch.X)
    batch.f = torch.where(better, f, batch.f)
    batch.g = torch.where(better.unsqueeze(-1), g, batch.g)
    limit = torch.where(better, batch.limit * GROW, batch.limit * SHRINK)
    batch.limit = torch.where(moving, limit.clamp(max=largest), batch.limit)


def _direction(batch: _Batch, slot: int) -> Tensor:
    """Return minus the inverse Hessian times the gradient, `[b, d]`.

    `slot` is where the next pair goes, so the newest one is just before it.
    """
    order = [(slot - 1 - k) % HISTORY for k in range(HISTORY)]  # newest first
    q = batch.g
    alphas = []
    for k in order:
        alpha = batch.rho[k] * (batch.S[k] * q).sum(-1)
        q = q - alpha.unsqueeze(-1) * batch.Y[k]
        alphas.append(alpha)
    q = q * _scale(batch, order).unsqueeze(-1)
    for k, alpha in zip(reversed(order), reversed(alphas), strict=True):
        beta = batch.rho[k] * (batch.Y[k] * q).sum(-1)
        q = q + (alpha - beta).unsqueeze(-1) * batch.S[k]
    return -q


def _scale(batch: _Batch, order: list[int]) -> Tensor:
    """Return the first guess of the inverse curvature, `[b]`, from the newest pair."""
    squares = batch.Y.square().sum(-1)  # [h, b]
    guesses = 1 / (batch.rho * squares).clamp(min=1e-30)
    scale = torch.zeros_like(batch.f)
    for k in reversed(order):
        scale = torch.where(batch.rho[k] > 0, guesses[k], scale)
    steepest = batch.limit / batch.g.abs().amax(-1).clamp(min=1e-30) / 2
    return torch.where(scale > 0, scale, steepest)
