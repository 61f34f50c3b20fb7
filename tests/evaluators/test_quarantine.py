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

VALID_RANGES = {"modulus": (1.0, 600.0), "ratio": (0.1, None), "volume": (4.0, 150.0)}
DERIVED_FROM = {"ratio": ("modulus",), "modulus": ("volume",)}


def evaluation(values, **options):
    properties, reasons = split_quarantined(values, VALID_RANGES, **options)
    return Evaluation(-1.0, properties=properties, provenance={"made": "so", **reasons})


def test_an_implausible_value_is_renamed():
    found = evaluation({"modulus": -2992.0, "volume": 11.0})
    assert trusted_properties(found) == {"volume": 11.0}
    ((name, quarantined),) = quarantined_properties(found).items()
    assert name == "modulus"
    assert quarantined.value == -2992.0
    assert quarantined.reason == "-2992 is outside its valid range, 1 to 600"


def test_a_quarantined_value_is_not_found_by_its_name():
    assert "modulus" not in evaluation({"modulus": 1761.0}).properties


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_has_only_a_reason(value):
    found = evaluation({"volume": value})
    assert found.properties == {}
    assert quarantined_properties(found)["volume"].value is None
    assert "is not a number" in quarantined_properties(found)["volume"].reason
    json.dumps(found.properties, allow_nan=False)


def test_derived_properties_follow_into_quarantine():
    found = evaluation({"ratio": 2.0, "modulus": 100.0, "volume": 900.0}, derived_from=DERIVED_FROM)
    assert trusted_properties(found) == {}
    reasons = {name: doubt.reason for name, doubt in quarantined_properties(found).items()}
    assert reasons["modulus"] == "it is computed from volume, which is in quarantine"
    assert reasons["ratio"] == "it is computed from modulus, which is in quarantine"


def test_a_reason_of_doubt_overrules_the_range():
    found = evaluation({"modulus": 100.0}, doubt_reasons={"modulus": "the fit is poor"})
    assert quarantined_properties(found)["modulus"].reason == "the fit is poor"
    assert quarantined_properties(found)["modulus"].value == 100.0


def test_a_missing_value_has_a_reason():
    found = evaluation({}, doubt_reasons={"modulus": "it raised"})
    assert quarantined_properties(found)["modulus"].value is None


@pytest.mark.parametrize(
    ("value", "valid_range", "reason"),
    [
        (1.0, (1.0, 2.0), ""),
        (2.0, (1.0, 2.0), ""),
        (5.0, None, ""),
        (5.0, (None, None), ""),
        (0.5, (1.0, None), "0.5 is outside its valid range, 1 and more"),
        (2.5, (None, 2.0), "2.5 is outside its valid range, 2 and less"),
    ],
)
def test_valid_ranges_include_their_bounds(value, valid_range, reason):
    assert range_violation(value, valid_range) == reason


def test_quarantine_passes_evaluate(pair):
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


def test_the_range_of_a_user_replaces_the_default():
    assert check_valid_ranges({"ratio": (2.0, None)}, VALID_RANGES)["ratio"] == (2.0, None)
    assert check_valid_ranges({}, VALID_RANGES) == VALID_RANGES


@pytest.mark.parametrize(
    ("valid_ranges", "match"),
    [
        ({"moduli": (0.0, 1.0)}, "must name properties, got moduli. Known are modulus"),
        ({"ratio": (1.0,)}, "must hold two bounds of ratio"),
        ({"ratio": 3.0}, "must hold two bounds of ratio"),
        ({"ratio": (2.0, 1.0)}, "a lower and a higher bound of ratio"),
        ({"ratio": (math.nan, 1.0)}, "a lower and a higher bound of ratio"),
    ],
)
def test_invalid_ranges_are_refused(valid_ranges, match):
    with pytest.raises(InputError, match=match):
        check_valid_ranges(valid_ranges, VALID_RANGES)
