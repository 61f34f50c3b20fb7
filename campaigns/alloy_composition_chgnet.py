"""Compositions of six metals that are stiff, light and cheap and do not unmix: CHGNet.

As `alloy_composition_emt.py`, with a universal potential in place of EMT and 8 sites
in place of 32. Needs `pip install 'bostruct[chgnet]'`, the weights are in that package;
any of its 89 elements may stand in the list. CHGNet is a model too: trained on density
functional theory (PBE), it is known to make crystals too soft.

An evaluation relaxes volume and atoms and fits an equation of state, 2 to 4 s on one
core; elements by themselves are relaxed first, once. Prices are of September 2013.
"""

from importlib.util import find_spec
from typing import Any

from ase.build import bulk

import bostruct as bo
from bostruct.errors import InputError

ELEMENTS = ["Ni", "Cu", "Pd", "Ag", "Pt", "Au"]
PRICES = bo.evaluators.element_prices()

if find_spec("chgnet") is None:
    raise InputError(
        "this campaign needs CHGNet, which is not installed: "
        "pip install 'bostruct[chgnet]', or take alloy_composition_emt.py."
    )


def chgnet() -> Any:  # noqa: ANN401 - of ASE
    """Return CHGNet as a calculator of ASE."""
    from chgnet.model.dynamics import CHGNetCalculator

    return CHGNetCalculator(use_device="cpu")


campaign = bo.Campaign(
    space=bo.spaces.Composition(
        ELEMENTS,
        step=1 / 8,
        parent=bulk("Cu", cubic=True).repeat((2, 1, 1)),
        price={element: PRICES[element] for element in ELEMENTS},
    ),
    evaluator=bo.evaluators.AlloyProperties(chgnet, fmax=0.02, max_steps=100),
    objectives=[
        bo.Objective("bulk_modulus_GPa", "maximize", unit="GPa"),
        bo.Objective("density_g_per_cm3", "minimize", unit="g/cm3"),
        bo.Objective("price", "minimize", unit="$/kg", log=True),
    ],
    constraints=[
        bo.Constraint("mixing_enthalpy_eV_per_atom", upper=0.0, unit="eV/atom"),
    ],
    initial_structures=[bulk(element) for element in ELEMENTS],  # on the bound
    stop=bo.stop.Evaluations(60),
)

if __name__ == "__main__":
    campaign.run("runs/alloy_composition_chgnet", seed=0)
