"""BOSS as a method of the benchmark."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from bostruct.bench.single_objective import time_limited_search
from bostruct.bench.single_objective.boss import Boss
from bostruct.bench.single_objective.named_tasks import TASKS
from bostruct.errors import InputError
from tests.bench.single_objective.named_coordinates import TASK

needs_boss = pytest.mark.skipif(find_spec("boss") is None, reason="aalto-boss missing")


def test_the_package_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way out is its name."""
    monkeypatch.setattr(time_limited_search, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install aalto-boss"):
        Boss()


def test_limits_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is for named coordinates."""
    monkeypatch.setattr(time_limited_search, "find_spec", lambda name: object())
    with pytest.raises(InputError, match="`max_cpu_seconds` must be positive"):
        Boss(max_cpu_seconds=0.0)
    with pytest.raises(InputError, match="`max_evaluations` must be an integer"):
        Boss(max_evaluations=0)
    assert Boss().suits(TASK)
    assert not Boss().suits(TASKS["cu15"])


@needs_boss
@pytest.mark.filterwarnings("ignore")
def test_a_run_ends_at_its_limit_and_is_read_again(tmp_path: Path) -> None:
    """Energies are counted, and equal seeds give equal runs."""
    method = Boss(12, 120.0)
    run = method.run(TASK, 0, tmp_path)
    assert len(run.energies) == 12 or (run.energies[-1] or 1.0) <= TASK.target_energy
    assert not run.reason
    assert method.read(TASK, 0, tmp_path) == run
    assert method.run(TASK, 0, tmp_path / "again").energies == run.energies
