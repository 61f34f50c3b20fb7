import math

import pytest
import torch

from bostruct.bench.multi_objective.enumerated_front import enumerate_front
from bostruct.bench.multi_objective.front_recovery import (
    HypervolumeScale,
    enumerated_recovery,
)
from bostruct.bench.multi_objective.run import FrontRun
from tests.bench.tiny import NOT_UNMIXING, large, small


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return enumerate_front(small(constraints=(NOT_UNMIXING,)), tmp_path_factory.mktemp("truth"))


def scale_of(table):
    return HypervolumeScale.from_outcomes(table.outcomes, table.task.optimization_config)


def recovered(table, *given):
    return enumerated_recovery(asked(table, *given), table, scale_of(table))


def asked(table, places, spoil=None):
    X, Y = table.members[places], table.outcomes[places].clone()
    if spoil is not None:
        spoil(Y)
    return FrontRun("small", "random", 0, X, Y, "x")


def test_the_whole_table_has_the_whole_front(table):
    found = recovered(table, list(range(35)))
    assert found.hypervolume[-1] == pytest.approx(1.0)
    assert found.recall[-1] == 1.0
    assert list(found.hypervolume) == sorted(found.hypervolume)
    assert (found.n_absurd, found.n_infeasible, found.attainable_hypervolume) == (0, 0, 1.0)
    assert found.evaluations_to(1.1) is None
    first = found.evaluations_to(0.5)
    assert found.hypervolume[first - 1] >= 0.5
    assert first == 1 or found.hypervolume[first - 2] < 0.5


def test_recall_is_the_share_of_the_front(table):
    best = sorted(table.front_indices)
    found = recovered(table, best)
    assert found.recall == pytest.approx([(i + 1) / len(best) for i in range(len(best))])
    assert found.hypervolume[-1] == pytest.approx(1.0)


def test_the_volume_is_that_of_two_rectangles(table):
    """Of two objectives: a sum of areas, computed here by hand."""
    goals, scale = table.task.optimization_config, scale_of(table)
    best = sorted(table.front_indices, key=lambda i: -float(table.outcomes[i, 0]))
    U = goals.utilities(table.outcomes[best]) - scale.reference_point  # falls, rises
    heights = torch.cat([U[:1, 1], U[1:, 1] - U[:-1, 1]])
    area = float((U[:, 0] * heights).sum())
    assert scale.total == pytest.approx(area)
    one = float(U[0].prod()) / area
    assert recovered(table, best[:1]).hypervolume[0] == pytest.approx(one)


def test_what_failed_is_neither_found_nor_to_be_had(table):
    best = sorted(table.front_indices)

    def fail(Y):
        Y[0, 0] = math.nan

    found = recovered(table, best, fail)
    assert found.recall[-1] == pytest.approx(1 - 1 / len(best))
    assert found.hypervolume[0] == 0.0
    assert found.attainable_hypervolume < 1
    assert found.hypervolume[-1] <= found.attainable_hypervolume + 1e-12


def test_absurd_and_infeasible_ones_are_counted(table):
    goals = table.task.optimization_config
    bad = (~goals.is_feasible(table.outcomes)).nonzero().flatten().tolist()[0]

    def absurd(Y):
        Y[0, 0] *= 100

    assert recovered(table, sorted(table.front_indices), absurd).n_absurd == 1

    def promise(Y):
        Y[0, 2] = -1.0

    found = recovered(table, [bad], promise)
    assert found.n_infeasible == 1
    assert found.hypervolume[-1] == 0.0, "what is true counts, not what is believed"


def test_without_a_truth_all_searches_together_are_the_scale():
    screen = large()
    X = screen.sample(8, torch.Generator().manual_seed(0))
    Y = torch.tensor(
        [
            screen.outcomes(x, screen.evaluator(screen.search_space.decode(x.unsqueeze(0))))
            for x in X
        ],
        dtype=torch.float64,
    )
    parts = [
        FrontRun("large", name, 0, X[rows], Y[rows], "x")
        for name, rows in (("a", slice(0, 4)), ("b", slice(4, 8)), ("c", slice(0, 8)))
    ]
    every = torch.cat([part.Y for part in parts])
    common = HypervolumeScale.from_outcomes(every, screen.optimization_config)
    shares = [common.history(part.Y)[-1] for part in parts]
    assert shares[2] == pytest.approx(1.0)
    assert max(shares[:2]) <= 1.0
