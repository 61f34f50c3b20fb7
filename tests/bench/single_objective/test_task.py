import pytest
import torch
from ase import Atoms

from bostruct.bench.single_objective.task import Task, check_folder_name
from bostruct.errors import InputError
from bostruct.spaces import Cluster
from tests.bench.problems import task


def test_target():
    assert task(reference=-3.0).target_energy == pytest.approx(-2.95)


def test_the_space_is_made_once():
    made = []
    one = Task("a", lambda: made.append(0) or object(), task().evaluator, 0.0)
    assert made == []
    assert one.search_space is one.search_space
    assert made == [0]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "a b", "x\n"])
def test_refuses_what_is_no_name_of_a_folder(name):
    with pytest.raises(InputError, match="`name` must be the name of a folder, got"):
        task(name=name)


@pytest.mark.parametrize("name", ["lj7", "au5cu10", "A-1_b.c+d"])
def test_accepts_names(name):
    assert check_folder_name(name) == name


def test_refuses_numbers():
    with pytest.raises(InputError, match="`reference_energy` must be finite, got nan"):
        task(reference=float("nan"))
    with pytest.raises(InputError, match="`tolerance` must be positive and finite"):
        Task("a", task().make_space, task().evaluator, 0.0, tolerance=0.0)


def test_a_task_without_its_module_is_not_available():
    assert task().is_available
    assert task(required_module="json").is_available
    assert not task(required_module="no_such_calculator").is_available


def test_a_start_is_random_or_that_of_the_task():
    one, two = (torch.Generator().manual_seed(seed) for seed in (0, 1))
    assert not torch.equal(task().start(one), task().start(two))

    def pair(seed):
        return Atoms("Cu2", [(0, 0, 0), (2.3, 0, 0)])

    own = Task("own", lambda: Cluster("Cu2"), task().evaluator, 0.0, make_start=pair)
    X = own.start(one)
    assert X.shape == (1, 6)
    assert float(X[0, 3] - X[0, 0]) == pytest.approx(2.3)


def test_refuses_a_space_that_is_made_already():
    space = task().make_space()
    with pytest.raises(InputError, match="`make_space` must be a function that makes a sp"):
        Task("a", space, task().evaluator, 0.0)
