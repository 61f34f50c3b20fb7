"""Two carbon monoxide molecules on two fixed layers of Pt(111), with the EMT potential.

The molecules stay whole in all that is evaluated. EMT, made for metals, would rather tear them
apart: without `molecules` the best structures of these atoms have carbon beside oxygen. It costs
milliseconds: put your own calculator in its place.
"""

from ase.build import fcc111
from ase.calculators.emt import EMT

import bostruct as bo

campaign = bo.Campaign(
    space=bo.spaces.Surface(fcc111("Pt", (3, 3, 2), vacuum=8.0), molecules=["CO", "CO"]),
    evaluator=bo.evaluators.Calculator(EMT),
    stop=bo.stop.NoImprovement(10) | bo.stop.Evaluations(40),
)

if __name__ == "__main__":
    campaign.run("runs/co_on_pt111", seed=0)
