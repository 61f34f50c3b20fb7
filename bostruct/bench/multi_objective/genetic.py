"""ASE's genetic algorithm on a lattice: its operators and multi-objective population.

Random members first; then each child is a cut-and-splice of two parents, a permutation
of two unlike atoms, or an atom of another element, three to one to one. Parents come
from a population ranked by non-dominated fronts. A child that is no new member is made
again and costs nothing. Needs ase-ga, which was part of ASE up to 3.26:
pip install 'bostruct[test]'.
"""

from __future__ import annotations

from collections.abc import Callable
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
"""Children in a row that are nothing new; then the next member is random."""

MemberEvaluator = Callable[[Tensor], tuple[list[float], Evaluation | None]]
"""Evaluates the member at X `[d]`: its outcomes, and what was found."""


@final
class PopulationDatabase:
    """What ASE's population takes for its database.

    Attributes:
        relaxed_candidates: All candidates with their scores.
        parent_pairs: The parents of each child.
    """

    def __init__(self) -> None:
        self.relaxed_candidates: list[Any] = []
        self.parent_pairs: list[tuple[int, int]] = []

    def get_all_relaxed_candidates(
        self, only_new: bool = False, use_extinct: bool = False
    ) -> list[Any]:
        """Return all candidates."""
        return list(self.relaxed_candidates)

    def get_participation_in_pairing(
        self,
    ) -> tuple[dict[int, int], list[tuple[int, int]]]:
        """Return how often each was a parent, and the pairs."""
        counts: dict[int, int] = {}
        for pair in self.parent_pairs:
            for one in pair:
                counts[one] = counts.get(one, 0) + 1
        return counts, self.parent_pairs


def run_genetic_algorithm(
    task: MultiObjectiveTask,
    seed: int,
    n_evaluations: int,
    evaluate_member: MemberEvaluator,
) -> None:
    """Ask for `n_evaluations` members.

    Args:
        task: Its space decorates a lattice.
        seed: Of all that is random.
        n_evaluations: Evaluations.
        evaluate_member: Evaluates a member, and keeps what was found.

    Raises:
        InputError: ase-ga is not installed.
    """
    try:
        from ase_ga.element_mutations import RandomElementMutation
        from ase_ga.offspring_creator import OperationSelector
        from ase_ga.population import MultiObjectivePopulation
        from ase_ga.slab_operators import CutSpliceSlabCrossover, RandomSlabPermutation
    except ImportError as error:
        message = "ASE's genetic algorithm needs ase-ga: pip install 'bostruct[test]'."
        raise InputError(message) from error
    elements = [SYMBOLS[z] for z in task.search_space.numbers.tolist()]
    memory, seen = PopulationDatabase(), set[tuple[float, ...]]()
    generator = torch.Generator().manual_seed(derive_seed(seed, "genetic"))

    def judge(X: Tensor) -> None:
        seen.add(tuple(X.tolist()))
        Y, found = evaluate_member(X)
        if found is None:
            return
        utilities = task.optimization_config.utilities(torch.tensor(Y, dtype=torch.float64))
        atoms = to_ase(task.search_space.decode(X.unsqueeze(0)))[0]
        scores = {f"u{j}": float(u) for j, u in enumerate(utilities)}
        atoms.info["confid"] = len(seen)
        atoms.info["data"] = {}
        atoms.info["key_value_pairs"] = {"raw_score": scores["u0"], **scores}
        memory.relaxed_candidates.append(atoms)

    with seeded_numpy(derive_seed(seed, "genetic", bits=32)):
        for X in task.sample(min(POPULATION_SIZE, n_evaluations), generator):
            judge(X)
        population = MultiObjectivePopulation(
            memory,
            POPULATION_SIZE,
            comparator=IdentityComparator(),
            abs_data=[f"u{j}" for j in range(len(task.objectives))],
        )
        operators = OperationSelector(
            list(OPERATOR_WEIGHTS),
            [
                CutSpliceSlabCrossover(),
                RandomSlabPermutation(),
                RandomElementMutation(elements),
            ],
        )
        while len(seen) < n_evaluations:
            population.update()
            for _ in range(MAX_DUPLICATE_OFFSPRING):
                parents = population.get_two_candidates()
                child, _ = operators.get_new_individual(list(parents))
                if child is None:
                    continue
                X = task.search_space.encode(from_ase([child]))[0]
                if tuple(X.tolist()) not in seen:
                    pair = sorted(one.info["confid"] for one in parents)
                    memory.parent_pairs.append((pair[0], pair[1]))
                    break
            else:
                X = task.sample(1, generator)[0]
            judge(X)


@final
class IdentityComparator:
    """Candidates are different: what is equal by symmetry is never evaluated twice."""

    def looks_like(self, a: Any, b: Any) -> bool:  # noqa: ANN401 - ASE
        """Return whether two candidates are one."""
        return bool(a.info["confid"] == b.info["confid"])
