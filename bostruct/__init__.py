"""Bayesian-optimization structure search for atomistic modeling.

Notation
    b structures, n atoms in total, a atoms of one structure, d coordinates,
    q joint candidates, t training structures, f features, s samples
eV, Å, eV/Å; cell rows are lattice vectors. Energies: lower is better; utilities and
acquisition values: larger is better.
"""

from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bostruct import acquisition as acquisition
    from bostruct import campaign as campaign
    from bostruct import candidates as candidates
    from bostruct import evaluators as evaluators
    from bostruct import objectives as objectives
    from bostruct import spaces as spaces
    from bostruct import structures as structures
    from bostruct import surrogates as surrogates
    from bostruct import uncertainty as uncertainty
    from bostruct.campaign import Campaign as Campaign
    from bostruct.campaign import FinalRelaxation as FinalRelaxation
    from bostruct.campaign import engines as engines
    from bostruct.campaign import stop as stop
    from bostruct.objectives import Constraint as Constraint
    from bostruct.objectives import Objective as Objective
    from bostruct.runtime import executors as executors
    from bostruct.structures import Structures as Structures
else:
    __getattr__, __dir__ = lazy_exports(__name__)
