import math

import pytest
import torch

from bostruct import Objective
from bostruct.campaign.analysis.outcome_table import (
    QuarantinedValue,
    check_learnable,
    outcome_matrix,
    outcome_values,
    quarantined_values,
    single_outcome,
)
from bostruct.campaign.records import OutcomePrediction, Trial
from bostruct.errors import InputError
from bostruct.objectives import OptimizationConfig
from tests.campaign.alloys import OBJECTIVES, STABLE

GOALS = OptimizationConfig(OBJECTIVES, STABLE)
PRICE = OutcomePrediction("price", 2.0, is_exact=True)
SAID = (OutcomePrediction("enthalpy", -0.1, 0.04, 0.09), PRICE)


def trial(state="done", number=0, said=SAID, **properties):
    provenance = {name: "absurd" for name in properties if name.startswith("quarantined.")}
    return Trial(
        number=number,
        step=0,
        key="k",
        attempt=1,
        state=state,
        generator="random",
        X=torch.zeros(3),
        energy=-1.5 if state == "done" else None,
        properties=properties,
        provenance=provenance,
        reason="it was wrong" if state == "retracted" else "",
        outcome_predictions=said,
    )


def test_measured_is_what_nobody_doubts():
    one = trial(**{"enthalpy": -0.2, "modulus": 700.0, "quarantined.volume": 1.0})
    assert outcome_values(one, GOALS) == {"enthalpy": -0.2, "energy": -1.5}
    assert outcome_values(trial("failed"), GOALS) == {}
    assert outcome_values(trial("retracted", enthalpy=-0.2), GOALS) == {}


def test_the_table_has_what_is_known_exactly_of_all():
    rows = [
        trial(enthalpy=-0.2, modulus=150.0),
        trial("failed", 1),
        trial("running", 2),
    ]
    found = outcome_matrix(rows, GOALS)
    assert found[0].tolist() == [-0.2, 150.0, 2.0]
    assert found[1:, 2].tolist() == [2.0, 2.0]
    assert found[1:, :2].isnan().all()
    assert outcome_matrix([], GOALS).shape == (0, 3)


def test_what_is_doubted_is_told_with_the_reason():
    rows = [
        trial(enthalpy=-0.2, modulus=-2992.0),
        trial(number=1, **{"quarantined.enthalpy": -50.0, "quarantined.volume": 1.0}),
        trial("retracted", 2, enthalpy=-0.2),
        trial("failed", 3),
    ]
    assert quarantined_values(rows, GOALS) == [
        QuarantinedValue(0, "modulus", -2992.0, "-2992 is outside its valid range, 1 to 600"),
        QuarantinedValue(1, "enthalpy", -50.0, "absurd"),
        QuarantinedValue(2, "all", None, "it was wrong"),
    ]


def test_goals_that_nothing_is_said_of_are_refused():
    rows = [trial(enthalpy=-0.2), trial("failed")]
    check_learnable(rows, GOALS, ["enthalpy", "energy"])
    check_learnable([trial("failed")], GOALS, ["modulus"])
    with pytest.raises(InputError, match=r"got 'modulus'\. The evaluator returned enth"):
        check_learnable(rows, GOALS, ["enthalpy", "modulus"])
    # One in quarantine is something said.
    check_learnable([trial(**{"quarantined.modulus": 1.0})], GOALS, ["modulus"])


def test_one_outcome_stands_where_the_energy_was():
    first, second = single_outcome([trial(enthalpy=-0.2), trial("failed", 1)], GOALS, "enthalpy")
    assert (
        first.energy,
        first.mean,
        first.latent_variance,
        first.predictive_variance,
    ) == (
        -0.2,
        -0.1,
        0.04,
        0.09,
    )
    assert second.energy is None
    (exact,) = single_outcome([trial(enthalpy=-0.2)], GOALS, "price")
    assert (exact.energy, exact.mean) == (2.0, None)


def test_logarithms_are_taken_here():
    goals = OptimizationConfig((Objective("cost", "minimize", log=True),))
    found = outcome_matrix([trial(said=(), cost=100.0), trial(said=(), cost=-1.0)], goals)
    assert found[0].tolist() == [2.0]
    assert math.isnan(float(found[1]))
