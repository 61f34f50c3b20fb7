"""Normalized utilities, constraint slacks, boxes and baseline that BoTorch gets.

BoTorch smooths steps and kinks by absolute amounts: 1e-6 of an objective, 1e-2 of the
largest of several. In eV and GPa these are different things. So every objective is
given to it as

    (utility - reference) / (ideal - reference)

which is 0 at the reference point and 1 at the best value evaluated, and every slack as
a fraction of the range of its outcome. This is done here and nowhere else. Values of
hypervolume are then fractions of the box between the two points.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, final

import torch
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.models.model import Model
from botorch.utils.multi_objective.box_decompositions.non_dominated import (
    FastNondominatedPartitioning,
)
from botorch.utils.multi_objective.pareto import is_non_dominated
from torch import Tensor

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.botorch_internals import check_botorch_internal
from bostruct.acquisition.monte_carlo import sobol_sampler
from bostruct.acquisition.multi_objective.deterministic_outcomes import (
    DeterministicOutcomesModel,
)
from bostruct.objectives.optimization_config import OptimizationConfig
from bostruct.objectives.pareto import is_complete, pareto_front

CONSTRAINT_ETA = 1e-6
"""Width of the step from feasible to infeasible, as a fraction of an outcome's range. Wide
steps have fat tails: at BoTorch's 1e-2 a structure that is certain to break a bound keeps
1e-4 of its value, more than most others have late in a search."""

DETERMINISTIC_CONSTRAINT_ETA = 1e-12
"""Width of that step where the outcome is exact, and so is the bound."""

ROUNDING_TOLERANCE = 1e-9
"""Rounding error of an exact outcome, as a fraction of its range."""

N_PRUNING_SAMPLES = 256
"""Posterior samples that decide which evaluated structures may be on the front."""


@final
@dataclass(frozen=True, eq=False)
class NormalizedContext:
    """A context of several objectives in normalized utilities and slacks.

    Args:
        context: Model and data, with an optimization config.
    """

    context: AcquisitionContext

    @property
    def optimization_config(self) -> OptimizationConfig:
        """Objectives and constraints."""
        assert self.context.optimization_config is not None
        return self.context.optimization_config

    @property
    def Y(self) -> Tensor:  # noqa: N802 - BoTorch's name
        """`[t, k]` outcomes of the evaluated structures, NaN where unknown."""
        assert self.context.Y is not None
        return self.context.Y

    @property
    def reference_point(self) -> Tensor:
        """`[m]` utilities below which nothing counts."""
        assert self.context.reference_point is not None
        return self.context.reference_point

    @property
    def n_objectives(self) -> int:
        """The number of objectives, `m`."""
        return len(self.reference_point)

    @property
    def model(self) -> Model:
        """A model of all outcomes, the exact ones among them."""
        context, names = self.context, self.optimization_config.outcome_names
        if context.deterministic_outcomes is None and context.modeled_outcomes == names:
            return context.model
        return DeterministicOutcomesModel(
            context.model, context.deterministic_outcomes, context.modeled_outcomes, names
        )

    @cached_property
    def utility_ranges(self) -> Tensor:
        """The divisor of each utility, `[m]`: ideal - reference.

        The ideal is the best of the feasible rows; else of the complete ones, else of
        all. Where nothing betters the reference, the range, or its size, stands in.
        """
        utilities = self.optimization_config.utilities(self.Y)  # [t, m]
        complete, ranges = is_complete(self.Y), []
        feasible = complete & self.optimization_config.is_feasible(self.Y)
        for j, reference in enumerate(self.reference_point.tolist()):
            u = utilities[:, j]
            known = u.isfinite()
            tiers = (feasible, complete & known, known)
            spans = [float(u[rows].max()) - reference for rows in tiers if rows.any()]
            if known.any():
                spans.append(float(u[known].max() - u[known].min()))
            spans += [abs(reference), 1.0]
            ranges.append(next(span for span in spans if span > 0))
        return self.reference_point.new_tensor(ranges)

    def normalized_utilities(self, Y: Tensor, X: Tensor | None = None) -> Tensor:
        """Return `[..., m]` of outcomes `Y [..., k]`: 0 at the reference, 1 ideal."""
        reference = self.reference_point.to(Y)
        utilities = self.optimization_config.utilities(Y)
        return (utilities - reference) / self.utility_ranges.to(Y)

    @cached_property
    def constraint_ranges(self) -> Tensor:
        """The divisor of each slack, `[c]`: the range of its outcome."""
        slacks = self.optimization_config.constraint_values(self.Y)  # [t, c]
        ranges = []
        for column in slacks.T:
            known = column[column.isfinite()]
            spans = [1.0]
            if len(known):
                spans = [float(known.max() - known.min()), float(known.abs().max()), 1.0]
            ranges.append(next(span for span in spans if span > 0))
        return slacks.new_tensor(ranges)

    def deterministic_constraints(self) -> list[bool]:
        """Return whether the outcome of each slack is known without a model, `[c]`."""
        return [
            part.name not in self.context.modeled_outcomes
            for part in self.optimization_config.constraints
            for _ in part.constraint_labels
        ]

    def constraint_arguments(self) -> dict[str, Any]:
        """Return the constraint arguments of BoTorch's Monte-Carlo acquisition functions.

        `eta` is a width per bound. An exact outcome that is equal to its bound, up to
        rounding, is feasible with weight 1 and not with 1/2.
        """
        exact = self.deterministic_constraints()
        if not exact:
            return {}
        spans = self.constraint_ranges.tolist()

        def slack(Y: Tensor, i: int) -> Tensor:
            column: Tensor = self.optimization_config.constraint_values(Y)[..., i] / spans[i]
            return column - ROUNDING_TOLERANCE if exact[i] else column

        slacks: list[Callable[[Tensor], Tensor]] = [partial(slack, i=i) for i in range(len(exact))]
        widths = [DETERMINISTIC_CONSTRAINT_ETA if sure else CONSTRAINT_ETA for sure in exact]
        return {"constraints": slacks, "eta": self.Y.new_tensor(widths)}

    def multi_output_objective(self) -> GenericMCMultiOutputObjective:
        """Return the objectives `[s, b, q, m]` of sampled outcomes `[s, b, q, k]`."""
        return GenericMCMultiOutputObjective(self.normalized_utilities)

    def scalar_objective(self) -> GenericMCObjective:
        """Return the one objective `[s, b, q]` of sampled outcomes `[s, b, q, k]`."""
        return GenericMCObjective(lambda Y, X=None: self.normalized_utilities(Y)[..., 0])

    def pareto_utilities(self) -> Tensor:
        """Return the evaluated front above the reference, `[f, m]` normalized utilities."""
        rows = pareto_front(self.Y, self.optimization_config)
        utilities = self.normalized_utilities(self.Y[rows])
        return utilities[(utilities > 0).all(dim=-1)]

    def box_decomposition(self, scale: float = 1.0) -> FastNondominatedPartitioning:
        """Return the boxes that the front does not dominate; one, above 0, without a front."""
        points = scale * self.pareto_utilities()
        return FastNondominatedPartitioning(points.new_zeros(points.shape[-1]), points)

    def best_f(self) -> Tensor:
        """Return the best feasible normalized utility, `[]`; 0 if none is larger."""
        points = self.pareto_utilities()
        return points.max() if len(points) else points.new_zeros(())

    def pruned_baseline(self) -> Tensor:
        """Return the completely known `X [<= t, d]` that may be on the front, in order.

        Those pruned are on the front of none of many posterior samples. BoTorch's own
        pruning draws its seed from the global generator; this one does not.
        """
        assert self.context.X_baseline is not None
        X = self.context.X_baseline[is_complete(self.Y)]
        if not len(X):
            return X
        with torch.no_grad():
            sampler = sobol_sampler(N_PRUNING_SAMPLES, self.context.seed)
            Y = sampler(self.model.posterior(X))  # [s, t, k]
            utilities = self.normalized_utilities(Y)
            feasible = (utilities > 0).all(dim=-1)
            for slack in self.constraint_arguments().get("constraints", ()):
                feasible &= slack(Y) <= 0
            utilities = utilities.masked_fill(~feasible.unsqueeze(-1), -math.inf)
            on_front = is_non_dominated(utilities, deduplicate=False) & feasible
        kept: Tensor = X[on_front.any(dim=0)]
        return kept

    def baseline_and_pending(self) -> tuple[Tensor, Tensor | None]:
        """Return the baseline and the pending candidates.

        Without a baseline the pending ones are it: the noisy forms take the posterior of both.
        """
        X, pending = self.pruned_baseline(), self.context.X_pending
        if not len(X) and pending is not None:
            return pending, None
        return X, pending


@contextlib.contextmanager
def without_compiled_kernel() -> Iterator[None]:
    """Build a hypervolume acquisition without calling a C++ compiler.

    BoTorch compiles a kernel for this machine when the first one is built: a minute,
    files in the user's home, a warning where there is no compiler, and values that
    differ in the last digits. A campaign would depend on the machine.

    Raises:
        InputError: This version of BoTorch does not let the kernel be switched off.
    """
    if not hasattr(logei, "_try_load_fused_kernel") and not hasattr(logei, "_C"):
        yield  # a version without the kernel
        return
    check_botorch_internal(logei, "_load_attempted")
    before, logei._load_attempted = logei._load_attempted, True
    try:
        yield
    finally:
        logei._load_attempted = before
