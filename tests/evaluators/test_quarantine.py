import json
import math

import pytest

from bostruct.errors import InputError
from bostruct.evaluators import (
    Evaluation,
    evaluate,
    quarantined_properties,
    trusted_properties,
)
from bostruct.evaluators.quarantine import (
    check_valid_ranges,
    range_violation,
    split_quarantined,
)
from bostruct.structures import Structures

WINDOWS = {"modulus": (1.0, 600.0), "ratio": (0.1, None), "volume": (4.0, 150.0)}
RESTS = {"ratio": ("modulus",), "modulus": ("volume",)}


def evaluation(values, **options):
    properties, reasons = split_quarantined(values, WINDOWS, **options)
    return Evaluation(-1.0, properties=properties, provenance={"made": "so", **reasons})


def test_an_absurd_value_is_told_and_kept_apart():
    found = evaluation({"modulus": -2992.0, "volume": 11.0})
    assert trusted_properties(found) == {"volume": 11.0}
    (told,) = quarantined_properties(found).items()
    assert told[0] == "modulus"
    assert told[1].value == -2992.0
    assert told[1].reason == "-2992 is outside its window, 1 to 600"


def test_nobody_who_asks_by_name_gets_it():
    assert "modulus" not in evaluation({"modulus": 1761.0}).properties


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_a_reason_alone(value):
    found = evaluation({"volume": value})
    assert found.properties == {}
    assert quarantined_properties(found)["volume"].value is None
    assert "is not a number" in quarantined_properties(found)["volume"].reason
    json.dumps(found.properties, allow_nan=False)


def test_what_rests_on_it_goes_with_it_all_the_way():
    found = evaluation({"ratio": 2.0, "modulus": 100.0, "volume": 900.0}, derived_from=RESTS)
    assert trusted_properties(found) == {}
    reasons = {name: one.reason for name, one in quarantined_properties(found).items()}
    assert reasons["modulus"] == "it rests on volume, which is in quarantine"
    assert reasons["ratio"] == "it rests on modulus, which is in quarantine"


def test_a_doubt_overrules_the_window():
    found = evaluation({"modulus": 100.0}, doubt_reasons={"modulus": "the fit is poor"})
    assert quarantined_properties(found)["modulus"].reason == "the fit is poor"
    assert quarantined_properties(found)["modulus"].value == 100.0


def test_what_was_not_found_at_all_can_be_told():
    found = evaluation({}, doubt_reasons={"modulus": "it raised"})
    assert quarantined_properties(found)["modulus"].value is None


@pytest.mark.parametrize(
    ("value", "window", "reason"),
    [
        (1.0, (1.0, 2.0), ""),
        (2.0, (1.0, 2.0), ""),
        (5.0, None, ""),
        (5.0, (None, None), ""),
        (0.5, (1.0, None), "0.5 is outside its window, 1 and more"),
        (2.5, (None, 2.0), "2.5 is outside its window, 2 and less"),
    ],
)
def test_windows_hold_their_bounds(value, window, reason):
    assert range_violation(value, window) == reason


def test_quarantine_passes_the_guard(pair):
    inner = evaluation({"modulus": 1059.0, "volume": 11.0})
    found = evaluate(lambda _: inner, pair)
    assert trusted_properties(found) == {"volume": 11.0}
    assert quarantined_properties(found) == quarantined_properties(inner)
    assert found.provenance["made"] == "so"


@pytest.fixture
def pair() -> Structures:
    from ase import Atoms

    from bostruct.structures import from_ase

    return from_ase([Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]])])


def test_a_users_window_replaces_ours():
    assert check_valid_ranges({"ratio": (2.0, None)}, WINDOWS)["ratio"] == (2.0, None)
    assert check_valid_ranges({}, WINDOWS) == WINDOWS


@pytest.mark.parametrize(
    ("windows", "match"),
    [
        ({"moduli": (0.0, 1.0)}, "must name properties, got moduli. Known are modulus"),
        ({"ratio": (1.0,)}, "must hold two bounds of ratio"),
        ({"ratio": 3.0}, "must hold two bounds of ratio"),
        ({"ratio": (2.0, 1.0)}, "a lower and a higher bound of ratio"),
        ({"ratio": (math.nan, 1.0)}, "a lower and a higher bound of ratio"),
    ],
)
def test_windows_that_are_none_are_refused(windows, match):
    with pytest.raises(InputError, match=match):
        check_valid_ranges(windows, WINDOWS)
