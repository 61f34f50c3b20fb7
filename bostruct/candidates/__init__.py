"""What to look at next.

A callable that says what a look is worth enters, with a space to look in; candidates
leave, and the choice among them. `Search` relaxes them where X is continuous; `Pick`
scores a whole list, and `Walk` goes from member to member where there is none.
"""

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
