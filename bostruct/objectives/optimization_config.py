"""Objectives with a direction, and constraints with bounds, on the outcomes of a structure.

Notation
    k   outcomes: every name of an objective or a constraint once
    m   objectives
    c   bounds of the constraints
    Y   [..., k]   outcome space: as measured, or log10 where the objective says so
    utility        larger is better
    slack          the amount by which a bound is broken; not positive is feasible

Measured values and bounds are raw, in the unit of the outcome. Everything a model
is fitted to, predicts or logs is in outcome space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, final

import torch
from torch import Tensor

from bostruct.errors import InputError, check_shape, error_message
from bostruct.runtime.callable_name import to_json_value

ValidRange = tuple[float | None, float | None]


def _check_term(term: Objective | Constraint, *bounds: str) -> None:
    """Refuse a name that is none, a bound or a reference that is not finite, or an empty range.

    Raises:
        InputError: One of them is so.
    """
    if not isinstance(term.name, str) or not term.name:
        way_out = "It is what the evaluator calls it, such as 'bulk_modulus_GPa'."
        condition = "be the name of an outcome"
        raise InputError(error_message("name", condition, repr(term.name), way_out))
    for bound in bounds:
        value = getattr(term, bound)
        if value is not None and not math.isfinite(value):
            way_out = "In the unit of the outcome; leave it out for none."
            raise InputError(error_message(bound, f"be finite for {term.name!r}", value, way_out))
    if term.valid_range is None:
        return
    ends = tuple(term.valid_range)
    numbers = [end for end in ends if end is not None]
    fits = len(ends) == 2 and all(map(math.isfinite, numbers))
    if not fits or (len(numbers) == 2 and not numbers[0] < numbers[1]):
        condition = f"be two ends for {term.name!r}, the lower first"
        way_out = "Raw values such as (0, 1000); None leaves an end open."
        raise InputError(error_message("valid_range", condition, term.valid_range, way_out))


@final
@dataclass(frozen=True)
class Objective:
    """An outcome to make as small or as large as possible.

    Args:
        name: The name of the outcome, as the evaluator or the space calls it.
        direction: "minimize" or "maximize". There is no default.
        unit: The unit of the raw value; only shown.
        log: True if it is modeled and compared as its log10, for values that span decades.
        reference: The worst raw value that counts. None has it chosen from the data.
        valid_range: Smallest and largest plausible raw value; a campaign quarantines others.

    Raises:
        InputError: No name, no direction, or numbers that are none.

    >>> Objective("price", "minimize", unit="EUR/kg", log=True, reference=100.0)
    Objective(name='price', direction='minimize', unit='EUR/kg', log=True, \
reference=100.0, valid_range=None)
    """

    name: str
    direction: Literal["minimize", "maximize"] | None = None
    unit: str = ""
    log: bool = False
    reference: float | None = None
    valid_range: ValidRange | None = None

    def __post_init__(self) -> None:
        _check_term(self, "reference")
        if self.direction not in ("minimize", "maximize"):
            condition = f"be 'minimize' or 'maximize' for {self.name!r}"
            way_out = "An objective has no direction of its own: say which is better."
            raise InputError(error_message("direction", condition, repr(self.direction), way_out))
        if self.log:
            check_positive_for_log(self.name, "reference", self.reference)

    @property
    def sign(self) -> float:
        """The factor from outcome to utility: -1.0 or 1.0."""
        return 1.0 if self.direction == "maximize" else -1.0


@final
@dataclass(frozen=True)
class Constraint:
    """An outcome that is feasible on one side of a bound, or between two.

    A value equal to a bound is feasible. Bounds are exact, and measured values are
    not: where structures lie on a bound by definition, and the evaluator computes that
    as a difference, give the bound the room that the difference needs, such as
    upper=0.001 eV for upper=0. (`AlloyProperties` returns 0 of an element exactly.)

    Args:
        name: The name of the outcome, as the evaluator or the space calls it.
        upper: The largest feasible raw value.
        lower: The smallest feasible raw value.
        unit: The unit of the raw value; only shown.
        valid_range: Smallest and largest plausible raw value; a campaign quarantines others.

    Raises:
        InputError: No name, no bound, or bounds with nothing between them.

    >>> Constraint("energy_above_hull_eV", upper=0.05).constraint_labels
    ('energy_above_hull_eV <= 0.05',)
    """

    name: str
    upper: float | None = None
    lower: float | None = None
    unit: str = ""
    valid_range: ValidRange | None = None

    def __post_init__(self) -> None:
        _check_term(self, "upper", "lower")
        if self.upper is None and self.lower is None:
            condition = f"have a bound on {self.name!r}"
            way_out = "Pass upper=, lower= or both, in raw values."
            raise InputError(error_message("constraint", condition, "none", way_out))
        low = -math.inf if self.lower is None else self.lower
        high = math.inf if self.upper is None else self.upper
        if not low < high:
            condition = f"be less than `upper` for {self.name!r}"
            bounds = f"lower={self.lower}, upper={self.upper}"
            way_out = "`lower` is the smallest value allowed, `upper` the largest."
            raise InputError(error_message("lower", condition, bounds, way_out))

    @property
    def constraint_labels(self) -> tuple[str, ...]:
        """A label per bound, in the order of the columns of `constraint_values`."""
        bounds = (("<=", self.upper), (">=", self.lower))
        return tuple(f"{self.name} {s} {v:g}" for s, v in bounds if v is not None)


def check_positive_for_log(name: str, argument: str, value: float | None) -> None:
    """Refuse a bound or a reference that has no logarithm.

    Raises:
        InputError: It has none.
    """
    if value is not None and value <= 0:
        condition = f"be positive for {name!r}, which is compared as its log10"
        raise InputError(error_message(argument, condition, value, "Drop log=True otherwise."))


@final
@dataclass(frozen=True)
class OptimizationConfig:
    """Objectives and constraints of a multi-objective optimization.

    Args:
        objectives: At least one objective, each with a name of its own.
        constraints: Constraints, each with a name of its own, which may be that of an objective.

    Raises:
        InputError: No objective, two of one name, two units of one outcome, or a bound
            without a logarithm on an objective with `log`.

    >>> config = OptimizationConfig((Objective("B", "maximize"),), (Constraint("H", upper=0.0),))
    >>> config.outcome_names
    ('B', 'H')
    """

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives))
        object.__setattr__(self, "constraints", tuple(self.constraints))
        if not self.objectives:
            way_out = "Such as Objective('bulk_modulus_GPa', 'maximize')."
            raise InputError(error_message("objectives", "hold one at least", "none", way_out))
        for what in ("objectives", "constraints"):
            names = [part.name for part in getattr(self, what)]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                way_out = "One outcome is one of them: both bounds fit in a Constraint."
                condition = "have a name each of its own"
                raise InputError(error_message(what, condition, f"{twice} twice", way_out))
        logs = self.log_outcomes
        for constraint in self.constraints:
            if constraint.name in logs:
                check_positive_for_log(constraint.name, "upper", constraint.upper)
                check_positive_for_log(constraint.name, "lower", constraint.lower)
        for name in self.outcome_names:
            units = {p.unit for p in self._terms if p.name == name and p.unit}
            if len(units) > 1:
                condition = f"be one for {name!r}"
                way_out = "An outcome has the unit its evaluator measures it in."
                raise InputError(error_message("unit", condition, sorted(units), way_out))

    @property
    def _terms(self) -> tuple[Objective | Constraint, ...]:
        return (*self.objectives, *self.constraints)

    @property
    def log_outcomes(self) -> frozenset[str]:
        """The outcomes that are modeled and compared as their log10."""
        return frozenset(part.name for part in self.objectives if part.log)

    @cached_property
    def outcome_names(self) -> tuple[str, ...]:
        """Every outcome once: the objectives in order, then those of constraints."""
        return tuple(dict.fromkeys(part.name for part in self._terms))

    @property
    def units(self) -> dict[str, str]:
        """The unit of every outcome, "" where none was given."""
        units = dict.fromkeys(self.outcome_names, "")
        for part in self._terms:
            units[part.name] = units[part.name] or part.unit
        return units

    @property
    def valid_ranges(self) -> dict[str, ValidRange]:
        """The plausible raw values of the outcomes with a valid range.

        Where an objective and a constraint have one each, both hold.
        """
        ranges: dict[str, ValidRange] = {}
        for part in self._terms:
            if part.valid_range is not None:
                ends = (ranges.get(part.name, (None, None)), part.valid_range)
                low = [low for low, _ in ends if low is not None]
                high = [high for _, high in ends if high is not None]
                ranges[part.name] = (max(low, default=None), min(high, default=None))
        return ranges

    @property
    def constraint_labels(self) -> tuple[str, ...]:
        """A label per column of `constraint_values`."""
        return tuple(name for part in self.constraints for name in part.constraint_labels)

    def transform(self, name: str, raw_value: float) -> float:
        """Return a raw value in outcome space; NaN where it has no place there."""
        if not math.isfinite(raw_value):
            return math.nan
        if name not in self.log_outcomes:
            return float(raw_value)
        return math.log10(raw_value) if raw_value > 0 else math.nan

    def outcome_vector(self, raw_values: Mapping[str, float]) -> list[float]:
        """Return `[k]` of one structure: NaN where unknown, or without a logarithm."""
        return [self.transform(name, raw_values.get(name, math.nan)) for name in self.outcome_names]

    def untransform(self, Y: Tensor) -> Tensor:
        """Return `Y [..., k]` in raw values, `[..., k]`."""
        check_n_outcomes(Y, len(self.outcome_names))
        columns = [
            10.0 ** Y[..., i] if name in self.log_outcomes else Y[..., i]
            for i, name in enumerate(self.outcome_names)
        ]
        return torch.stack(columns, dim=-1)

    def utilities(self, Y: Tensor) -> Tensor:
        """Return the utilities `[..., m]` of `Y [..., k]`, larger is better."""
        check_n_outcomes(Y, len(self.outcome_names))
        signs = Y.new_tensor([part.sign for part in self.objectives])
        return Y[..., : len(self.objectives)] * signs

    def constraint_values(self, Y: Tensor) -> Tensor:
        """Return the slacks `[..., c]` of `Y [..., k]`, a column per bound; <= 0 is feasible.

        The sign is BoTorch's, the unit that of outcome space; upper before lower.
        """
        check_n_outcomes(Y, len(self.outcome_names))
        columns = []
        for part in self.constraints:
            y = Y[..., self.outcome_names.index(part.name)]
            if part.upper is not None:
                columns.append(y - self.transform(part.name, part.upper))
            if part.lower is not None:
                columns.append(self.transform(part.name, part.lower) - y)
        if not columns:
            return Y.new_zeros(*Y.shape[:-1], 0)
        return torch.stack(columns, dim=-1)

    def is_feasible(self, Y: Tensor) -> Tensor:
        """Return whether `Y [..., k]` keeps every bound, `[...]`.

        NaN keeps none: an outcome that was not measured is not known to be feasible.
        """
        return (self.constraint_values(Y) <= 0).all(dim=-1)

    def description(self) -> dict[str, Any]:
        """Return what identifies objectives and constraints, ready for JSON."""
        return {
            "objectives": [to_json_value(asdict(part)) for part in self.objectives],
            "constraints": [to_json_value(asdict(part)) for part in self.constraints],
        }


def check_n_outcomes(Y: Tensor, n_outcomes: int) -> None:
    """Refuse outcomes whose last axis does not have `n_outcomes` columns.

    Raises:
        ShapeError: It does not.
    """
    shape = [*Y.shape[:-1], n_outcomes]
    check_shape("Y", Y, shape, "A column per outcome, in the order of `outcome_names`.")
