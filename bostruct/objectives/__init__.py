"""Objectives, constraints, and Pareto fronts of evaluated outcomes.

Names of outcomes with directions, bounds and units enter; utilities, feasibility,
non-dominated rows and hypervolumes leave. The problem, not the method: no model.
"""

from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bostruct.objectives.optimization_config import Constraint as Constraint
    from bostruct.objectives.optimization_config import Objective as Objective
    from bostruct.objectives.optimization_config import OptimizationConfig as OptimizationConfig
    from bostruct.objectives.pareto import dominance_rank as dominance_rank
    from bostruct.objectives.pareto import hypervolume as hypervolume
    from bostruct.objectives.pareto import infer_reference_point as infer_reference_point
    from bostruct.objectives.pareto import is_complete as is_complete
    from bostruct.objectives.pareto import pareto_front as pareto_front
else:
    __getattr__, __dir__ = lazy_exports(__name__)
