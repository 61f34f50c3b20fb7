"""What to look at next.

A callable that says what a look is worth enters, with a space to look in; relaxed
candidates leave, and the choice among them.
"""

from bostruct.candidates.candidates import Candidates as Candidates
from bostruct.candidates.candidates import choose as choose
from bostruct.candidates.relax import Relaxed as Relaxed
from bostruct.candidates.relax import Value as Value
from bostruct.candidates.relax import relax as relax
from bostruct.candidates.search import Search as Search
