"""Basin hopping in named coordinates."""

from __future__ import annotations

from pathlib import Path

from bostruct.bench.single_objective.coordinate_hopping import CoordinateHopping
from bostruct.bench.single_objective.named_tasks import TASKS
from tests.bench.single_objective.named_coordinates import TASK


def test_finds_the_minimum_by_projected_forces(tmp_path: Path) -> None:
    """A minimization follows both coordinates; equal seeds give equal runs."""
    method = CoordinateHopping(60)
    run = method.run(TASK, 0, tmp_path)
    assert run.energies[-1] is not None
    assert run.energies[-1] <= TASK.target_energy
    assert len(run.energies) < 40
    assert method.read(TASK, 0, tmp_path) == run
    assert method.run(TASK, 0, tmp_path / "again").energies == run.energies


def test_suits_named_coordinates() -> None:
    """Positions of atoms are for the basin hopping of ASE."""
    assert CoordinateHopping().suits(TASK)
    assert not CoordinateHopping().suits(TASKS["cu15"])
