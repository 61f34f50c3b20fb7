"""What to look at next.

A callable that says what a look is worth enters, with a space to look in; candidates
leave, and the choice among them. `Search` relaxes them where X is continuous; `Pick`
scores a whole list, and `Walk` goes from member to member where there is none.
"""

from bostruct.candidates.candidates import Candidates as Candidates
from bostruct.candidates.candidates import choose as choose
from bostruct.candidates.pick import LONGEST as LONGEST
from bostruct.candidates.pick import Pick as Pick
from bostruct.candidates.relax import Relaxed as Relaxed
from bostruct.candidates.relax import Value as Value
from bostruct.candidates.relax import relax as relax
from bostruct.candidates.search import Search as Search
from bostruct.candidates.walk import Walk as Walk
