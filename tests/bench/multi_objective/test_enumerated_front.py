import json

import pytest
import torch

from bostruct.bench.multi_objective import enumerated_front as module
from bostruct.bench.multi_objective.enumerated_front import (
    TableEvaluator,
    enumerate_front,
)
from bostruct.errors import InputError, LogError
from bostruct.evaluators import Failure
from tests.bench.tiny import NOT_UNMIXING, Rule, large, small


class Counting(Rule):
    calls = 0

    def __call__(self, structures):
        type(self).calls += 1
        if structures.formulas()[0] == "Cu2Ni2":
            raise RuntimeError("no")
        return super().__call__(structures)


def counted():
    Counting.calls = 0
    screen = small(constraints=(NOT_UNMIXING,))
    object.__setattr__(screen, "evaluator", Counting())
    return screen


def test_every_member_once_and_the_front_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_SIZE", 10)
    seen = []
    found = enumerate_front(counted(), tmp_path, on_progress=seen.append)
    assert Counting.calls == 35
    assert seen == [f"small: {n} of 35 members of the table" for n in (10, 20, 30, 35)]
    Y, goals = found.outcomes, found.task.optimization_config
    bad = (~Y.isfinite().all(-1)).nonzero().flatten().tolist()
    assert [found.members[i].tolist() for i in bad] == [[0.5, 0.5, 0.0, 0.0]]
    U = goals.utilities(Y)
    fit = [i for i in range(35) if i not in bad and bool(goals.is_feasible(Y[i]))]
    best = {i for i in fit if not any((U[j] >= U[i]).all() and (U[j] > U[i]).any() for j in fit)}
    assert found.front_indices == best
    assert len(best) > 2
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("small-")
    again = enumerate_front(counted(), tmp_path)
    assert Counting.calls == 0
    assert torch.equal(again.outcomes.nan_to_num(), Y.nan_to_num())


def test_an_interrupted_table_goes_on(tmp_path):
    enumerate_front(counted(), tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(json.dumps(json.loads(path.read_text())[:20]))
    enumerate_front(counted(), tmp_path)
    assert Counting.calls == 15


def test_workers_find_the_same(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    alone, together = (enumerate_front(small(), one), enumerate_front(small(), two, n_workers=2))
    assert torch.equal(alone.outcomes, together.outcomes)


def test_lookup_tells_what_is_true(tmp_path):
    found = enumerate_front(counted(), tmp_path)
    lookup = TableEvaluator(found)
    space = found.task.search_space
    told = lookup(space.decode(found.members[3:4]))
    true = Rule()(space.decode(found.members[3:4]))
    assert told.properties == dict(true.properties)
    assert told.energy == true.energy
    X = torch.tensor([[0.5, 0.5, 0.0, 0.0]], dtype=torch.float64)
    lost = lookup(space.decode(X))
    assert isinstance(lost, Failure)
    assert "RuntimeError: no" in lost.reason
    assert lookup.description()["evaluator"] == {"kind": "rule"}


def test_refused(tmp_path):
    with pytest.raises(InputError, match="have a space that can be listed"):
        enumerate_front(large(), tmp_path)
    screen = small()
    enumerate_front(screen, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text("{")
    with pytest.raises(LogError, match="Delete it"):
        enumerate_front(screen, tmp_path)
