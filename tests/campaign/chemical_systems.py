"""Quick campaigns in a chemical system: copper and gold, up to two atoms, with EMT."""

from ase.calculators.emt import EMT

from bostruct.campaign import Campaign, stop
from bostruct.candidates import BasinHopping
from bostruct.evaluators import Calculator
from bostruct.spaces import ChemicalSystem
from bostruct.surrogates import LocalGP

N_EVALUATIONS = 8


def campaign(space=None, evaluator=None, **arguments):
    """Return a campaign whose steps take a fraction of a second."""
    arguments.setdefault("stop", stop.Evaluations(N_EVALUATIONS))
    return Campaign(
        space=ChemicalSystem("Cu-Au", max_atoms=2) if space is None else space,
        evaluator=Calculator(EMT) if evaluator is None else evaluator,
        surrogate=LocalGP(n_max=3, l_max=2, max_inducing=40),
        search=BasinHopping(n_candidates=6, n_rounds=2, max_steps=6),
        **arguments,
    )
