"""Orderings of Cu, Pd and Au that are stable, stiff and affordable at once, with EMT.

All 1,081 different orderings on the fcc lattice with up to 6 atoms in a cell; needs
icet, `pip install 'bostruct[alloys]'`. Wanted are a low mixing enthalpy, a high bulk
modulus and a low price. The price follows exactly from the composition, so the surrogate learns the
other two alone.

EMT is a model landscape, not data on real alloys. Prices are of September 2013.

An evaluation relaxes the cell and fits an equation of state, 0.3 s on one core; the
search takes 0.7 s a step: 40 evaluations took 41 s. Of the front, 43 orderings, half
are found after 50 evaluations and nearly all after 100.
"""

from ase.build import bulk
from ase.calculators.emt import EMT

import bostruct as bo

ELEMENTS = ["Cu", "Pd", "Au"]
PRICES = bo.evaluators.element_prices()

campaign = bo.Campaign(
    space=bo.spaces.Orderings(
        bulk("Cu"),
        ELEMENTS,
        max_atoms=6,
        volumes=bo.spaces.atomic_volumes(ELEMENTS),
        price={element: PRICES[element] for element in ELEMENTS},
    ),
    evaluator=bo.evaluators.AlloyProperties(EMT, relaxation="cell"),
    objectives=[
        bo.Objective("mixing_enthalpy_eV_per_atom", "minimize", unit="eV/atom"),
        bo.Objective("bulk_modulus_GPa", "maximize", unit="GPa"),
        bo.Objective("price", "minimize", unit="$/kg", log=True),
    ],
    stop=bo.stop.Evaluations(100),
)

if __name__ == "__main__":
    campaign.run("runs/ordering_cupdau_emt", seed=0)
