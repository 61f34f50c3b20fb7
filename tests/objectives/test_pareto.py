import itertools
import math
from dataclasses import replace

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.objectives import (
    Constraint,
    Objective,
    OptimizationConfig,
    dominance_rank,
    hypervolume,
    infer_reference_point,
    pareto_front,
)

NAN = math.nan


GOALS = OptimizationConfig(
    (Objective("H", "minimize"), Objective("B", "maximize")),
    (Constraint("price", upper=10.0),),
)


H, B = Objective("H", "minimize"), Objective("B", "maximize")
FREE = OptimizationConfig((H, B))


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


def box(m):
    return OptimizationConfig(tuple(Objective(f"u{j}", "maximize") for j in range(m)))


def union(points):
    """The volume of boxes from the origin, by inclusion and exclusion."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in itertools.combinations(points, size):
            sides = torch.stack(some).amin(0)
            total += (-1) ** (size + 1) * float(sides.prod())
    return total


def test_front():
    Y = tensor(
        [
            [0.0, 5.0, 1.0],
            [-1.0, 3.0, 1.0],
            [0.0, 4.0, 1.0],  # bettered by the first
            [-9.0, 9.0, 11.0],  # too dear
            [-9.0, 9.0, NAN],  # nobody knows whether it is
            [NAN, 9.0, 1.0],
            [-1.0, 3.0, 2.0],  # the second once more
            [-2.0, 3.0, 10.0],  # betters the second, dear enough
            [-2.0, 3.0, 10.0],
            [-math.inf, 9.0, 1.0],
        ]
    )
    rows = pareto_front(Y, GOALS)
    assert rows.tolist() == [0, 7]
    assert rows.dtype == torch.int64


@pytest.mark.parametrize("rows", [[], [[NAN, 1.0, 1.0]], [[1.0, 1.0, 11.0]]])
def test_no_front(rows):
    Y = tensor(rows).reshape(-1, 3)
    assert pareto_front(Y, GOALS).tolist() == []
    assert hypervolume(Y, GOALS, tensor([0.0, 0.0])) == 0.0


@pytest.mark.parametrize("t", [60, 1100])
def test_front_is_what_nothing_betters(t):
    """By definition, ties included; BoTorch takes another way above 1000 rows."""
    generator = torch.Generator().manual_seed(0)
    Y = torch.randint(0, 9, (t, 3), generator=generator).double()
    expected = []
    for i, y in enumerate(Y):
        betters = (y <= Y).all(1) & (y < Y).any(1)
        first = not (Y[:i] == y).all(1).any()
        if first and not betters.any():
            expected.append(i)
    assert pareto_front(Y, box(3)).tolist() == expected


def test_front_of_one_objective_is_the_best():
    assert pareto_front(tensor([[2.0], [1.0], [1.0]]), OptimizationConfig((H,))).tolist() == [1]


def test_reference_is_a_tenth_behind_the_worst_complete_row():
    Y = tensor([[0.0, 100.0], [2.0, 50.0], [-3.0, 80.0], [7.0, NAN]])
    assert infer_reference_point(Y, FREE).tolist() == pytest.approx([-2.5, 45.0])


def test_reference_counts_infeasible_rows():
    """Early on there may be no feasible one at all."""
    Y = tensor([[0.0, 100.0, 99.0], [2.0, 50.0, 99.0]])
    assert infer_reference_point(Y, GOALS).tolist() == pytest.approx([-2.2, 45.0])


def test_reference_is_the_users():
    goals = OptimizationConfig(
        (
            replace(H, reference=0.5),
            Objective("price", "minimize", log=True, reference=100.0),
        )
    )
    assert infer_reference_point(tensor([[0.0, 1.0]]), goals).tolist() == [-0.5, -2.0]
    assert infer_reference_point(tensor([]).reshape(0, 2), goals).tolist() == [
        -0.5,
        -2.0,
    ]


def test_reference_of_equal_rows():
    Y = tensor([[-4.0, 0.0], [-4.0, 0.0]])
    assert infer_reference_point(Y, FREE).tolist() == pytest.approx([3.6, -0.1])


def test_reference_without_a_complete_row():
    Y = tensor([[0.0, NAN], [2.0, NAN], [NAN, 50.0], [NAN, 100.0]])
    assert infer_reference_point(Y, FREE).tolist() == pytest.approx([-2.2, 45.0])


def test_refuses_a_reference_of_nothing():
    with pytest.raises(InputError, match="`Y` must hold a value of 'B', got none"):
        infer_reference_point(tensor([[0.0, NAN]]), FREE)


def test_hypervolume_of_two_boxes():
    """3 x 1 and 1 x 2 share 1 x 1."""
    Y = tensor([[3.0, 1.0], [1.0, 2.0]])
    assert hypervolume(Y, box(2), tensor([0.0, 0.0])) == 4.0


def test_hypervolume_of_one_objective():
    Y = tensor([[3.0], [1.0], [NAN]])
    assert hypervolume(Y, box(1), tensor([0.5])) == 2.5
    assert hypervolume(Y, box(1), tensor([3.5])) == 0.0


@pytest.mark.parametrize("m", [2, 3, 4])
def test_hypervolume_by_inclusion_and_exclusion(m):
    generator = torch.Generator().manual_seed(m)
    Y = torch.rand(9, m, generator=generator, dtype=torch.float64)
    found = hypervolume(Y, box(m), Y.new_zeros(m))
    assert found == pytest.approx(union(list(Y)), rel=1e-12)


def test_hypervolume_by_counting_cells():
    """On a lattice the union of boxes is a number of unit cells, exactly."""
    generator = torch.Generator().manual_seed(5)
    Y = torch.randint(1, 12, (30, 3), generator=generator)
    axes = torch.arange(12)
    cells = torch.cartesian_prod(axes, axes, axes)
    inside = (cells.unsqueeze(1) < Y).all(-1).any(-1).sum()
    assert hypervolume(Y.double(), box(3), torch.zeros(3).double()) == float(inside)


def test_hypervolume_counts_only_what_is_before_the_reference():
    Y = tensor([[3.0, 1.0], [5.0, -1.0], [0.0, 9.0], [2.0, 2.0]])
    alone = tensor([[3.0, 1.0], [2.0, 2.0]])
    origin = tensor([0.0, 0.0])
    assert hypervolume(Y, box(2), origin) == hypervolume(alone, box(2), origin) == 5.0


def test_hypervolume_leaves_out_the_infeasible():
    Y = tensor([[-3.0, 1.0, 1.0], [-9.0, 9.0, 11.0]])
    assert hypervolume(Y, GOALS, tensor([0.0, 0.0])) == 3.0


def test_refuses_a_reference_of_another_length():
    with pytest.raises(ShapeError, match=r"`reference_point` must have shape \[2\]"):
        hypervolume(tensor([[1.0, 1.0]]), FREE, tensor([0.0]))


def test_dominance_rank_counts_what_is_better():
    config = OptimizationConfig((Objective("a", "minimize"), Objective("b", "maximize")))
    Y = torch.tensor([[0, 1], [1, 1], [2, 0], [math.nan, 5], [-1, 0]], dtype=torch.float64)
    assert dominance_rank(Y, config).tolist() == [0, 1, 3, 5, 0]
    bounded = OptimizationConfig(config.objectives, (Constraint("b", lower=0.5),))
    assert dominance_rank(Y, bounded).tolist() == [0, 1, 7, 5, 5]
