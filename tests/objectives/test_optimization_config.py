import json
import math

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.objectives import Constraint, Objective, OptimizationConfig

GOALS = OptimizationConfig(
    (
        Objective("H", "minimize", unit="eV"),
        Objective("B", "maximize", unit="GPa", reference=50.0, valid_range=(0.0, 1000.0)),
        Objective("price", "minimize", log=True),
    ),
    (
        Constraint("density", upper=9.0, lower=2.0, unit="g/cm3"),
        Constraint("price", upper=1000.0, unit="EUR/kg"),
    ),
)
RAW = {"H": -0.25, "B": 180.0, "price": 100.0, "density": 8.0}


def test_names_and_units():
    assert GOALS.outcome_names == ("H", "B", "price", "density")
    assert GOALS.units == {
        "H": "eV",
        "B": "GPa",
        "price": "EUR/kg",
        "density": "g/cm3",
    }


def test_outcomes_and_back():
    row = GOALS.outcome_vector(RAW | {"of no interest": 3.0})
    assert row == [-0.25, 180.0, 2.0, 8.0]
    raw = GOALS.untransform(torch.tensor(row, dtype=torch.float64))
    assert raw.tolist() == [RAW[name] for name in GOALS.outcome_names]


@pytest.mark.parametrize(
    ("name", "value"),
    [("H", math.nan), ("B", math.inf), ("price", 0.0), ("price", -1.0)],
)
def test_what_has_no_place_is_nan(name, value):
    row = GOALS.outcome_vector(RAW | {name: value})
    assert [math.isnan(y) for y in row] == [each == name for each in GOALS.outcome_names]


def test_a_missing_outcome_is_nan():
    assert math.isnan(GOALS.outcome_vector({"H": 1.0})[1])


def test_utilities_are_larger_where_better():
    Y = torch.tensor([GOALS.outcome_vector(RAW)], dtype=torch.float64)
    assert GOALS.utilities(Y).tolist() == [[0.25, 180.0, -2.0]]


def test_slacks_have_a_column_per_bound():
    Y = torch.tensor([GOALS.outcome_vector(RAW)], dtype=torch.float64)
    assert GOALS.constraint_values(Y).tolist() == [[-1.0, -6.0, -1.0]]
    names = ("density <= 9", "density >= 2", "price <= 1000")
    assert GOALS.constraint_labels == names


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"density": 9.0}, True),
        ({"density": 9.1}, False),
        ({"density": 1.9}, False),
        ({"price": 1001.0}, False),
        ({"density": math.nan}, False),
        ({"H": math.nan}, True),
    ],
)
def test_feasible(change, good):
    Y = torch.tensor([GOALS.outcome_vector(RAW | change)], dtype=torch.float64)
    assert GOALS.is_feasible(Y).tolist() == [good]


def test_without_constraints_all_is_feasible():
    goals = OptimizationConfig((Objective("H", "minimize"),))
    assert goals.constraint_values(torch.zeros(2, 5, 1)).shape == (2, 5, 0)
    assert goals.is_feasible(torch.zeros(2, 5, 1)).all()


def test_follows_dtype_and_shape(device):
    Y = torch.rand(2, 3, 4, dtype=torch.float32, device=device)
    for value, last in ((GOALS.utilities(Y), 3), (GOALS.constraint_values(Y), 3)):
        assert value.shape == (2, 3, last)
        assert value.dtype == torch.float32
        assert value.device.type == device.type


def test_description_is_json_and_rebuilds_the_goals():
    text = json.dumps(GOALS.description())
    found = json.loads(text)
    assert found == GOALS.description()
    again = OptimizationConfig(
        tuple(
            Objective(**part | {"valid_range": part["valid_range"] and tuple(part["valid_range"])})
            for part in found["objectives"]
        ),
        tuple(Constraint(**part) for part in found["constraints"]),
    )
    assert again == GOALS


def test_lists_will_do():
    goals = OptimizationConfig([Objective("H", "minimize")], [Constraint("B", lower=0)])
    assert goals == OptimizationConfig((Objective("H", "minimize"),), (Constraint("B", lower=0),))
    assert hash(goals) == hash(goals)


