"""What to look at next.

A callable that says what a look is worth enters, with a space to look in; candidates
leave, and the choice among them. `Search` relaxes them where X is continuous; `Pick`
scores a whole list, and `Walk` goes from member to member where there is none.
"""

from bostruct.candidates.basin_hopping import Search as Search
from bostruct.candidates.batched_lbfgs import Relaxed as Relaxed
from bostruct.candidates.batched_lbfgs import Value as Value
from bostruct.candidates.batched_lbfgs import relax as relax
from bostruct.candidates.evolutionary_search import Walk as Walk
from bostruct.candidates.exhaustive_search import LONGEST as LONGEST
from bostruct.candidates.exhaustive_search import Pick as Pick
from bostruct.candidates.selection import Candidates as Candidates
from bostruct.candidates.selection import choose as choose
