"""Problems of several objectives that take milliseconds: 35 compositions, 8 sites."""

from ase.build import bulk

import bostruct as bo
from bostruct.bench.multi_objective.tasks import MultiObjectiveTask
from bostruct.evaluators import Evaluation
from bostruct.structures import SYMBOLS

ELEMENTS = ["Ni", "Cu", "Pd", "Au"]
PRICE = {"Ni": 15.0, "Cu": 7.0, "Pd": 2e4, "Au": 4e4}
STIFF = {"Ni": 181.0, "Cu": 138.0, "Pd": 196.0, "Au": 167.0}


class Rule:
    """A modulus that is nearly that of a mixture, and an enthalpy from pairs."""

    def __call__(self, structures):
        symbols = [SYMBOLS[z] for z in structures.numbers.tolist()]
        x = {e: symbols.count(e) / len(symbols) for e in ELEMENTS}
        modulus = sum(x[e] * STIFF[e] for e in ELEMENTS) + 9 * x["Cu"] * x["Au"]
        heat = 0.1 * x["Ni"] * x["Au"] - 0.1 * x["Cu"] * x["Pd"]
        values = {"bulk_modulus_GPa": modulus, "mixing_enthalpy_eV_per_atom": heat}
        return Evaluation(heat * len(symbols), properties=values, seconds=0.01)

    def description(self):
        return {"kind": "rule"}


GOALS = (
    bo.Objective("bulk_modulus_GPa", "maximize", valid_range=(1.0, 600.0)),
    bo.Objective("price", "minimize", log=True),
)
NOT_UNMIXING = bo.Constraint("mixing_enthalpy_eV_per_atom", upper=0.0, valid_range=(-2.0, 2.0))


def small(name="small", **more):
    """Return a problem whose 35 members can be listed."""
    cell = bulk("Cu", cubic=True)

    def space():
        return bo.spaces.Composition(ELEMENTS, step=1 / 4, parent=cell, price=PRICE)

    return MultiObjectiveTask(name, space, Rule(), GOALS, **more)


def large():
    """Return a problem whose members are not listed."""
    sites = bulk("Cu", cubic=True, a=3.9).repeat((2, 2, 2))

    def space():
        return bo.spaces.Lattice(sites, {"Cu": ELEMENTS}, price=PRICE)

    return MultiObjectiveTask("large", space, Rule(), GOALS)
