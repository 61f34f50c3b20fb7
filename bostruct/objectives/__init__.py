"""Objectives, constraints, and the Pareto fronts of what was evaluated.

Names of outcomes with directions, bounds and units enter; utilities, feasibility,
non-dominated rows and hypervolumes leave. The problem, not the method: no model.
"""

from bostruct.objectives.optimization_config import Constraint as Constraint
from bostruct.objectives.optimization_config import Goals as Goals
from bostruct.objectives.optimization_config import Objective as Objective
from bostruct.objectives.pareto import complete as complete
from bostruct.objectives.pareto import front as front
from bostruct.objectives.pareto import hypervolume as hypervolume
from bostruct.objectives.pareto import reference_point as reference_point
