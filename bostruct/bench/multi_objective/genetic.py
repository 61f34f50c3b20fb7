"""ASE's genetic algorithm on a lattice, with its operators and multi-objective population.

After random members, each child is a cut-and-splice of two parents, a permutation of two unlike
atoms or a mutation of one element, with weights of 3 to 1 to 1. Parents come from a population
ranked by non-dominated fronts. A child that was evaluated before is made again and costs nothing.
Needs ase-ga, which was part of ASE up to 3.26: pip install 'bostruct[test]'. Vilhelmsen and
Hammer, J. Chem. Phys. 141, 044711 (2014).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import chain
from typing import Any, final

import torch
from torch import Tensor

from bostruct.bench.multi_objective.tasks import MultiObjectiveTask
from bostruct.bench.single_objective.baselines import seeded_numpy
from bostruct.errors import InputError
from bostruct.evaluators import Evaluation
from bostruct.runtime.rng import derive_seed
from bostruct.structures import SYMBOLS, from_ase, to_ase

POPULATION_SIZE = 20
OPERATOR_WEIGHTS = (3.0, 1.0, 1.0)
MAX_DUPLICATE_OFFSPRING = 1000
"""Number of duplicate children in a row after which the next member is random."""

MemberEvaluator = Callable[[Tensor], tuple[list[float], Evaluation | None]]
"""Function from the member at X `[d]` to its outcomes and its evaluation, None if it failed."""


@final
class PopulationDatabase:
    """In-memory stand-in for the database of ASE's population.

    Attributes:
        relaxed_candidates: All candidates with their scores.
        parent_pairs: Identifiers of the two parents of each child.
    """

    def __init__(self) -> None:
        self.relaxed_candidates: list[Any] = []
        self.parent_pairs: list[tuple[int, int]] = []

    def get_all_relaxed_candidates(
        self, only_new: bool = False, use_extinct: bool = False
    ) -> list[Any]:
        """Return all candidates."""
        return list(self.relaxed_candidates)

    def get_participation_in_pairing(self) -> tuple[dict[int, int], list[tuple[int, int]]]:
        """Return the number of children of each candidate, and the pairs of parents."""
        return dict(Counter(chain.from_iterable(self.parent_pairs))), self.parent_pairs


def run_genetic_algorithm(
    task: MultiObjectiveTask, seed: int, n_evaluations: int, evaluate_member: MemberEvaluator
) -> None:
    """Run the genetic algorithm for a number of evaluations.

    Args:
        task: Task whose space decorates a lattice.
        seed: Random seed.
        n_evaluations: Number of evaluations.
        evaluate_member: Function that evaluates a member and records the outcome.

    Raises:
        InputError: ase-ga is not installed.
    """
    try:
        from ase_ga.element_mutations import RandomElementMutation
        from ase_ga.offspring_creator import OperationSelector
        from ase_ga.population import MultiObjectivePopulation
        from ase_ga.slab_operators import CutSpliceSlabCrossover, RandomSlabPermutation
        from ase_ga.standard_comparators import AtomsComparator
    except ImportError as error:
        message = "ASE's genetic algorithm needs ase-ga: pip install 'bostruct[test]'."
        raise InputError(message) from error
    elements = [SYMBOLS[z] for z in task.search_space.numbers.tolist()]
    database, evaluated = PopulationDatabase(), set[tuple[float, ...]]()
    generator = torch.Generator().manual_seed(derive_seed(seed, "genetic"))

    def add_member(X: Tensor) -> None:
        evaluated.add(tuple(X.tolist()))
        Y, evaluation = evaluate_member(X)
        if evaluation is None:
            return
        utilities = task.optimization_config.utilities(torch.tensor(Y, dtype=torch.float64))
        atoms = to_ase(task.search_space.decode(X.unsqueeze(0)))[0]
        scores = {f"u{j}": float(u) for j, u in enumerate(utilities)}
        atoms.info["confid"] = len(evaluated)
        atoms.info["data"] = {}
        atoms.info["key_value_pairs"] = {"raw_score": scores["u0"], **scores}
        database.relaxed_candidates.append(atoms)

    with seeded_numpy(derive_seed(seed, "genetic", bits=32)):
        for X in task.sample(min(POPULATION_SIZE, n_evaluations), generator):
            add_member(X)
        population = MultiObjectivePopulation(
            database,
            POPULATION_SIZE,
            comparator=AtomsComparator(),  # symmetric duplicates never occur
            abs_data=[f"u{j}" for j in range(len(task.objectives))],
        )
        operators = OperationSelector(
            list(OPERATOR_WEIGHTS),
            [CutSpliceSlabCrossover(), RandomSlabPermutation(), RandomElementMutation(elements)],
        )
        while len(evaluated) < n_evaluations:
            population.update()
            for _ in range(MAX_DUPLICATE_OFFSPRING):
                parents = population.get_two_candidates()
                child, _ = operators.get_new_individual(list(parents))
                if child is None:
                    continue
                X = task.search_space.encode(from_ase([child]))[0]
                if tuple(X.tolist()) not in evaluated:
                    pair = sorted(parent.info["confid"] for parent in parents)
                    database.parent_pairs.append((pair[0], pair[1]))
                    break
            else:
                X = task.sample(1, generator)[0]
            add_member(X)
