"""The acquisition as a search sees it, and the choice of a batch by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, cast, final

import torch
from torch import Tensor

from bostruct.acquisition import Acquisition, AcquisitionContext
from bostruct.campaign.atom_matching import is_duplicate
from bostruct.campaign.components import CampaignComponents, CandidateSearch
from bostruct.campaign.planning.adaptive_kappa import SupportsKappaScaling
from bostruct.campaign.planning.pending_candidates import with_pending
from bostruct.campaign.planning.search_effort import SupportsEffort
from bostruct.candidates import Candidates, select_top
from bostruct.runtime.rng import generator_for
from bostruct.spaces import DiscreteSpace, Space

MAX_SAMPLING_ROUNDS = 20
"""Rounds of random sampling before a space counts as exhausted."""

CHUNK_SIZE = 256
"""Candidates that a model looks at together, of which there may be thousands."""

MAX_RESCORED_CANDIDATES = 2048
"""Candidates, the best at first, that are weighed again after each choice."""


@dataclass(frozen=True)
class StepContext:
    """One step to be planned.

    Args:
        components: What the campaign is made of.
        seed: Of the campaign.
        device: Of the tensor work.
        step: Its number.
        q: How many trials it chooses.
        effort: How thorough its search is; see `effort`.
        kappa_factor: How much of its weight the uncertainty gets; see `history`.
    """

    components: CampaignComponents
    seed: int
    device: torch.device
    step: int
    q: int
    effort: int = 0
    kappa_factor: float = 1.0

    @property
    def acquisition(self) -> Acquisition:
        """The campaign's, tempered."""
        own = self.components.acquisition
        if isinstance(own, SupportsKappaScaling):
            own = own.scaled(self.kappa_factor)
        return cast("Acquisition", own)

    @property
    def search(self) -> CandidateSearch:
        """The campaign's search, as thorough as the step's level."""
        own = self.components.search
        return own.with_effort(self.effort) if isinstance(own, SupportsEffort) else own

    def generator_for(self, purpose: str) -> torch.Generator:
        """Return the generator of this step for one purpose."""
        return generator_for(self.seed, self.step, purpose)


class SupportsPending(Protocol):
    """An acquisition that can be asked again, with more structures pending."""

    def __call__(self, X: Tensor) -> Tensor:
        """Return the acquisition of each of X `[b, d]`, larger is better."""
        ...

    def with_pending(self, X: Tensor) -> Self:
        """Return the acquisition once `X [k, d]` are being evaluated, too."""
        ...


@final
class BatchAcquisition:
    """The acquisition function of a step: `X [b, d] -> [b]`, larger is better.

    Args:
        acquisition: The acquisition.
        context: Model, data and pending candidates.
    """

    def __init__(self, acquisition: Acquisition, context: AcquisitionContext) -> None:
        self.acquisition, self.context = acquisition, context
        self._function = acquisition.build(context)

    def __call__(self, X: Tensor) -> Tensor:
        """Return the acquisition value of each structure, differentiable in X."""
        values: Tensor = self._function(X.unsqueeze(-2))
        return values

    def with_pending(self, X: Tensor) -> BatchAcquisition:
        """Return the acquisition function once `X [p, d]` are under evaluation, too."""
        return BatchAcquisition(self.acquisition, with_pending(self.acquisition, self.context, X))


def evaluate_in_chunks(
    function: Callable[[Tensor], Tensor], X: Tensor, chunk_size: int = CHUNK_SIZE
) -> Tensor:
    """Return a function of each of X `[c, d]`, `[c, ...]`, so many at a time."""
    with torch.no_grad():
        return torch.cat([function(part) for part in X.split(chunk_size)])


def sample_new(
    space: Space, count: int, generator: torch.Generator, X_excluded: Sequence[Tensor]
) -> Tensor:
    """Return up to `count` random structures that are new, `[<= count, d]`."""
    found: list[Tensor] = []
    for _ in range(MAX_SAMPLING_ROUNDS):
        X = space.sample(count - len(found), generator)
        if isinstance(space, DiscreteSpace):
            X = space.canonical(X)
        for x, valid in zip(X, space.contains(X), strict=True):
            if valid and not is_duplicate(space, x, [*X_excluded, *found]):
                found.append(x)
        if len(found) == count:
            break
    empty = torch.zeros(0, space.dimension, dtype=torch.float64)
    return torch.stack(found) if found else empty


def select_batch(
    context: StepContext,
    candidates: Candidates,
    acquisition: SupportsPending,
    X_evaluated: Tensor,
    is_relaxed: Tensor | None = None,
    allow_resample: Tensor | None = None,
) -> tuple[Candidates, list[int], list[float]]:
    """Choose `q` candidates one after the other, each as if the others were pending.

    Where too few may be chosen, random structures that are new take their place.

    Args:
        context: The step.
        candidates: What the search found.
        acquisition: The acquisition.
        X_evaluated: `[t, d]` what was asked for before.
        is_relaxed: `[t]` bool, which of it is not worth another look nearby.
        allow_resample: `[c]` bool, which candidates are worth one all the same.

    Returns:
        The candidates, random ones added; the rows chosen; their values when chosen.
    """
    chosen: list[int] = []
    values: list[float] = []
    current = candidates
    alike = torch.zeros_like(candidates.acq_value, dtype=torch.bool)
    first = candidates.acq_value.nan_to_num(nan=-torch.inf)
    short = first.argsort(descending=True, stable=True)[:MAX_RESCORED_CANDIDATES].sort().values
    while len(chosen) < context.q:
        picks = select_top(
            current,
            1,
            space=context.components.space,
            X_evaluated=X_evaluated,
            is_relaxed=is_relaxed,
            allow_resample=allow_resample,
        )
        if len(picks) == 0:
            missing = context.q - len(chosen)
            taken = torch.cat([X_evaluated, candidates.X[chosen]])
            candidates = _add_random_candidates(context, candidates, acquisition, taken, missing)
            rows = range(len(current.X), len(candidates.X))
            chosen.extend(rows)
            values.extend(candidates.acq_value[len(current.X) :].tolist())
            break
        pick = int(picks[0])
        chosen.append(pick)
        values.append(float(current.acq_value[pick]))
        if len(chosen) < context.q:
            acquisition = acquisition.with_pending(candidates.X[pick : pick + 1])
            alike |= context.components.space.is_duplicate(candidates.X, candidates.X[pick])
            worth = torch.full_like(candidates.acq_value, -torch.inf)
            worth[short] = evaluate_in_chunks(acquisition, candidates.X[short])
            worth[alike] = -torch.inf
            current = replace(current, acq_value=worth)
    return candidates, chosen, values


def _add_random_candidates(
    context: StepContext,
    candidates: Candidates,
    acquisition: SupportsPending,
    X_excluded: Tensor,
    count: int,
) -> Candidates:
    """Return the candidates with up to `count` new random structures behind them."""
    seen = list(X_excluded.cpu())
    X = sample_new(context.components.space, count, context.generator_for("fallback"), seen).to(
        candidates.X
    )
    n = len(X)
    if n == 0:
        return candidates
    with torch.no_grad():
        worth = acquisition(X)
    return Candidates(
        X=torch.cat([candidates.X, X]),
        acq_value=torch.cat([candidates.acq_value, worth]),
        generator_names=[*candidates.generator_names, *["random"] * n],
        n_steps=torch.cat([candidates.n_steps, candidates.n_steps.new_zeros(n)]),
        converged=torch.cat([candidates.converged, candidates.converged.new_ones(n)]),
    )
