from importlib.util import find_spec

import pytest

from bostruct.bench.single_objective import time_limited_search
from bostruct.bench.single_objective.beacon import Beacon, covalent_scale
from bostruct.bench.single_objective.matter import MATTER
from bostruct.bench.single_objective.named_tasks import TASKS
from bostruct.errors import InputError

INSTALLED = find_spec("gpatom") is not None
needs_gpatom = pytest.mark.skipif(not INSTALLED, reason="ase-gpatom missing")


def test_the_package_is_needed(monkeypatch):
    monkeypatch.setattr(time_limited_search, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install ase-gpatom"):
        Beacon()


def test_limits_are_checked(monkeypatch):
    monkeypatch.setattr(time_limited_search, "find_spec", lambda name: object())
    with pytest.raises(InputError, match="`max_cpu_seconds` must be positive"):
        Beacon(max_cpu_seconds=0.0)
    with pytest.raises(InputError, match="`max_evaluations` must be an integer"):
        Beacon(max_evaluations=0)


def test_radii_become_covalent_ones():
    assert covalent_scale(TASKS["cu15"]) == pytest.approx(1.0)
    assert covalent_scale(TASKS["lj13"]) == pytest.approx(1.06 / 0.56)
    assert covalent_scale(MATTER["ar13"]) == pytest.approx(1.06 / (0.56 * 3.4))


@needs_gpatom
def test_a_run_ends_at_its_limit_and_is_read_again(tmp_path):
    method = Beacon(3, 60.0)
    run = method.run(TASKS["lj13"], 0, tmp_path)
    assert len(run.energies) == 3
    assert run.cpu_seconds > 0
    assert not run.reason
    assert method.read(TASKS["lj13"], 0, tmp_path) == run
    assert Beacon(3, 60.0).run(TASKS["lj13"], 0, tmp_path / "again").energies == run.energies


@needs_gpatom
def test_cpu_time_ends_a_run(tmp_path):
    run = Beacon(50, 1e-3).run(TASKS["lj13"], 0, tmp_path)
    assert "CPU time" in run.reason
    assert run.is_finished
    assert not run.energies
