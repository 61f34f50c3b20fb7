"""Two carbon monoxide molecules on Pt(111), with the EMT potential.

The molecules stay whole: without `molecules=["CO", "CO"]` the same atoms would be evaluated as carbon
and oxygen apart, which EMT, made for metals, finds lower. The two lower layers of the slab are fixed.
EMT is no potential for molecules, but costs milliseconds: put your own calculator in its place.
"""

from ase.build import fcc111
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

import bostruct as bo

slab = fcc111("Pt", (3, 3, 3), vacuum=8.0)
slab.set_constraint(FixAtoms(mask=slab.get_tags() > 1))

campaign = bo.Campaign(
    space=bo.spaces.Surface(slab, molecules=["CO", "CO"]),
    evaluator=bo.evaluators.Calculator(EMT),
    stop=bo.stop.NoImprovement(15) | bo.stop.Evaluations(60),
)

if __name__ == "__main__":
    campaign.run("runs/co_on_pt111", seed=0)
