"""Tasks of conformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bostruct.bench.single_objective.baselines import basin_hopping, random_search
from bostruct.bench.single_objective.conformers import CONFORMERS
from bostruct.bench.single_objective.load import load_tasks_and_settings
from bostruct.evaluators import evaluate

NEEDS_TBLITE = pytest.mark.skipif(
    not all(task.is_available for task in CONFORMERS.values()), reason="tblite missing"
)


@NEEDS_TBLITE
@pytest.mark.parametrize("name", CONFORMERS)
def test_the_stored_conformer_has_the_reference_energy(name: str) -> None:
    """It is a conformer of the space, and no small turn lowers its energy by more than rounding."""
    task = CONFORMERS[name]
    space = task.search_space
    x = space.reference_angles
    assert space.contains(x)
    energy = evaluate(task.evaluator, space.decode(x)).energy
    assert energy == pytest.approx(task.reference_energy, abs=1e-4)
    turns = 0.05 * torch.eye(space.dimension, dtype=torch.float64)
    for turn in (*turns, *-turns):
        assert evaluate(task.evaluator, space.decode(x + turn)).energy > energy - 1e-4


def test_the_group_stands_for_its_tasks() -> None:
    """All tasks of the group have few torsions."""
    tasks, _ = load_tasks_and_settings(["conformers"])
    assert tasks == list(CONFORMERS.values())
    assert [task.search_space.dimension for task in tasks] == [2, 4, 6]


@NEEDS_TBLITE
def test_random_search_takes_conformers_as_they_are(tmp_path: Path) -> None:
    """It evaluates every sample once; a search that moves atoms does not suit."""
    task = CONFORMERS["aminopropanol"]
    method = random_search(6)
    assert method.suits(task)
    assert not basin_hopping(6).suits(task)
    run = method.run(task, 0, tmp_path)
    assert len(run.energies) == 6
    assert min(run.energies) > task.reference_energy - 1e-3
