"""Evaluators: energies, forces and properties of structures.

A structure enters; an `Evaluation` or a `Failure` leaves. `Calculator` wraps an ASE calculator,
`Function` a function of `ase.Atoms`; `evaluate` turns errors and invalid results into a `Failure`.
`AlloyProperties` computes mixing enthalpy, moduli, density and price of a crystal.
"""

from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bostruct.evaluators.alloys.alloy_properties import AlloyProperties as AlloyProperties
    from bostruct.evaluators.alloys.convex_hull import above_hull as above_hull
    from bostruct.evaluators.alloys.convex_hull import phase_diagram as phase_diagram
    from bostruct.evaluators.alloys.prices import element_prices as element_prices
    from bostruct.evaluators.alloys.prices import price_per_kg as price_per_kg
    from bostruct.evaluators.alloys.property_checks import VALID_RANGES as VALID_RANGES
    from bostruct.evaluators.base import Evaluation as Evaluation
    from bostruct.evaluators.base import Evaluator as Evaluator
    from bostruct.evaluators.base import Failure as Failure
    from bostruct.evaluators.base import evaluate as evaluate
    from bostruct.evaluators.calculator import Calculator as Calculator
    from bostruct.evaluators.evaluation_context import EvaluationContext as EvaluationContext
    from bostruct.evaluators.evaluation_context import current_context as current_context
    from bostruct.evaluators.function import Function as Function
    from bostruct.evaluators.quarantine import QuarantinedProperty as QuarantinedProperty
    from bostruct.evaluators.quarantine import quarantined_properties as quarantined_properties
    from bostruct.evaluators.quarantine import trusted_properties as trusted_properties
else:
    __getattr__, __dir__ = lazy_exports(__name__)
