"""The acquisition as a search sees it, and the choice of a batch by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, cast

import torch
from torch import Tensor

from bostruct.acquisition import Acquisition
from bostruct.campaign.atom_matching import among
from bostruct.campaign.components import Finder, Parts
from bostruct.campaign.planning.adaptive_kappa import Tempers
from bostruct.campaign.planning.search_effort import Scales
from bostruct.candidates import Candidates, choose
from bostruct.runtime.rng import number, stream
from bostruct.spaces import Discrete, Space
from bostruct.surrogates import FittedModel, condition

TRIES = 20
"""Rounds of random sampling before a space counts as exhausted."""

CHUNK = 256
"""Candidates that a model looks at together, of which there may be thousands."""

SHORT = 2048
"""Candidates, the best at first, that are weighed again after each choice."""


@dataclass(frozen=True)
class Task:
    """One step to be planned.

    Args:
        parts: What the campaign is made of.
        seed: Of the campaign.
        device: Of the tensor work.
        step: Its number.
        q: How many trials it chooses.
        level: How thorough its search is; see `effort`.
        boldness: How much of its weight the uncertainty gets; see `history`.
    """

    parts: Parts
    seed: int
    device: torch.device
    step: int
    q: int
    level: int = 0
    boldness: float = 1.0

    @property
    def acquisition(self) -> Acquisition:
        """The campaign's, tempered."""
        own = self.parts.acquisition
        if isinstance(own, Tempers):
            own = own.tempered(self.boldness)
        return cast("Acquisition", own)

    @property
    def finder(self) -> Finder:
        """The campaign's search, as thorough as the step's level."""
        own = self.parts.search
        return own.at(self.level) if isinstance(own, Scales) else own

    def stream(self, purpose: str) -> torch.Generator:
        """Return the generator of this step for one purpose."""
        return stream(self.seed, self.step, purpose)


class Looks(Protocol):
    """An acquisition that can be asked again, with more structures pending."""

    def __call__(self, X: Tensor) -> Tensor:
        """Return the acquisition of each of X `[b, d]`, larger is better."""
        ...

    def after(self, X: Tensor) -> Self:
        """Return the acquisition once `X [k, d]` are being evaluated, too."""
        ...


class Value:
    """The acquisition: `X [b, d] -> [b]`, larger is better.

    Args:
        task: The step.
        model: What is believed.
        known: `[t, d]` what was evaluated.
        energies: `[t]` eV.
        pending: `[p, d]` what is being evaluated; for the joint forms.
    """

    def __init__(
        self,
        task: Task,
        model: FittedModel,
        known: Tensor,
        energies: Tensor,
        pending: Tensor | None = None,
    ) -> None:
        self._task, self._model = task, model
        self._known, self._energies, self._pending = known, energies, pending
        self._function = task.acquisition.build(
            model,
            float(energies.min()),
            observed=known,
            pending=pending,
            seed=number(task.seed, task.step, "acquisition", bits=31),
        )

    def __call__(self, X: Tensor) -> Tensor:
        """Return the acquisition of each structure, with its gradient if asked for."""
        values: Tensor = self._function(X.unsqueeze(-2))
        return values

    def after(self, X: Tensor) -> Self:
        """Return the acquisition once `X [k, d]` are being evaluated.

        The joint forms take them as pending; for the others the model believes its own
        mean there, which leaves the mean as it is and shrinks σ around them.
        """
        model, pending = self._model, None
        if self._task.parts.acquisition.joint:
            pending = X if self._pending is None else torch.cat([self._pending, X])
        else:
            with torch.no_grad():
                believed = model.posterior(X).mean
                model = condition(model, X, believed)
        return type(self)(self._task, model, self._known, self._energies, pending)


def each(function: Callable[[Tensor], Tensor], X: Tensor, chunk: int = CHUNK) -> Tensor:
    """Return a function of each of X `[c, d]`, `[c, ...]`, so many at a time."""
    with torch.no_grad():
        return torch.cat([function(part) for part in X.split(chunk)])


def fresh(
    space: Space, count: int, generator: torch.Generator, seen: Sequence[Tensor]
) -> Tensor:
    """Return up to `count` random structures that are new, `[<= count, d]`."""
    found: list[Tensor] = []
    for _ in range(TRIES):
        X = space.sample(count - len(found), generator)
        if isinstance(space, Discrete):
            X = space.canonical(X)
        for x, valid in zip(X, space.contains(X), strict=True):
            if valid and not among(space, x, [*seen, *found]):
                found.append(x)
        if len(found) == count:
            break
    empty = torch.zeros(0, space.dimension, dtype=torch.float64)
    return torch.stack(found) if found else empty


def choice(
    task: Task,
    candidates: Candidates,
    value: Looks,
    seen: Tensor,
    resting: Tensor | None = None,
    paying: Tensor | None = None,
) -> tuple[Candidates, list[int], list[float]]:
    """Choose `q` candidates one after the other, each as if the others were pending.

    Where too few may be chosen, random structures that are new take their place.

    Args:
        task: The step.
        candidates: What the search found.
        value: The acquisition.
        seen: `[t, d]` what was asked for before.
        resting: `[t]` bool, which of it is not worth another look nearby.
        paying: `[c]` bool, which candidates are worth one all the same.

    Returns:
        The candidates, random ones added; the rows chosen; their values when chosen.
    """
    chosen: list[int] = []
    values: list[float] = []
    current = candidates
    alike = torch.zeros_like(candidates.value, dtype=torch.bool)
    first = candidates.value.nan_to_num(nan=-torch.inf)
    short = first.argsort(descending=True, stable=True)[:SHORT].sort().values
    while len(chosen) < task.q:
        picks = choose(
            current,
            1,
            space=task.parts.space,
            seen=seen,
            resting=resting,
            paying=paying,
        )
        if len(picks) == 0:
            missing = task.q - len(chosen)
            taken = torch.cat([seen, candidates.X[chosen]])
            candidates = _with_random(task, candidates, value, taken, missing)
            rows = range(len(current.X), len(candidates.X))
            chosen.extend(rows)
            values.extend(candidates.value[len(current.X) :].tolist())
            break
        pick = int(picks[0])
        chosen.append(pick)
        values.append(float(current.value[pick]))
        if len(chosen) < task.q:
            value = value.after(candidates.X[pick : pick + 1])
            alike |= task.parts.space.same(candidates.X, candidates.X[pick])
            worth = torch.full_like(candidates.value, -torch.inf)
            worth[short] = each(value, candidates.X[short])
            worth[alike] = -torch.inf
            current = replace(current, value=worth)
    return candidates, chosen, values


def _with_random(
    task: Task, candidates: Candidates, value: Looks, taken: Tensor, count: int
) -> Candidates:
    """Return the candidates with up to `count` new random structures behind them."""
    seen = list(taken.cpu())
    X = fresh(task.parts.space, count, task.stream("fallback"), seen).to(candidates.X)
    n = len(X)
    if n == 0:
        return candidates
    with torch.no_grad():
        worth = value(X)
    return Candidates(
        X=torch.cat([candidates.X, X]),
        value=torch.cat([candidates.value, worth]),
        origin=[*candidates.origin, *["random"] * n],
        steps=torch.cat([candidates.steps, candidates.steps.new_zeros(n)]),
        converged=torch.cat([candidates.converged, candidates.converged.new_ones(n)]),
    )
