import json

import pytest

from bostruct.bench.benchmark import make_folder
from bostruct.bench.uncertainty.split import split_structures
from bostruct.bench.uncertainty.split_run import run_split
from bostruct.errors import LogError
from tests.bench.uncertainty.fakes import Fake, dimers

DATA = dimers(80)
METHODS = {"right": Fake(), "too sure": Fake(claim=0.05)}


def sets(seed):
    return split_structures(DATA, n_train=10, n_calibrate=20, seed=seed)


def test_each_division_has_a_folder_of_its_own(tmp_path):
    first = run_split(sets(4), METHODS, 4, tmp_path)
    second = run_split(sets(5), METHODS, 5, tmp_path, is_first=False)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")} == {
        "methods/comparison.json",
        "methods/right.npz",
        "methods/too_sure.npz",
        "methods/seed-5/comparison.json",
        "methods/seed-5/right.npz",
        "methods/seed-5/too_sure.npz",
    }
    about = json.loads((tmp_path / "methods/seed-5/comparison.json").read_text())
    assert about == dict(second.description)
    assert (first.seed, second.seed, about["seed"]) == (4, 5, 5)
    assert {row.seed for row in second.rows} == {5}
    assert first.description["digest"] != about["digest"]


def test_only_what_is_missing_is_fitted(tmp_path):
    told = []
    run_split(sets(0), {"right": Fake()}, 0, tmp_path, told.append)
    (tmp_path / "methods" / "right.npz").touch()
    run_split(sets(0), METHODS, 0, tmp_path, told.append)
    run_split(sets(1), METHODS, 1, tmp_path, told.append, is_first=False)
    (tmp_path / "methods" / "seed-1" / "right.npz").unlink()
    run_split(sets(1), METHODS, 1, tmp_path, told.append, is_first=False)
    assert told == ["right", "too sure", "right", "too sure", "right"]


def test_nothing_is_kept_without_a_folder():
    found = run_split(sets(0), METHODS, 0)
    assert [one.method for one in found.predictions] == list(METHODS)
    assert found.has_variances("forces")
    assert not run_split(sets(0), {"shy": Fake(forces=False)}, 0).has_variances("forces")


def test_refuses_folders_of_something_else(tmp_path):
    run_split(sets(0), METHODS, 0, tmp_path / "o")
    with pytest.raises(LogError, match=r"o holds a comparison on other .* seed 0\)"):
        run_split(sets(1), METHODS, 1, tmp_path / "o")
    with pytest.raises(LogError, match="is not the folder of a comparison and not"):
        run_split(sets(1), METHODS, 1, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="could not make"):
        make_folder(tmp_path / "file" / "folder")
