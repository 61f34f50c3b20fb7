"""Search for candidates of large acquisition value, and selection among them.

A callable `X -> value` enters, with a space; candidates leave. `BasinHopping` relaxes them
where X is continuous; `ExhaustiveSearch` scores all members of a discrete space, and
`EvolutionarySearch` samples them where they are too many.
"""

from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bostruct.candidates.basin_hopping import BasinHopping as BasinHopping
    from bostruct.candidates.batched_lbfgs import AcquisitionCallable as AcquisitionCallable
    from bostruct.candidates.batched_lbfgs import RelaxationResult as RelaxationResult
    from bostruct.candidates.batched_lbfgs import relax as relax
    from bostruct.candidates.evolutionary_search import (
        EvolutionarySearch as EvolutionarySearch,
    )
    from bostruct.candidates.exhaustive_search import (
        MAX_EXHAUSTIVE_MEMBERS as MAX_EXHAUSTIVE_MEMBERS,
    )
    from bostruct.candidates.exhaustive_search import ExhaustiveSearch as ExhaustiveSearch
    from bostruct.candidates.selection import Candidates as Candidates
    from bostruct.candidates.selection import select_top as select_top
    from bostruct.candidates.selection import select_unevaluated as select_unevaluated
else:
    __getattr__, __dir__ = lazy_exports(__name__)
