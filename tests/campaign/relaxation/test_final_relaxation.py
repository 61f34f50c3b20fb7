import json

import pytest
from ase.calculators.emt import EMT

from bostruct.campaign.relaxation.final_relaxation import (
    FinalRelaxation,
    check_final_relaxation,
    missing_forces_message,
)
from bostruct.errors import InputError
from bostruct.evaluators import Calculator, Function
from tests.campaign.standin import campaign, energy


def test_description():
    described = FinalRelaxation(n_structures=2, interval=10).description()
    assert json.loads(json.dumps(described)) == {
        "n_structures": 2,
        "fmax": 0.05,
        "max_steps": 20,
        "interval": 10,
    }
    assert FinalRelaxation(n_structures=3, max_steps=7).max_evaluations == 21
    assert "final_relaxation" not in campaign().description()
    assert campaign(final_relaxation=FinalRelaxation()).description()["final_relaxation"] == {
        "n_structures": 1,
        "fmax": 0.05,
        "max_steps": 20,
        "interval": None,
    }


@pytest.mark.parametrize("name", ["n_structures", "max_steps", "interval"])
def test_refuses_counts_that_are_none(name):
    with pytest.raises(InputError, match=f"`{name}` must be an integer of at least 1"):
        FinalRelaxation(**{name: 0})


def test_refuses_a_tolerance_that_is_none():
    with pytest.raises(InputError, match="`fmax` must be positive and finite"):
        FinalRelaxation(fmax=0.0)


def test_refuses_what_is_no_check():
    with pytest.raises(InputError, match="`final_relaxation` must be a FinalRelaxation, got int"):
        campaign(final_relaxation=3)
    assert check_final_relaxation(None, Function(energy)) is None


class Energies(EMT):
    implemented_properties = ("energy",)


@pytest.mark.parametrize("evaluator", [Calculator(EMT, with_forces=False), Calculator(Energies)])
def test_refuses_an_evaluator_without_forces(evaluator):
    with pytest.raises(InputError, match="`evaluator` must return forces for the fin"):
        check_final_relaxation(FinalRelaxation(), evaluator)
    assert check_final_relaxation(FinalRelaxation(), Calculator(EMT)) == FinalRelaxation()


def test_the_sentence_says_where():
    assert "got none for trial 3. " in missing_forces_message("none for trial 3")
