"""Greedy selection of a batch of candidates, each with the ones before it pending."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from bostruct.campaign.planning.batch_acquisition import BatchAcquisition
from bostruct.campaign.planning.posterior_tensors import evaluate_in_chunks
from bostruct.campaign.planning.random_structures import sample_new
from bostruct.campaign.planning.step_context import StepContext
from bostruct.candidates import Candidates, select_top

MAX_RESCORED_CANDIDATES = 2048
"""Candidates, the best at first, whose acquisition is computed again after each selection."""


def select_batch(
    step: StepContext,
    candidates: Candidates,
    acquisition: BatchAcquisition,
    X_evaluated: Tensor,
    is_lower: Tensor | None = None,
    allow_resample: Tensor | None = None,
    infeasible: Tensor | None = None,
    deferred: Tensor | None = None,
) -> tuple[Candidates, list[int], list[float]]:
    """Select `q` candidates one after the other, each as if the others were pending.

    Where too few are eligible, random structures that are no duplicates take their place.

    Args:
        step: The step.
        candidates: The candidates of the search.
        acquisition: The acquisition function.
        X_evaluated: `[t, d]` structures evaluated or pending.
        is_lower: `[c, t]` bool, which candidates are below which of them, as in `select_top`.
        allow_resample: `[c]` bool, which candidates may resample, as in `select_top`.
        infeasible: `[c]` bool, candidates that take no part; none by default.
        deferred: `[c]` bool, candidates that take part where no others are left; none by default.

    Returns:
        The candidates with random ones appended; the rows selected; their values when selected.
    """
    selected: list[int] = []
    values: list[float] = []
    current = candidates
    duplicates = torch.zeros_like(candidates.acq_value, dtype=torch.bool)
    if infeasible is not None:
        duplicates |= infeasible
        lowest = torch.where(infeasible, -torch.inf, candidates.acq_value)
        current = replace(candidates, acq_value=lowest)
    first = candidates.acq_value.nan_to_num(nan=-torch.inf)
    rescored = first.argsort(descending=True, stable=True)[:MAX_RESCORED_CANDIDATES].sort().values
    best = partial(
        select_top,
        q=1,
        space=step.components.space,
        X_evaluated=X_evaluated,
        is_lower=is_lower,
        allow_resample=allow_resample,
    )
    while len(selected) < step.q:
        rows = current.acq_value.new_zeros(0)
        if deferred is not None:
            first_choice = torch.where(deferred, -torch.inf, current.acq_value)
            rows = best(replace(current, acq_value=first_choice))
        if len(rows) == 0:
            rows = best(current)
        if len(rows) == 0:
            n_missing, n = step.q - len(selected), len(candidates)
            excluded = torch.cat([X_evaluated, candidates.X[selected]])
            candidates = _add_random_candidates(step, candidates, acquisition, excluded, n_missing)
            selected.extend(range(n, len(candidates)))
            values.extend(candidates.acq_value[n:].tolist())
            break
        row = int(rows[0])
        selected.append(row)
        values.append(float(current.acq_value[row]))
        if len(selected) < step.q:
            acquisition = acquisition.with_pending(candidates.X[row : row + 1])
            duplicates |= step.components.space.is_duplicate(candidates.X, candidates.X[row])
            acq_value = torch.full_like(candidates.acq_value, -torch.inf)
            acq_value[rescored] = evaluate_in_chunks(acquisition, candidates.X[rescored])
            acq_value[duplicates] = -torch.inf
            current = replace(current, acq_value=acq_value)
    return candidates, selected, values


def _add_random_candidates(
    step: StepContext,
    candidates: Candidates,
    acquisition: BatchAcquisition,
    X_excluded: Tensor,
    count: int,
) -> Candidates:
    """Return the candidates with up to `count` new random structures appended."""
    X = sample_new(
        step.components.space, count, step.generator_for("fallback"), X_excluded.cpu()
    ).to(candidates.X)
    n = len(X)
    if n == 0:
        return candidates
    with torch.no_grad():
        acq_value = acquisition(X)
    steps, converged = candidates.n_steps.new_zeros(n), candidates.converged.new_ones(n)
    return Candidates.cat([candidates, Candidates(X, acq_value, ["random"] * n, steps, converged)])
