"""A case in the numbers BoTorch gets: scaled utilities, slacks, boxes and a baseline.

BoTorch smooths steps and kinks by absolute amounts: 1e-6 of an objective, 1e-2 of the
largest of several. In eV and GPa these are different things. So every objective is
given to it as

    (utility - reference) / (ideal - reference)

which is 0 at the reference point and 1 at the best value observed, and every slack as
a share of the range of its outcome. This is done here and nowhere else. Values of
hypervolume are then shares of the box between the two points.
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

from bostruct.acquisition.monte_carlo import sobol_sampler
from bostruct.acquisition.multi_objective.acquisition_context import AcquisitionContext
from bostruct.acquisition.multi_objective.deterministic_outcomes import (
    DeterministicOutcomesModel,
)
from bostruct.objectives.pareto import is_complete, pareto_front

# The width of the step from good enough to not, as a share of an outcome's range. Wide
# steps have fat tails: at BoTorch's 1e-2 a structure that is certain to break a bound
# keeps 1e-4 of its worth, more than most others have late in a search.
CONSTRAINT_ETA = 1e-6
# Where the outcome is exact, so is the bound, up to rounding in how it was computed.
DETERMINISTIC_CONSTRAINT_ETA = 1e-12
ROUNDING_TOLERANCE = 1e-9
# How many samples decide which observed structures may still be on the front.
N_PRUNING_SAMPLES = 256


@final
@dataclass(frozen=True, eq=False)
class NormalizedContext:
    """One case, in BoTorch's terms.

    Args:
        context: What is believed and wanted.
    """

    context: AcquisitionContext

    @property
    def model(self) -> Model:
        """A model of all outcomes, the exact ones among them."""
        case = self.context
        if (
            case.deterministic_outcomes is None
            and case.modeled_outcomes == case.optimization_config.outcome_names
        ):
            return case.model
        return DeterministicOutcomesModel(
            case.model,
            case.deterministic_outcomes,
            case.modeled_outcomes,
            case.optimization_config.outcome_names,
        )

    @cached_property
    def utility_ranges(self) -> Tensor:
        """What each utility is divided by, `[m]`: ideal - reference.

        The ideal is the best of the feasible rows; else of the complete ones, else of
        all. Where nothing betters the reference, the range, or its size, stands in.
        """
        case = self.context
        utilities = case.optimization_config.utilities(case.Y)  # [t, m]
        whole = is_complete(case.Y)
        found = []
        for j, reference in enumerate(case.reference_point.tolist()):
            u = utilities[:, j]
            known = u.isfinite()
            tiers = (
                whole & case.optimization_config.is_feasible(case.Y),
                whole & known,
                known,
            )
            ideals = [float(u[rows].max()) for rows in tiers if rows.any()]
            spans = [ideal - reference for ideal in ideals]
            if known.any():
                spans.append(float(u[known].max() - u[known].min()))
            spans += [abs(reference), 1.0]
            found.append(next(span for span in spans if span > 0))
        return case.reference_point.new_tensor(found)

    def normalized_utilities(self, Y: Tensor, X: Tensor | None = None) -> Tensor:
        """Return `[..., m]` of outcomes `Y [..., k]`: 0 at the reference, 1 ideal."""
        reference = self.context.reference_point.to(Y)
        return (self.context.optimization_config.utilities(Y) - reference) / self.utility_ranges.to(
            Y
        )

    @cached_property
    def constraint_ranges(self) -> Tensor:
        """What each slack is divided by, `[c]`: the range of its outcome."""
        slacks = self.context.optimization_config.constraint_values(self.context.Y)  # [t, c]
        found = []
        for column in slacks.T:
            some = column[column.isfinite()]
            spans = [1.0]
            if len(some):
                spans = [float(some.max() - some.min()), float(some.abs().max()), 1.0]
            found.append(next(span for span in spans if span > 0))
        return slacks.new_tensor(found)

    def deterministic_constraints(self) -> list[bool]:
        """Return whether the outcome of each slack is known without a model, `[c]`."""
        return [
            part.name not in self.context.modeled_outcomes
            for part in self.context.optimization_config.constraints
            for _ in part.constraint_labels
        ]

    def constraint_arguments(self) -> dict[str, Any]:
        """Return the arguments that BoTorch's Monte-Carlo forms take for constraints.

        `eta` is a width per bound. An exact outcome that is equal to its bound, up to
        rounding, is good enough with weight 1 and not with 1/2.
        """
        exact = self.deterministic_constraints()
        if not exact:
            return {}
        spans = self.constraint_ranges.tolist()

        def slack(Y: Tensor, i: int) -> Tensor:
            column: Tensor = (
                self.context.optimization_config.constraint_values(Y)[..., i] / spans[i]
            )
            return column - ROUNDING_TOLERANCE if exact[i] else column

        calls: list[Callable[[Tensor], Tensor]] = [partial(slack, i=i) for i in range(len(exact))]
        widths = [DETERMINISTIC_CONSTRAINT_ETA if sure else CONSTRAINT_ETA for sure in exact]
        return {"constraints": calls, "eta": self.context.Y.new_tensor(widths)}

    def multi_output_objective(self) -> GenericMCMultiOutputObjective:
        """Return what turns sampled outcomes `[s, b, q, k]` into `[s, b, q, m]`."""
        return GenericMCMultiOutputObjective(self.normalized_utilities)

    def scalar_objective(self) -> GenericMCObjective:
        """Return what turns them into `[s, b, q]` where there is one objective."""
        return GenericMCObjective(lambda Y, X=None: self.normalized_utilities(Y)[..., 0])

    def pareto_utilities(self) -> Tensor:
        """Return the observed front before the reference, `[f, m]` scaled utilities."""
        rows = pareto_front(self.context.Y, self.context.optimization_config)
        utilities = self.normalized_utilities(self.context.Y[rows])
        return utilities[(utilities > 0).all(dim=-1)]

    def box_decomposition(self, scale: float = 1.0) -> FastNondominatedPartitioning:
        """Return the boxes of what would be new; one, above 0, without a front."""
        points = scale * self.pareto_utilities()
        return FastNondominatedPartitioning(points.new_zeros(points.shape[-1]), points)

    def best_f(self) -> Tensor:
        """Return the best feasible scaled utility, `[]`; 0 if none betters that."""
        points = self.pareto_utilities()
        return points.max() if len(points) else points.new_zeros(())

    def pruned_baseline(self) -> Tensor:
        """Return the complete `X [<= t, d]` that may be on the front, in order.

        What is pruned is on the front of none of many posterior samples. BoTorch's own
        pruning draws its seed from the global generator; this one does not.
        """
        X = self.context.X[is_complete(self.context.Y)]
        if not len(X):
            return X
        arguments = self.constraint_arguments()
        with torch.no_grad():
            draw = sobol_sampler(N_PRUNING_SAMPLES, self.context.seed)
            Y = draw(self.model.posterior(X))  # [s, t, k]
            utilities = self.normalized_utilities(Y)
            good = (utilities > 0).all(dim=-1)
            for slack in arguments.get("constraints", ()):
                good &= slack(Y) <= 0
            utilities = utilities.masked_fill(~good.unsqueeze(-1), -math.inf)
            best = is_non_dominated(utilities, deduplicate=False) & good
        kept: Tensor = X[best.any(dim=0)]
        return kept

    def baseline_and_pending(self) -> tuple[Tensor, Tensor | None]:
        """Return the baseline and the pending candidates.

        Without a baseline the pending ones are it: the noisy forms believe of both
        what the model does.
        """
        X, pending = self.pruned_baseline(), self.X_pending()
        if not len(X) and pending is not None:
            return pending, None
        return X, pending

    def X_pending(self) -> Tensor | None:
        """Return what is being evaluated, `[p, d]`, or None."""
        pending = self.context.X_pending
        return None if pending is None or pending.numel() == 0 else pending


@contextlib.contextmanager
def without_compiled_kernel() -> Iterator[None]:
    """Build a hypervolume acquisition without calling a C++ compiler.

    BoTorch compiles a kernel for this machine when the first one is built: a minute,
    files in the user's home, a warning where there is no compiler, and values that
    differ in the last digits. A campaign would depend on the machine.
    """
    before = getattr(logei, "_load_attempted", True)
    logei._load_attempted = True
    try:
        yield
    finally:
        logei._load_attempted = before
