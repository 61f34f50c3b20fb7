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

from bostruct.acquisition.monte_carlo import sampler
from bostruct.acquisition.multi_objective.acquisition_context import Case
from bostruct.acquisition.multi_objective.deterministic_outcomes import Joined
from bostruct.objectives.pareto import complete, front

# The width of the step from good enough to not, as a share of an outcome's range. Wide
# steps have fat tails: at BoTorch's 1e-2 a structure that is certain to break a bound
# keeps 1e-4 of its worth, more than most others have late in a search.
STEP = 1e-6
# Where the outcome is exact, so is the bound, up to rounding in how it was computed.
STEP_EXACT = 1e-12
ROUNDING = 1e-9
# How many samples decide which observed structures may still be on the front.
PRUNING_SAMPLES = 256


@final
@dataclass(frozen=True, eq=False)
class Scaled:
    """One case, in BoTorch's terms.

    Args:
        case: What is believed and wanted.
    """

    case: Case

    @property
    def model(self) -> Model:
        """A model of all outcomes, the exact ones among them."""
        case = self.case
        if case.known is None and case.learnt == case.goals.names:
            return case.model
        return Joined(case.model, case.known, case.learnt, case.goals.names)

    @cached_property
    def spans(self) -> Tensor:
        """What each utility is divided by, `[m]`: ideal - reference.

        The ideal is the best of the feasible rows; else of the complete ones, else of
        all. Where nothing betters the reference, the range, or its size, stands in.
        """
        case = self.case
        utilities = case.goals.utilities(case.Y)  # [t, m]
        whole = complete(case.Y)
        found = []
        for j, reference in enumerate(case.reference.tolist()):
            u = utilities[:, j]
            known = u.isfinite()
            tiers = (whole & case.goals.feasible(case.Y), whole & known, known)
            ideals = [float(u[rows].max()) for rows in tiers if rows.any()]
            spans = [ideal - reference for ideal in ideals]
            if known.any():
                spans.append(float(u[known].max() - u[known].min()))
            spans += [abs(reference), 1.0]
            found.append(next(span for span in spans if span > 0))
        return case.reference.new_tensor(found)

    def utilities(self, Y: Tensor, X: Tensor | None = None) -> Tensor:
        """Return `[..., m]` of outcomes `Y [..., k]`: 0 at the reference, 1 ideal."""
        reference = self.case.reference.to(Y)
        return (self.case.goals.utilities(Y) - reference) / self.spans.to(Y)

    @cached_property
    def slack_spans(self) -> Tensor:
        """What each slack is divided by, `[c]`: the range of its outcome."""
        slacks = self.case.goals.slacks(self.case.Y)  # [t, c]
        found = []
        for column in slacks.T:
            some = column[column.isfinite()]
            spans = [1.0]
            if len(some):
                spans = [float(some.max() - some.min()), float(some.abs().max()), 1.0]
            found.append(next(span for span in spans if span > 0))
        return slacks.new_tensor(found)

    def exact(self) -> list[bool]:
        """Return whether the outcome of each slack is known without a model, `[c]`."""
        return [
            part.name not in self.case.learnt
            for part in self.case.goals.constraints
            for _ in part.slack_names
        ]

    def constraints(self) -> dict[str, Any]:
        """Return the arguments that BoTorch's Monte-Carlo forms take for constraints.

        `eta` is a width per bound. An exact outcome that is equal to its bound, up to
        rounding, is good enough with weight 1 and not with 1/2.
        """
        exact = self.exact()
        if not exact:
            return {}
        spans = self.slack_spans.tolist()

        def slack(Y: Tensor, i: int) -> Tensor:
            column: Tensor = self.case.goals.slacks(Y)[..., i] / spans[i]
            return column - ROUNDING if exact[i] else column

        calls: list[Callable[[Tensor], Tensor]] = [
            partial(slack, i=i) for i in range(len(exact))
        ]
        widths = [STEP_EXACT if sure else STEP for sure in exact]
        return {"constraints": calls, "eta": self.case.Y.new_tensor(widths)}

    def objective(self) -> GenericMCMultiOutputObjective:
        """Return what turns sampled outcomes `[s, b, q, k]` into `[s, b, q, m]`."""
        return GenericMCMultiOutputObjective(self.utilities)

    def only(self) -> GenericMCObjective:
        """Return what turns them into `[s, b, q]` where there is one objective."""
        return GenericMCObjective(lambda Y, X=None: self.utilities(Y)[..., 0])

    def front(self) -> Tensor:
        """Return the observed front before the reference, `[f, m]` scaled utilities."""
        rows = front(self.case.Y, self.case.goals)
        utilities = self.utilities(self.case.Y[rows])
        return utilities[(utilities > 0).all(dim=-1)]

    def boxes(self, stretch: float = 1.0) -> FastNondominatedPartitioning:
        """Return the boxes of what would be new; one, above 0, without a front."""
        points = stretch * self.front()
        return FastNondominatedPartitioning(points.new_zeros(points.shape[-1]), points)

    def best(self) -> Tensor:
        """Return the best feasible scaled utility, `[]`; 0 if none betters that."""
        points = self.front()
        return points.max() if len(points) else points.new_zeros(())

    def baseline(self) -> Tensor:
        """Return the complete `X [<= t, d]` that may be on the front, in order.

        What is pruned is on the front of none of many posterior samples. BoTorch's own
        pruning draws its seed from the global generator; this one does not.
        """
        X = self.case.X[complete(self.case.Y)]
        if not len(X):
            return X
        arguments = self.constraints()
        with torch.no_grad():
            draw = sampler(PRUNING_SAMPLES, self.case.seed)
            Y = draw(self.model.posterior(X))  # [s, t, k]
            utilities = self.utilities(Y)
            good = (utilities > 0).all(dim=-1)
            for slack in arguments.get("constraints", ()):
                good &= slack(Y) <= 0
            utilities = utilities.masked_fill(~good.unsqueeze(-1), -math.inf)
            best = is_non_dominated(utilities, deduplicate=False) & good
        kept: Tensor = X[best.any(dim=0)]
        return kept

    def looked_at(self) -> tuple[Tensor, Tensor | None]:
        """Return the baseline and the pending candidates.

        Without a baseline the pending ones are it: the noisy forms believe of both
        what the model does.
        """
        X, pending = self.baseline(), self.pending()
        if not len(X) and pending is not None:
            return pending, None
        return X, pending

    def pending(self) -> Tensor | None:
        """Return what is being evaluated, `[p, d]`, or None."""
        pending = self.case.pending
        return None if pending is None or pending.numel() == 0 else pending


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
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
