import json
from functools import partial

import pytest
import torch

from bostruct.bench.benchmark import (
    check_results_folder,
    check_unique_names,
    make_folder,
    run_jobs,
    seed_range,
    write_json,
)
from bostruct.campaign.campaign import MAX_SEED
from bostruct.errors import InputError, LogError
from bostruct.runtime.canonical_json import json_finite
from bostruct.runtime.threads import limited_threads


def square(n):
    if n < 0:
        raise ValueError("negative")
    return n * n


@pytest.mark.parametrize("n_workers", [1, 2])
def test_every_job_is_run_and_its_error_is_its_own(n_workers):
    futures = dict(run_jobs([partial(square, n) for n in (2, -1, 3)], n_workers))
    assert [futures[i].result() for i in (0, 2)] == [4, 9]
    assert isinstance(futures[1].exception(), ValueError)


def test_in_this_process_jobs_run_as_they_are_taken():
    called = []
    jobs = run_jobs([partial(called.append, n) for n in range(3)], 1)
    next(jobs)
    assert called == [0]


def test_jobs_run_in_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        ((_, future),) = run_jobs([torch.get_num_threads], 1)
        assert future.result() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_one_thread_puts_the_number_back(monkeypatch):
    set_to = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    with limited_threads(1):
        assert set_to == [1]
    assert set_to == [1, 7]


def test_numbers_that_json_lacks_are_none(tmp_path):
    values = {"a": [1.0, float("inf")], "b": (float("nan"), "x", None, 2)}
    assert json_finite(values) == {"a": [1.0, None], "b": [None, "x", None, 2]}
    write_json(values, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == json_finite(values)


def test_seeds_follow_each_other():
    assert list(seed_range(3, 2)) == [3, 4]
    assert list(seed_range(MAX_SEED, 1)) == [MAX_SEED]
    with pytest.raises(InputError, match="`first_seed` must be an integer of at least 0, got -1"):
        seed_range(-1, 2)
    with pytest.raises(InputError, match="`first_seed` must leave seeds up to 9223"):
        seed_range(MAX_SEED, 2)


def test_names_are_there_and_different():
    check_unique_names("tasks", ["a", "b"])
    with pytest.raises(InputError, match="`tasks` must be at least one, got none"):
        check_unique_names("tasks", [])
    with pytest.raises(InputError, match="`tasks` must have names of their own, got a, b"):
        check_unique_names("tasks", ["b", "a", "b", "a", "c"])


def test_folders_of_something_else_are_refused(tmp_path):
    check_results_folder(tmp_path / "new", lambda paths: False)
    check_results_folder(tmp_path, lambda paths: False)  # empty
    (tmp_path / "thesis.tex").touch()
    check_results_folder(tmp_path, lambda paths: [p.name for p in paths] == ["thesis.tex"])
    with pytest.raises(LogError, match="is not the folder of a benchmark and not empty"):
        check_results_folder(tmp_path, lambda paths: False)
    with pytest.raises(LogError, match="is a file, not a folder"):
        check_results_folder(tmp_path / "thesis.tex", lambda paths: True)
    with pytest.raises(LogError, match="could not make"):
        make_folder(tmp_path / "thesis.tex" / "below")
