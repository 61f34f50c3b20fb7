import math

import pytest
import torch

from bostruct.bench.multi_objective.run import FrontRun, read_run
from bostruct.errors import LogError


def trace(**more):
    """Return a trace of three evaluations, the second of which failed."""
    X = torch.arange(6, dtype=torch.float64).reshape(3, 2)
    Y = torch.tensor([[1.0, 2.0], [math.nan, 2.0], [3.0, 0.0]], dtype=torch.float64)
    fields = {"task": "small", "method": "random", "seed": 4, "X": X, "Y": Y}
    return FrontRun(**(fields | {"digest": "abc"} | more))


def test_a_file_keeps_it(tmp_path):
    whole = trace(step_seconds=((1.0, 2.0, 0.5),), evaluation_seconds=0.25)
    path = tmp_path / "a" / "b.json"
    whole.write(path)
    found = read_run(path)
    assert torch.equal(found.X, whole.X)
    assert torch.equal(found.Y.nan_to_num(-9), whole.Y.nan_to_num(-9))
    assert found.json() == whole.json()
    assert len(found) == 3
    assert read_run(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    "text", ["{", "{}", "[]", '{"X": [], "Y": [], "step_seconds": [], "format": 2}']
)
def test_refuses_what_is_no_trace(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(LogError, match="Delete it"):
        read_run(tmp_path / "a.json")


def test_another_format_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"screen": "small", "identity": "abc", "X": [], "Y": []}')
    with pytest.raises(LogError, match="has format 1, not 2: it was written by another version"):
        read_run(path)
