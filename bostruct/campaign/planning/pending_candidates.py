"""Contexts in which candidates are pending, for acquisitions with and without q-batches."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bostruct.acquisition import Acquisition, AcquisitionContext
from bostruct.acquisition.multi_objective.deterministic_outcomes import DeterministicOutcomesModel
from bostruct.surrogates import ConditionedModel, condition_on_observations


def with_pending(
    acquisition: Acquisition, context: AcquisitionContext, X: Tensor
) -> AcquisitionContext:
    """Return the context once `X [p, d]` are under evaluation, too.

    Acquisitions with q-batches take them as `X_pending`; for the others they become
    evaluated structures by `with_kriging_believer`.
    """
    if not acquisition.supports_q_batch:
        return with_kriging_believer(context, X)
    pending = X if context.X_pending is None else torch.cat([context.X_pending, X])
    return replace(context, X_pending=pending)


def with_kriging_believer(context: AcquisitionContext, X: Tensor) -> AcquisitionContext:
    """Return the context in which the outcomes at `X [p, d]` are their posterior means.

    This leaves the mean as it is and shrinks σ around X. With several objectives X joins the
    evaluated structures, so that a front is not improved twice by the same structure. Kriging
    believer: D. Ginsbourger, R. Le Riche, L. Carraro, in Computational Intelligence in Expensive
    Optimization Problems, Springer (2010), doi:10.1007/978-3-642-10701-6_6.
    """
    model, config = context.model, context.optimization_config
    if config is None:
        with torch.no_grad():
            mean = model.posterior(X).mean
            return replace(context, model=condition_on_observations(model, X, mean))
    assert context.X_baseline is not None
    assert context.Y is not None
    t = len(context.Y)
    if isinstance(model, ConditionedModel) and model.Y is None:  # condition once, on all of them
        t, X, model = t - len(model.X), torch.cat([model.X, X]), model.model
    joint = DeterministicOutcomesModel(
        model, context.deterministic_outcomes, context.modeled_outcomes, config.outcome_names
    )
    with torch.no_grad():
        mean = joint.posterior(X.unsqueeze(-2)).mean.squeeze(-2)
    return replace(
        context,
        model=ConditionedModel(model, X),
        X_baseline=torch.cat([context.X_baseline[:t], X.to(context.X_baseline)]),
        Y=torch.cat([context.Y[:t], mean.to(context.Y)]),
    )
