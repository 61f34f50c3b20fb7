"""What it costs to know.

A structure enters; an `Evaluation` or a `Failure` leaves. Any ASE calculator is a
`Calculator`, any function of `ase.Atoms` a `Function`; `evaluate` is the guard that
turns whatever goes wrong into a `Failure` with a reason. `AlloyProperties` finds what
makes an alloy worth having, and `valid` what to believe of it. `Pretrained` and `read`
take a calculator that says how sure it is as a model to compare with.
"""

from bostruct.evaluators.alloy import AlloyProperties as AlloyProperties
from bostruct.evaluators.calculator import Calculator as Calculator
from bostruct.evaluators.evaluator import Evaluation as Evaluation
from bostruct.evaluators.evaluator import Evaluator as Evaluator
from bostruct.evaluators.evaluator import Failure as Failure
from bostruct.evaluators.evaluator import evaluate as evaluate
from bostruct.evaluators.function import Function as Function
from bostruct.evaluators.hull import above_hull as above_hull
from bostruct.evaluators.hull import phase_diagram as phase_diagram
from bostruct.evaluators.pretrained import Pretrained as Pretrained
from bostruct.evaluators.pretrained import committee as committee
from bostruct.evaluators.pretrained import read as read
from bostruct.evaluators.prices import price as price
from bostruct.evaluators.prices import prices as prices
from bostruct.evaluators.properties import WINDOWS as WINDOWS
from bostruct.evaluators.quarantine import Quarantined as Quarantined
from bostruct.evaluators.quarantine import quarantined as quarantined
from bostruct.evaluators.quarantine import valid as valid
