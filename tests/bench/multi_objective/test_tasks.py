import math

import pytest
import torch

from bostruct.bench.multi_objective.tasks import MULTI_OBJECTIVE_TASKS, MultiObjectiveTask
from bostruct.errors import InputError
from bostruct.evaluators import Evaluation
from tests.bench.tiny import GOALS, NOT_UNMIXING, Rule, large, small

GENERATOR = torch.Generator


def test_named_screens_have_the_spaces_they_say():
    assert MULTI_OBJECTIVE_TASKS["compositions"].search_space.size == 1287
    assert MULTI_OBJECTIVE_TASKS["lattice"].search_space.size is None
    assert {s.name for s in MULTI_OBJECTIVE_TASKS.values()} == set(MULTI_OBJECTIVE_TASKS)
    names = {"mixing_enthalpy_eV_per_atom", "bulk_modulus_GPa", "price"}
    assert set(MULTI_OBJECTIVE_TASKS["orderings"].optimization_config.outcome_names) == names


def test_orderings_are_as_many_as_the_tables_have():
    pytest.importorskip("icet")
    assert MULTI_OBJECTIVE_TASKS["orderings"].search_space.size == 1081


def test_outcomes_are_what_was_found_and_what_the_space_knows():
    screen = small(constraints=(NOT_UNMIXING,))
    X = torch.tensor([0.0, 0.5, 0.0, 0.5], dtype=torch.float64)
    found = screen.evaluator(screen.search_space.decode(X.unsqueeze(0)))
    Y = screen.outcomes(X, found)
    assert Y[0] == pytest.approx((138 + 167) / 2 + 9 / 4)
    assert Y[1] == pytest.approx(float(screen.search_space.exact_properties(X)["price"].log10()))
    lost = screen.outcomes(X, None)
    assert math.isnan(lost[0])
    assert lost[1] == Y[1], "the price is known of what failed too"
    absurd = Evaluation(0.0, properties={"quarantined.bulk_modulus_GPa": -9.0})
    assert math.isnan(screen.outcomes(X, absurd)[0])


@pytest.mark.parametrize("screen", [small(), large()], ids=lambda s: s.name)
def test_samples_are_different_members(screen):
    X = screen.sample(12, GENERATOR().manual_seed(1))
    assert torch.equal(X, screen.sample(12, GENERATOR().manual_seed(1)))
    assert len(X.unique(dim=0)) == 12
    assert bool(screen.search_space.contains(X).all())
    assert torch.equal(screen.search_space.canonical(X), X)


def test_a_list_gives_no_more_than_it_has():
    assert len(small().sample(99, GENERATOR())) == 35


def test_refused():
    with pytest.raises(InputError, match="be the name of a folder"):
        MultiObjectiveTask("a b", small().make_space, Rule(), GOALS)
    with pytest.raises(InputError, match="`objectives` must hold one at least"):
        MultiObjectiveTask("ab", small().make_space, Rule(), ())
