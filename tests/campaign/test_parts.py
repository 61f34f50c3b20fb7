import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from bostruct.acquisition import LowerConfidenceBound
from bostruct.campaign import executors, stop
from bostruct.campaign.parts import check_executor, check_stop
from bostruct.candidates import Search
from bostruct.errors import InputError
from bostruct.evaluators import Function
from bostruct.spaces import Pool
from tests.campaign.standin import Box, campaign, energy


def test_description_holds_every_part():
    found = campaign().description()
    assert found["space"] == {"kind": "Box", "edge": 6.0}
    assert found["acquisition"]["kind"] == "LowerConfidenceBound"
    assert list(found) == [
        "space",
        "evaluator",
        "surrogate",
        "acquisition",
        "search",
        "initial",
        "batch",
    ]


@pytest.mark.parametrize(
    ("name", "part", "found"),
    [
        ("space", "Cu15", "str"),
        ("space", Box, "Box"),
        ("evaluator", energy, "function"),
        ("evaluator", EMT(), "EMT"),
        ("surrogate", Function(energy), "Function"),
        ("acquisition", Box(), "Box"),
        ("acquisition", LowerConfidenceBound, "LowerConfidenceBound"),
        ("search", 3, "int"),
    ],
)
def test_refuses_what_is_no_part(name, part, found):
    with pytest.raises(InputError, match=f"`{name}` must be an? {name}, got {found}"):
        campaign(**{name: part})


def test_says_how_to_make_an_evaluator():
    with pytest.raises(InputError, match=r"Wrap a function in bostruct\.evaluators"):
        campaign(energy)


def test_refuses_a_description_that_json_cannot_hold():
    class Odd(Box):
        def description(self):
            return {"edge": object()}

    with pytest.raises(InputError, match="`space` must have a description that JSON"):
        campaign(space=Odd())


def test_members_of_a_list_cannot_be_relaxed():
    """Refused before an energy is paid for; a search of one's own may do it."""
    pool = Pool([bulk("Cu"), bulk("Au")])
    condition = "`space` must have coordinates that `Search` can relax, got Pool"
    with pytest.raises(InputError, match=condition):
        campaign(space=pool, search=Search())
    assert campaign(space=pool).parts.space is pool


def test_stop_and_executor():
    rule = stop.Evaluations(3)
    assert check_stop(rule) is rule
    with pytest.raises(InputError, match="`stop` must be a stop rule, got int"):
        check_stop(3)
    assert check_executor(None) is None
    workers = executors.Workers(1)
    assert check_executor(workers) is workers
    with pytest.raises(InputError, match="`executor` must be a concurrent"):
        check_executor(3)
