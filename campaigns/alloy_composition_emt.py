"""Compositions of six metals that are stiff, light, cheap and do not unmix, with EMT.

Ni, Cu, Pd, Ag, Pt and Au in steps of one eighth: 1,287 compositions, each realised as
32 fcc sites, filled at random by a seed. Wanted are a high bulk modulus, a low mass
density and a low price; only what has a mixing enthalpy of at most zero counts.
The price follows exactly from the composition; the surrogate learns the other three. The elements
are evaluated first: they keep the bound by definition, which no model can be sure of.

EMT is a model landscape, not data on real alloys. Prices are of September 2013.

An evaluation relaxes volume and atoms and fits an equation of state, 0.9 s on one core;
the search takes 0.8 s a step: 40 evaluations took 64 s. After 100 evaluations, 8 % of
all compositions, next to nothing of the front's volume is missing.
"""

from ase.build import bulk
from ase.calculators.emt import EMT

import bostruct as bo

ELEMENTS = ["Ni", "Cu", "Pd", "Ag", "Pt", "Au"]
PRICES = bo.evaluators.element_prices()

campaign = bo.Campaign(
    space=bo.spaces.Composition(
        ELEMENTS,
        step=1 / 8,
        price={element: PRICES[element] for element in ELEMENTS},
    ),
    evaluator=bo.evaluators.AlloyProperties(EMT),
    objectives=[
        bo.Objective("bulk_modulus_GPa", "maximize", unit="GPa"),
        bo.Objective("density_g_per_cm3", "minimize", unit="g/cm3"),
        bo.Objective("price", "minimize", unit="$/kg", log=True),
    ],
    constraints=[
        bo.Constraint("mixing_enthalpy_eV_per_atom", upper=0.0, unit="eV/atom"),
    ],
    initial_structures=[bulk(element) for element in ELEMENTS],  # on the bound
    stop=bo.stop.Evaluations(100),
)

if __name__ == "__main__":
    campaign.run("runs/alloy_composition_emt", seed=0)
