import pytest

from bostruct.campaign.engines import DaskWorkers, make_engine
from bostruct.errors import InputError
from bostruct.runtime.executors import InProcess, Workers


def test_engines_by_name():
    assert isinstance(make_engine("in-process"), InProcess)
    processes, dask = make_engine("processes", 3), make_engine("dask", 2)
    assert isinstance(processes, Workers)
    assert processes.max_workers == 3
    assert isinstance(dask, DaskWorkers)
    assert (dask.n_workers, dask.starts_processes) == (2, True)
    there = make_engine("tcp://10.0.0.1:8786")
    assert isinstance(there, DaskWorkers)
    assert (there.client, there.starts_processes) == ("tcp://10.0.0.1:8786", False)


@pytest.mark.parametrize("name", ["ray", "", "Dask"])
def test_another_name_is_refused_in_a_sentence(name):
    known = "in-process, processes, dask or the address of a Dask scheduler"
    with pytest.raises(InputError, match=f"`engine` must be one of {known}, got '{name}'"):
        make_engine(name)


def test_refuses_a_number_that_is_no_count():
    with pytest.raises(InputError, match="`n_workers` must be an integer of at least 1, got 0"):
        make_engine("in-process", 0)
