"""The cost of long lists: that it measures what it says."""

import pytest
import torch

from bostruct.bench.performance import pool_scaling
from bostruct.structures import to_ase


def test_a_million_compositions_are_that_many():
    assert pool_scaling.compositions().size == 1_107_568


def test_the_rule_tells_compositions_apart():
    space = pool_scaling.compositions(9)
    X = space.sample(20, torch.Generator().manual_seed(0))
    found = [pool_scaling.composition_rule(one) for one in to_ase(space.decode(X))]
    for objective in pool_scaling.OBJECTIVES:
        assert len({one.properties[objective.name] for one in found}) == 20


@pytest.mark.slow
def test_a_table_is_printed(capsys):
    pytest.importorskip("icet")
    threads = torch.get_num_threads()
    pool_scaling.main(["orderings", "--size", "3", "--data", "8", "--steps", "3"])
    out = capsys.readouterr().out
    for head in ("members", "features s", "step s", "peak memory GB"):
        assert head in out
    assert torch.get_num_threads() == threads


def test_a_cost_counts_every_step_but_the_first():
    found = pool_scaling.measure_step_cost(pool_scaling.compositions(9), n_initial=6, n_steps=2)
    assert found["members"] == 5005
    assert found["step s"] > 0
    assert found["of it fit"] > 0
    assert found["peak memory GB"] > 0.05  # torch alone is larger
