"""A small screening campaign: compositions of three metals, properties in no time."""

import torch

from bostruct import Campaign, Constraint, Objective
from bostruct.evaluators import Evaluation, Failure
from bostruct.evaluators.alloys.convex_hull import MIXING_ENTHALPY
from bostruct.spaces import Composition

PRICE = {"Cu": 6.0, "Pd": 40000.0, "Au": 50000.0}
NUMBERS = torch.tensor([29, 46, 79])


def space(**changes):
    return Composition(["Cu", "Pd", "Au"], **{"step": 1 / 8, "price": PRICE} | changes)


def truth(x):
    """Return enthalpy and modulus at fractions `[3]`."""
    cu, pd, au = x
    enthalpy = -0.3 * cu * pd - 0.1 * cu * au + 0.05 * pd * au
    return {
        "enthalpy": enthalpy,
        "modulus": 140 * cu + 190 * pd + 170 * au - 30 * cu * au,
    }


class Alloy:
    """Says nothing of forces; `broken` are places in the order of calls.

    With `mixing` it says the mixing enthalpy under the name that has a hull, too.
    """

    def __init__(self, broken=(), absurd=(), mixing=False):
        self.broken, self.absurd, self.calls = broken, absurd, []
        self.mixing = mixing

    def __call__(self, structures):
        x = (structures.numbers.unsqueeze(-1) == NUMBERS).double().mean(0).tolist()
        self.calls.append(tuple(x))
        if len(self.calls) in self.broken:
            return Failure("it broke")
        found = truth(x)
        if len(self.calls) in self.absurd:
            found["modulus"] = -2992.0
        if self.mixing:
            found[MIXING_ENTHALPY] = found["enthalpy"]
        return Evaluation(-3.5 * len(structures.numbers), None, found, 0.01)

    def description(self):
        return {"kind": "Alloy"}


OBJECTIVES = (
    Objective("enthalpy", "minimize", "eV/atom"),
    Objective("modulus", "maximize", "GPa", valid_range=(1.0, 600.0)),
    Objective("price", "minimize", "$/kg", log=True),
)
STABLE = (Constraint("enthalpy", upper=-0.01),)


def campaign(**changes):
    parts = {
        "space": space(),
        "evaluator": Alloy(),
        "objectives": OBJECTIVES,
        "constraints": STABLE,
        "n_initial": 4,
    }
    return Campaign(**parts | changes)
