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

from bostruct.bench.multi_objective.tasks import Screen
from bostruct.bench.single_objective.baselines import seeded
from bostruct.errors import InputError
from bostruct.evaluators import Evaluation
from bostruct.runtime.rng import number
from bostruct.structures import SYMBOLS, from_ase, to_ase

POPULATION = 20
WEIGHTS = (3.0, 1.0, 1.0)
TRIES = 1000
"""Children in a row that are nothing new; then the next member is random."""

Ask = Callable[[Tensor], tuple[list[float], Evaluation | None]]
"""Evaluates the member at X `[d]`: its outcomes, and what was found."""


@final
class Memory:
    """What ASE's population takes for its database.

    Attributes:
        relaxed: All candidates with their scores.
        pairs: The parents of each child.
    """

    def __init__(self) -> None:
        self.relaxed: list[Any] = []
        self.pairs: list[tuple[int, int]] = []

    def get_all_relaxed_candidates(
        self, only_new: bool = False, use_extinct: bool = False
    ) -> list[Any]:
        """Return all candidates."""
        return list(self.relaxed)

    def get_participation_in_pairing(
        self,
    ) -> tuple[dict[int, int], list[tuple[int, int]]]:
        """Return how often each was a parent, and the pairs."""
        counts: dict[int, int] = {}
        for pair in self.pairs:
            for one in pair:
                counts[one] = counts.get(one, 0) + 1
        return counts, self.pairs


def genetic(screen: Screen, seed: int, count: int, ask: Ask) -> None:
    """Ask for `count` members.

    Args:
        screen: Its space decorates a lattice.
        seed: Of all that is random.
        count: Evaluations.
        ask: Evaluates a member, and keeps what was found.

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
    elements = [SYMBOLS[z] for z in screen.domain.numbers.tolist()]
    memory, seen = Memory(), set[tuple[float, ...]]()
    generator = torch.Generator().manual_seed(number(seed, "genetic"))

    def judge(X: Tensor) -> None:
        seen.add(tuple(X.tolist()))
        Y, found = ask(X)
        if found is None:
            return
        utilities = screen.goals.utilities(torch.tensor(Y, dtype=torch.float64))
        atoms = to_ase(screen.domain.decode(X.unsqueeze(0)))[0]
        scores = {f"u{j}": float(u) for j, u in enumerate(utilities)}
        atoms.info["confid"] = len(seen)
        atoms.info["data"] = {}
        atoms.info["key_value_pairs"] = {"raw_score": scores["u0"], **scores}
        memory.relaxed.append(atoms)

    with seeded(number(seed, "genetic", bits=32)):
        for X in screen.sample(min(POPULATION, count), generator):
            judge(X)
        population = MultiObjectivePopulation(
            memory,
            POPULATION,
            comparator=Different(),
            abs_data=[f"u{j}" for j in range(len(screen.objectives))],
        )
        operators = OperationSelector(
            list(WEIGHTS),
            [
                CutSpliceSlabCrossover(),
                RandomSlabPermutation(),
                RandomElementMutation(elements),
            ],
        )
        while len(seen) < count:
            population.update()
            for _ in range(TRIES):
                parents = population.get_two_candidates()
                child, _ = operators.get_new_individual(list(parents))
                if child is None:
                    continue
                X = screen.domain.encode(from_ase([child]))[0]
                if tuple(X.tolist()) not in seen:
                    pair = sorted(one.info["confid"] for one in parents)
                    memory.pairs.append((pair[0], pair[1]))
                    break
            else:
                X = screen.sample(1, generator)[0]
            judge(X)


@final
class Different:
    """Candidates are different: what is equal by symmetry is never evaluated twice."""

    def looks_like(self, a: Any, b: Any) -> bool:  # noqa: ANN401 - ASE
        """Return whether two candidates are one."""
        return bool(a.info["confid"] == b.info["confid"])
