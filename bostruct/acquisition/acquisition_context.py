"""Model, data and pending candidates that an acquisition function is built on.

Notation
    X_baseline       [t, d]            coordinates of the evaluated structures
    Y                [t] or [t, 1]     their energies, eV; with several objectives
                     [t, k]            their outcomes, NaN where unknown
    X_pending        [p, d]            coordinates of the structures under evaluation
    reference_point  [m]               utilities below which nothing counts
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import final

from botorch.models.model import Model
from torch import Tensor

from bostruct.errors import InputError, check_shape, error_message
from bostruct.objectives.optimization_config import OptimizationConfig


@final
@dataclass(frozen=True, eq=False)
class AcquisitionContext:
    """Model, data and pending candidates of one step.

    An acquisition of one energy needs `model` and, if it compares energies, `best_f`; the noisy
    forms need `X_baseline`. An acquisition of several objectives needs `X_baseline`, `Y`,
    `optimization_config`, `reference_point` and `modeled_outcomes`.

    Args:
        model: A fitted BoTorch model of the energy, eV, or of `modeled_outcomes` in their order.
        X_baseline: `[t, d]` coordinates of the evaluated structures.
        Y: `[t]` or `[t, 1]` their energies, eV; with several objectives `[t, k]` their outcomes in
            the order of `optimization_config`, NaN where unknown.
        best_f: The lowest energy evaluated so far, eV.
        X_pending: `[p, d]` coordinates of the structures under evaluation; none of them is None.
        seed: Seed of the Monte-Carlo samples. Equal seeds give equal values.
        optimization_config: Objectives and constraints; None for the energy alone.
        reference_point: `[m]` utilities, see `infer_reference_point`.
        modeled_outcomes: The names of the outcomes that the model predicts.
        deterministic_outcomes: The other outcomes, known exactly: `X [..., d]` to `[..., e]` in the
            order of `optimization_config`. None if the model predicts all outcomes.

    Raises:
        InputError: Several objectives without data or reference point, `modeled_outcomes` that name
            something else, or `deterministic_outcomes` that do not complete them.
        ShapeError: A tensor of the wrong shape.

    >>> from bostruct.acquisition import LogExpectedImprovement
    >>> context = AcquisitionContext(model, best_f=-12.3)  # doctest: +SKIP
    >>> LogExpectedImprovement().build(context)(X)  # doctest: +SKIP
    """

    model: Model
    _: KW_ONLY
    X_baseline: Tensor | None = None
    Y: Tensor | None = None
    best_f: float | None = None
    X_pending: Tensor | None = None
    seed: int = 0
    optimization_config: OptimizationConfig | None = None
    reference_point: Tensor | None = None
    modeled_outcomes: tuple[str, ...] = ()
    deterministic_outcomes: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.X_pending is not None and self.X_pending.numel() == 0:
            object.__setattr__(self, "X_pending", None)
        if self.optimization_config is not None:
            self._check_outcomes(self.optimization_config)
        elif self.X_baseline is not None and self.Y is not None:
            shape = [len(self.X_baseline), *[1] * (self.Y.dim() == 2)]
            check_shape("Y", self.Y, shape, "An energy per row of X_baseline.")

    def _check_outcomes(self, optimization_config: OptimizationConfig) -> None:
        names, modeled = optimization_config.outcome_names, self.modeled_outcomes
        for name in ("X_baseline", "Y", "reference_point"):
            if getattr(self, name) is None:
                condition = "be given with an optimization_config"
                raise InputError(error_message(name, condition, None))
        assert self.X_baseline is not None
        assert self.Y is not None
        assert self.reference_point is not None
        if len(set(modeled)) != len(modeled) or set(modeled) - set(names):
            condition = "name different outcomes of the optimization_config"
            way_out = f"It has {list(names)}."
            raise InputError(error_message("modeled_outcomes", condition, list(modeled), way_out))
        rest = [name for name in names if name not in modeled]
        if (self.deterministic_outcomes is None) != (not rest):
            condition = "be a function of X exactly if the model lacks outcomes"
            way_out = f"Not modeled: {rest}."
            value = self.deterministic_outcomes
            raise InputError(error_message("deterministic_outcomes", condition, value, way_out))
        if self.model.num_outputs != len(modeled):
            condition = f"have an output per modeled outcome, {list(modeled)}"
            n_outputs = f"{self.model.num_outputs} outputs"
            raise InputError(error_message("model", condition, n_outputs, "In the same order."))
        check_shape("Y", self.Y, [len(self.X_baseline), len(names)], "A row per row of X_baseline.")
        m = len(optimization_config.objectives)
        check_shape("reference_point", self.reference_point, [m], "A utility per objective.")
