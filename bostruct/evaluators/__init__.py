"""What it costs to know.

A structure enters; an `Evaluation` or a `Failure` leaves. Any ASE calculator is a
`Calculator`, any function of `ase.Atoms` a `Function`; `evaluate` is the guard that
turns whatever goes wrong into a `Failure` with a reason.
"""

from bostruct.evaluators.calculator import Calculator as Calculator
from bostruct.evaluators.evaluator import Evaluation as Evaluation
from bostruct.evaluators.evaluator import Evaluator as Evaluator
from bostruct.evaluators.evaluator import Failure as Failure
from bostruct.evaluators.evaluator import evaluate as evaluate
from bostruct.evaluators.function import Function as Function