@pytest.mark.parametrize("direction", [None, "smaller"])
def test_refuses_an_objective_without_direction(direction):
    with pytest.raises(InputError, match="`direction` must be 'minimize' or 'maximize' for 'H'"):
        Objective("H", direction)


@pytest.mark.parametrize("name", ["", 3])
def test_refuses_no_name(name):
    with pytest.raises(InputError, match="`name` must be the name of an outcome"):
        Objective(name, "minimize")
    with pytest.raises(InputError, match="`name` must be the name of an outcome"):
        Constraint(name, upper=0.0)


def test_refuses_a_reference_that_is_no_number():
    with pytest.raises(InputError, match="`reference` must be finite for 'H', got nan"):
        Objective("H", "minimize", reference=math.nan)


@pytest.mark.parametrize("bound", ["upper", "lower"])
def test_refuses_a_bound_that_is_no_number(bound):
    with pytest.raises(InputError, match=f"`{bound}` must be finite for 'H', got inf"):
        Constraint("H", **{bound: math.inf})


@pytest.mark.parametrize("window", [(1.0, 1.0), (2.0, 1.0), (0.0,), (0.0, math.nan)])
def test_refuses_a_window_that_lets_nothing_through(window):
    with pytest.raises(InputError, match="`valid_range` must be two ends for 'H', the"):
        Objective("H", "minimize", valid_range=window)
    with pytest.raises(InputError, match="`valid_range` must be two ends for 'H', the"):
        Constraint("H", upper=0.0, valid_range=window)


def test_a_window_may_be_open():
    assert Objective("H", "minimize", valid_range=(None, 3.0)).valid_range == (
        None,
        3.0,
    )


def test_refuses_a_constraint_without_bound():
    with pytest.raises(InputError, match="`constraint` must have a bound on 'H'"):
        Constraint("H")


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (1.0, 2.0)])
def test_refuses_bounds_that_cross(bounds):
    upper, lower = bounds
    with pytest.raises(InputError, match="`lower` must be less than `upper` for"):
        Constraint("H", upper=upper, lower=lower)


def test_refuses_no_objectives():
    with pytest.raises(InputError, match="`objectives` must hold one at least"):
        OptimizationConfig((), (Constraint("H", upper=0.0),))


def test_refuses_two_of_one_name():
    with pytest.raises(InputError, match=r"`objectives` must have .* \['H'\] twice"):
        OptimizationConfig((Objective("H", "minimize"), Objective("H", "maximize")))
    two = (Constraint("B", upper=3.0), Constraint("B", lower=1.0))
    with pytest.raises(InputError, match=r"`constraints` must have .* \['B'\] twice"):
        OptimizationConfig((Objective("H", "minimize"),), two)


def test_refuses_what_has_no_logarithm():
    with pytest.raises(InputError, match="`reference` must be positive for 'p', which"):
        Objective("p", "minimize", log=True, reference=0.0)
    logs = (Objective("p", "minimize", log=True),)
    for bound in ("upper", "lower"):
        with pytest.raises(InputError, match=f"`{bound}` must be positive for 'p', which"):
            OptimizationConfig(logs, (Constraint("p", **{bound: -1.0}),))


def test_refuses_two_units_of_one_outcome():
    one, other = Objective("B", "maximize", unit="GPa"), Constraint("B", 1.0, unit="eV")
    with pytest.raises(InputError, match=r"`unit` must be one for 'B', got \['GPa', 'e"):
        OptimizationConfig((one,), (other,))


def test_refuses_outcomes_of_another_length():
    for function in (
        GOALS.utilities,
        GOALS.constraint_values,
        GOALS.is_feasible,
        GOALS.untransform,
    ):
        with pytest.raises(ShapeError, match=r"`Y` must have shape \[2, 4\]"):
            function(torch.zeros(2, 3))


def test_windows_of_one_outcome_both_hold():
    goals = OptimizationConfig(
        (
            Objective("B", "maximize", valid_range=(1.0, None)),
            Objective("x", "minimize"),
        ),
        (Constraint("B", lower=2.0, valid_range=(0.0, 600.0)),),
    )
    assert goals.valid_ranges == {"B": (1.0, 600.0)}
