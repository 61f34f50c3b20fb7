"""L-BFGS ascent of a batch of structures, with a step limit per structure.

Notation
    b, d   structures, coordinates of each
    X      [b, d]      coordinates
    f, g   [b], [b, d] minus the acquisition, which is minimized, and its gradient
    S, Y   [h, b, d]   last h changes of X and of g;  rho [h, b] = 1 / (S . Y), 0 = void

Every structure has its own history, step limit and convergence; all share one call of the
function per step. A step that makes a structure worse is taken back, its limit
shrunk and its history forgotten. Two-loop recursion: Nocedal and Wright, Numerical
Optimization (2006), algorithm 7.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor

from bostruct.candidates.two_loop_numba import two_loop_recursion
from bostruct.errors import check_count, check_positive

AcquisitionCallable = Callable[[Tensor], Tensor]
"""An acquisition function, X `[b, d]` to `[b]`; larger is better."""


@runtime_checkable
class SupportsGradient(Protocol):
    """An acquisition function that gives its gradient itself."""

    def value_and_gradient(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values `[b]` and their gradients `[b, d]` at X `[b, d]`."""
        ...


HISTORY_SIZE = 8
"""Pairs of changes of X and of g that are kept."""

STEP_SHRINK_FACTOR, STEP_GROWTH_FACTOR = 0.4, 1.5
"""Factors on the step limit after a worse and after a better step."""

MIN_STEP_FRACTION = 1e-3
"""Fraction of `max_step` below which the step limit of a structure ends its relaxation."""

MIN_CURVATURE_COSINE = 1e-10
"""Least cosine between a change of X and of g with which a pair is kept."""

COMPACTION_FRACTION = 0.8
"""Fraction of the batch still moving below which the rest is put aside."""

CONVERGENCE_CHECK_INTERVAL = 4
"""Steps between two checks of which structures have ended; each waits for the device."""


@final
@dataclass(frozen=True, eq=False)
class RelaxationResult:
    """Relaxed structures of a batch.

    Attributes:
        X: `[b, d]` coordinates at the end.
        acq_value: `[b]` acquisition values, never less than at the start.
        n_steps: `[b]` int64, steps that each structure took.
        converged: `[b]` bool, whether its gradient fell below `fmax`.
    """

    X: Tensor
    acq_value: Tensor
    n_steps: Tensor
    converged: Tensor


@dataclass(eq=False)
class _LBFGSState:
    """The part of the batch that still moves."""

    index: Tensor  # [b] row in the whole batch
    X: Tensor
    f: Tensor
    g: Tensor
    max_step: Tensor  # [b] largest change of a coordinate in the next step
    S: Tensor
    Y: Tensor
    rho: Tensor

    def select(self, mask: Tensor) -> _LBFGSState:
        """Return the rows given by a boolean `[b]`."""
        return _LBFGSState(
            index=self.index[mask],
            X=self.X[mask],
            f=self.f[mask],
            g=self.g[mask],
            max_step=self.max_step[mask],
            S=self.S[:, mask],
            Y=self.Y[:, mask],
            rho=self.rho[:, mask],
        )


def relax(
    acq_function: AcquisitionCallable,
    X: Tensor,
    *,
    fmax: float = 0.05,
    max_steps: int = 100,
    max_step: float = 0.2,
    project: Callable[[Tensor], Tensor] | None = None,
    contains: Callable[[Tensor], Tensor] | None = None,
) -> RelaxationResult:
    """Climb to the nearest maxima of `acq_function`.

    Args:
        acq_function: the function to be maximized, differentiable.
        X: `[b, d]` the starts.
        fmax: the largest component of the gradient at convergence, in units of the value
            per unit of X: eV/Å for the lower confidence bound of an energy.
        max_steps: the most steps of each structure.
        max_step: the largest change of a coordinate in one step, in units of X: Å.
        project: a function that projects coordinates into the region.
        contains: a function that says which of X `[b, d]` are allowed, `[b]` bool; no step leads to
            others.

    Raises:
        InputError: A number is out of range.
    """
    check_positive("fmax", fmax)
    check_count("max_steps", max_steps, 0)
    check_positive("max_step", max_step)
    X = (X if project is None else project(X)).detach()
    f, g = value_and_gradient(acq_function, X)
    b, d = X.shape
    history = X.new_zeros(HISTORY_SIZE, b, d)
    batch = _LBFGSState(
        index=torch.arange(b, device=X.device),
        X=X,
        f=f,
        g=g,
        max_step=torch.full_like(f, max_step),
        S=history,
        Y=history.clone(),
        rho=X.new_zeros(HISTORY_SIZE, b),
    )
    end_X, end_f = X.clone(), f.clone()
    taken = torch.zeros(b, dtype=torch.int64, device=X.device)
    converged = torch.zeros(b, dtype=torch.bool, device=X.device)
    for turn in range(max_steps):
        rest = _is_converged(batch, fmax)
        moving = ~rest & batch.f.isfinite() & (batch.max_step > MIN_STEP_FRACTION * max_step)
        if turn % CONVERGENCE_CHECK_INTERVAL == 0:
            count = int(moving.sum())
            if count < COMPACTION_FRACTION * len(moving) or count == 0:
                _store_results(batch, end_X, end_f, converged, rest)
                batch, moving = batch.select(moving), moving[moving]
                if count == 0:
                    break
        taken[batch.index] += moving
        slot = turn % HISTORY_SIZE
        _lbfgs_step(batch, acq_function, moving, slot, max_step, project, contains)
    _store_results(batch, end_X, end_f, converged, _is_converged(batch, fmax))
    return RelaxationResult(end_X, -end_f, taken, converged)


