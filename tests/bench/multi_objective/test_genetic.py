import sys

import numpy as np
import pytest

from bostruct.bench.multi_objective.genetic import (
    POPULATION_SIZE,
    PopulationDatabase,
    run_genetic_algorithm,
)
from bostruct.errors import InputError
from bostruct.evaluators import Failure, evaluate
from tests.bench.tiny import Rule, large, small


def evolved(screen, seed, count, evaluator=None):
    asked = []

    def ask(X):
        structures = screen.search_space.decode(X.unsqueeze(0))
        found = evaluate(evaluator or screen.evaluator, structures)
        found = None if isinstance(found, Failure) else found
        asked.append((tuple(X.tolist()), screen.outcomes(X, found)))
        return asked[-1][1], found

    run_genetic_algorithm(screen, seed, count, ask)
    return asked


@pytest.fixture(scope="module")
def screen():
    pytest.importorskip("ase_ga")
    return large()


def test_children_are_new_members_and_the_seed_decides(screen):
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - ASE's
    asked = evolved(screen, 0, 45)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert len({X for X, _ in asked}) == len(asked) == 45
    assert evolved(screen, 0, 45) == asked
    assert evolved(screen, 1, 45) != asked


def test_it_evolves_towards_the_front(screen):
    asked = evolved(screen, 0, 90)
    first, last = asked[:POPULATION_SIZE], asked[-POPULATION_SIZE:]
    cheap = [np.mean([Y[1] for _, Y in part]) for part in (first, last)]
    stiff = [np.mean([Y[0] for _, Y in part]) for part in (first, last)]
    assert cheap[1] < cheap[0] or stiff[1] > stiff[0]


def test_failures_are_counted_and_no_parents(screen):
    class Half(Rule):
        def __call__(self, structures):
            if int(structures.numbers.sum()) % 2:
                return Failure("odd")
            return super().__call__(structures)

    assert len(evolved(screen, 0, 30, Half())) == 30


def test_where_all_is_known_it_ends(monkeypatch):
    monkeypatch.setattr("bostruct.bench.multi_objective.genetic.MAX_DUPLICATE_OFFSPRING", 2)
    assert len(evolved(small(), 0, 10)) == 10, "less than a population"


def test_memory_counts_parents():
    memory = PopulationDatabase()
    memory.parent_pairs += [(1, 2), (1, 3)]
    counts, pairs = memory.get_participation_in_pairing()
    assert counts == {1: 2, 2: 1, 3: 1}
    assert pairs == [(1, 2), (1, 3)]
    assert memory.get_all_relaxed_candidates(only_new=True) == []


def test_refused_without_ase_ga(monkeypatch):
    monkeypatch.setitem(sys.modules, "ase_ga.population", None)
    with pytest.raises(InputError, match="needs ase-ga: pip install"):
        run_genetic_algorithm(large(), 0, 1, lambda X: ([], None))
