import json

import numpy as np
import pytest
from ase.calculators.emt import EMT

from bostruct.bench import Task, basin_hopping, random_search
from bostruct.bench.single_objective.baselines import filter_arguments, seeded_numpy
from bostruct.errors import InputError, LogError
from bostruct.evaluators import Calculator, Failure, Function
from bostruct.spaces import Cluster, Crystal

METHODS = pytest.mark.parametrize("method", [random_search, basin_hopping])


def state():
    return np.random.get_state()[1].tolist()  # noqa: NPY002 - the one ASE uses


def copper(reference=5.3946, n=5, evaluator=None):
    evaluator = evaluator or Calculator(EMT)
    return Task(f"cu{n}", lambda: Cluster(f"Cu{n}"), evaluator, reference, 0.02)


@METHODS
def test_finds_a_small_cluster_and_counts_every_call(method, tmp_path):
    calls = []

    def energy(atoms):
        calls.append(atoms.positions.copy())
        atoms.calc = EMT()
        return atoms.get_potential_energy(), atoms.get_forces()

    task = copper(evaluator=Function(energy))
    run = method(500).run(task, 0, tmp_path)
    assert run.evaluations_to_success == len(run.energies) == len(calls) > 5
    assert run.best_energy <= task.target_energy
    assert len({call.tobytes() for call in calls}) == len(calls)


@METHODS
def test_seeds_decide_and_leave_numpy_alone(method, tmp_path):
    before = state()
    first = method(40).run(copper(-99), 0, tmp_path / "a")
    assert state() == before
    assert method(40).run(copper(-99), 0, tmp_path / "b") == first
    assert method(40).run(copper(-99), 1, tmp_path / "a").energies != first.energies
    assert (len(first.energies), first.evaluations_to_success, first.is_finished) == (
        40,
        None,
        True,
    )


@METHODS
def test_what_was_written_is_read(method, tmp_path):
    def never(atoms):
        raise AssertionError

    task, hard = copper(), copper(-99)
    assert method(30).read(task, 0, tmp_path).energies == ()
    run = method(30).run(hard, 0, tmp_path)
    assert method(30).read(hard, 0, tmp_path) == run
    assert method(20).read(hard, 0, tmp_path).is_finished
    assert not method(31).read(hard, 0, tmp_path).is_finished, "too short: run again"
    assert len(method(31).run(hard, 0, tmp_path).energies) == 31
    other = copper(-99, evaluator=Function(never))
    assert method(30).read(other, 0, tmp_path).energies == (), "of another evaluator"


def test_the_methods_do_not_share_files(tmp_path):
    random_search(10).run(copper(-99), 0, tmp_path)
    basin_hopping(10).run(copper(-99), 0, tmp_path)
    names = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.json")}
    assert names == {"cu5/random-search/seed-000.json", "cu5/basin-hopping/seed-000.json"}


@METHODS
@pytest.mark.parametrize("answer", [Failure("no"), 1.0, (float("nan"), None)])
def test_ends_at_the_cap_whatever_the_evaluator_does(method, answer, tmp_path):
    task = copper(-99, evaluator=Function(lambda atoms: answer))
    assert len(method(7).run(task, 0, tmp_path).energies) == 7


@METHODS
def test_damaged_files_are_refused(method, tmp_path):
    method(5).run(copper(-99), 0, tmp_path)
    (path,) = tmp_path.rglob("*.json")
    path.write_text("{")
    with pytest.raises(LogError, match=r"could not read .*json: .* Delete it"):
        method(5).read(copper(-99), 0, tmp_path)
    path.write_text(json.dumps([1]))
    assert method(5).read(copper(-99), 0, tmp_path).energies == ()


def test_refuses_a_cap():
    with pytest.raises(InputError, match="`max_evaluations` must be an integer of"):
        random_search(0)


def test_seeded_puts_the_state_back_after_an_error():
    before = state()

    @seeded_numpy(3)
    def fails():
        assert state() != before
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert state() == before


def test_cells_vary_as_those_of_the_space():
    cell = [4.0, 4.0, 4.0]
    swelling = Crystal("Cu4", cell=cell, variable="volume", pressure=0.1)
    assert filter_arguments(Crystal("Cu4")) == {"scalar_pressure": 0.0}
    assert filter_arguments(swelling) == {"scalar_pressure": 0.1, "hydrostatic_strain": True}
    layer = filter_arguments(Crystal("Cu4", periodic=(True, True, False)))
    assert layer["mask"] == [1, 1, 0, 0, 0, 1]