def value_and_gradient(acq_function: AcquisitionCallable, X: Tensor) -> tuple[Tensor, Tensor]:
    """Return minus the value, infinite where it is not finite, and its gradient."""
    if isinstance(acq_function, SupportsGradient):
        value, gradient = acq_function.value_and_gradient(X)
    else:
        value, gradient = value_and_gradient_by_autograd(acq_function, X)
    f, g = -value, -gradient
    finite = f.isfinite() & g.isfinite().all(-1)
    return torch.where(finite, f, torch.inf), torch.where(finite.unsqueeze(-1), g, 0)


def value_and_gradient_by_autograd(
    acq_function: AcquisitionCallable, X: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the values `[b]` and their gradients `[b, d]` at X `[b, d]`."""
    X = X.detach().requires_grad_()
    with torch.enable_grad():
        value = acq_function(X)
        (gradient,) = torch.autograd.grad(value.sum(), X)
    return value.detach(), gradient


def _is_converged(state: _LBFGSState, fmax: float) -> Tensor:
    return state.f.isfinite() & (state.g.abs().amax(-1) < fmax)


def _store_results(
    state: _LBFGSState, X: Tensor, f: Tensor, converged: Tensor, is_converged: Tensor
) -> None:
    X[state.index], f[state.index], converged[state.index] = state.X, state.f, is_converged


def _lbfgs_step(
    state: _LBFGSState,
    acq_function: AcquisitionCallable,
    is_active: Tensor,
    history_slot: int,
    max_step: float,
    project: Callable[[Tensor], Tensor] | None,
    contains: Callable[[Tensor], Tensor] | None,
) -> None:
    """Take one step with every active structure; keep the steps that improve it."""
    change = _search_direction(state, history_slot)
    size = change.abs().amax(-1)
    change = change * (state.max_step / size.clamp(min=1e-30)).clamp(max=1).unsqueeze(-1)
    change = torch.where(is_active.unsqueeze(-1), change, 0)
    X = state.X + change
    if project is not None:
        X = torch.where(is_active.unsqueeze(-1), project(X), state.X)
    f, g = value_and_gradient(acq_function, X)
    better = is_active & (f <= state.f)
    if contains is not None:
        better &= contains(X)
    worse = is_active & ~better
    s, y = X - state.X, g - state.g
    curvature = (s * y).sum(-1)
    sizes = torch.linalg.vector_norm(s, dim=-1) * torch.linalg.vector_norm(y, dim=-1)
    useful = is_active & f.isfinite() & (curvature > MIN_CURVATURE_COSINE * sizes)
    state.S[history_slot] = torch.where(useful.unsqueeze(-1), s, 0)
    state.Y[history_slot] = torch.where(useful.unsqueeze(-1), y, 0)
    state.rho[history_slot] = torch.where(useful, 1 / curvature.clamp(min=1e-30), 0)
    others = torch.arange(HISTORY_SIZE, device=X.device).unsqueeze(-1) != history_slot
    state.rho = torch.where(worse & others, 0, state.rho)
    state.X = torch.where(better.unsqueeze(-1), X, state.X)
    state.f = torch.where(better, f, state.f)
    state.g = torch.where(better.unsqueeze(-1), g, state.g)
    limit = torch.where(
        better, state.max_step * STEP_GROWTH_FACTOR, state.max_step * STEP_SHRINK_FACTOR
    )
    state.max_step = torch.where(is_active, limit.clamp(max=max_step), state.max_step)


def _search_direction(state: _LBFGSState, history_slot: int) -> Tensor:
    """Return minus the inverse Hessian times the gradient, `[b, d]`.

    `history_slot` is where the next pair goes, so the newest one is just before it.
    """
    steepest = state.max_step / state.g.abs().amax(-1).clamp(min=1e-30) / 2
    if state.g.device.type == "cpu":
        direction = two_loop_recursion(
            state.g.numpy(),
            state.S.numpy(),
            state.Y.numpy(),
            state.rho.numpy(),
            steepest.numpy(),
            (history_slot - 1) % HISTORY_SIZE,
        )
        return torch.from_numpy(direction)
    return _search_direction_by_tensors(state, history_slot, steepest)


def _search_direction_by_tensors(state: _LBFGSState, history_slot: int, steepest: Tensor) -> Tensor:
    """Return what `two_loop_recursion` does, on any device."""
    order = [(history_slot - 1 - k) % HISTORY_SIZE for k in range(HISTORY_SIZE)]  # newest first
    q = state.g
    alphas = []
    for k in order:
        alpha = state.rho[k] * (state.S[k] * q).sum(-1)
        q = q - alpha.unsqueeze(-1) * state.Y[k]
        alphas.append(alpha)
    q = q * _initial_inverse_hessian(state, order, steepest).unsqueeze(-1)
    for k, alpha in zip(reversed(order), reversed(alphas), strict=True):
        beta = state.rho[k] * (state.Y[k] * q).sum(-1)
        q = q + (alpha - beta).unsqueeze(-1) * state.S[k]
    return -q


def _initial_inverse_hessian(state: _LBFGSState, order: list[int], steepest: Tensor) -> Tensor:
    """Return the first guess of the inverse curvature, `[b]`, from the newest pair."""
    squares = state.Y.square().sum(-1)  # [h, b]
    guesses = 1 / (state.rho * squares).clamp(min=1e-30)
    scale = torch.zeros_like(state.f)
    for k in reversed(order):
        scale = torch.where(state.rho[k] > 0, guesses[k], scale)
    return torch.where(scale > 0, scale, steepest)
