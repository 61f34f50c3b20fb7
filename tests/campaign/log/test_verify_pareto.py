import json
import math
import sqlite3

import pytest
import torch

from bostruct.campaign import records
from bostruct.campaign.log.hash_chain import MUTABLE_COLUMNS
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.retraction import retract_trial
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.log.verify_pareto import max_difference
from bostruct.runtime.canonical_json import to_canonical_json
from bostruct.surrogates.properties.properties import IndependentModels
from tests.campaign import alloys


def changed(log, table, where, **values):
    """Change rows whose checksums are right again: only what they say is wrong."""
    connection = sqlite3.connect(log.folder / "campaign.db", isolation_level=None)
    connection.row_factory = sqlite3.Row
    query = f"SELECT rowid, * FROM bostruct_{table} WHERE {where}"
    for row in connection.execute(query).fetchall():
        new = dict(row)
        rowid = new.pop("rowid") if table == "outcome" else new["number"]
        for name, value in values.items():
            new[name] = value(new[name])
        new["checksum"] = records.row_checksum(new, MUTABLE_COLUMNS.get(table, ()))
        names = ", ".join(f"{name} = ?" for name in new)
        update = f"UPDATE bostruct_{table} SET {names} WHERE rowid = ?"
        connection.execute(update, (*new.values(), rowid))
    connection.close()


def problems(log):
    """Return what is wrong with the tables; nothing is rebuilt, which takes longest."""
    return verify_log(Log(log.folder)).problems


def test_a_good_log(screened):
    found = verify_log(screened)
    assert found.is_valid, found
    assert (found.n_trials, found.n_posteriors, found.n_rebuilt) == (15, 11, 11)


def test_a_log_in_which_something_was_retracted_is_good(screened):
    retract_trial(screened.folder, 6, "another structure")
    assert verify_log(screened).is_valid
    campaign = alloys.campaign()
    with campaign.open(screened.folder):
        (trial,) = campaign.ask()
        campaign.abandon(trial)
    assert 6 not in screened.steps()[-1].training_trials
    assert verify_log(screened).is_valid


@pytest.mark.parametrize(
    "query",
    [
        "UPDATE bostruct_outcome SET mean = mean + 1e-9 WHERE trial = 7 AND position = 0",
        "UPDATE bostruct_outcome SET is_exact = 1 WHERE trial = 7 AND name = 'modulus'",
        "UPDATE bostruct_outcome SET predictive_variance = 0 WHERE trial = 7 AND position = 1",
    ],
)
def test_a_row_that_was_changed(screened, query):
    connection = sqlite3.connect(screened.folder / "campaign.db", isolation_level=None)
    connection.execute(query)
    connection.close()
    (found, *_) = problems(screened)
    assert found.startswith("trial 7: the prediction of its ")
    assert "checksum differs" in found


def test_rows_that_were_lost(screened):
    connection = sqlite3.connect(screened.folder / "campaign.db", isolation_level=None)
    connection.execute("DELETE FROM bostruct_outcome WHERE trial = 7 AND position = 1")
    connection.execute("DELETE FROM bostruct_outcome WHERE trial = 8")
    connection.close()
    found = problems(screened)
    assert "trial 7 has lost its predictions" in found
    assert "trial 8 has lost its predictions" in found


@pytest.mark.parametrize("name", ["mean", "latent_variance", "predictive_variance"])
def test_what_is_said_is_what_the_posterior_file_has(screened, name):
    changed(
        screened,
        "outcome",
        "trial = 9 AND name = 'enthalpy'",
        **{name: lambda x: x * (1 + 1e-12) + 1e-15},
    )
    found = problems(screened)
    step = screened.trial_records()[9].step
    assert (
        f"trial 9: the {name} in the table of outcomes is not that in the posterior "
        f"file of step {step}"
    ) in found


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("hypervolume", 1e-8),
        ("front", 1.0),
        ("feasible", -1.0),
        ("reference_of_price", 0.01),
    ],
)
def test_a_front_that_does_not_follow_from_its_trials(screened, name, change):
    def other(text):
        numbers = json.loads(text)
        return to_canonical_json(numbers | {name: numbers[name] + change})

    changed(screened, "step", "number = 7", hyperparameters=other)
    chain, found = problems(screened)
    assert chain == "step 7 is not what was written: the hash chain differs"
    assert found.startswith("step 7: its front, its feasible structures or its hyp")


@pytest.mark.parametrize(
    "change",
    [
        {"calibration_factor_of_modulus": 1.5},
        {"calibration_tested_of_enthalpy": 40.0},
        {"calibration_more_of_enthalpy": 1.0},
        {"recalibration_shift_of_modulus": 0.9},
    ],
)
def test_a_calibration_that_knew_more_than_its_step(screened, change):
    def other(text):
        return to_canonical_json(json.loads(text) | change)

    changed(screened, "step", "number = 7", hyperparameters=other)
    _, found = problems(screened)
    assert found == ("step 7: its calibration is not that of the outcomes it was planned from")


def test_an_outcome_that_was_changed_changes_all_later_fronts(screened):
    def other(text):
        return to_canonical_json(json.loads(text) | {"enthalpy": -5.0})

    changed(screened, "trial", "number = 4", properties=other)
    found = [each for each in problems(screened) if "its front" in each]
    last = screened.steps()[-1].number
    first = screened.trial_records()[4].step + 1
    assert len(found) == last - first + 1


def test_every_outcome_of_a_rebuilt_posterior_is_compared(screened):
    """Where outputs were flattened, the second of two would take the first's place."""

    class Swapped:
        def __init__(self, inner):
            self.inner = inner

        def restore(self, state, space):
            model = self.inner.restore(state, space)
            first, second = model.models
            return IndependentModels(model.names, (second, first))

    screened.surrogate = Swapped(screened.surrogate)
    found = verify_log(screened).problems
    steps = [step for step in screened.steps() if step.file]
    assert len(found) == 4 * len(steps)
    assert "differs by up to" in found[0]


def test_differences():
    one = torch.tensor([1.0, 2.0, 3.0])
    assert max_difference(one, one.reshape(3, 1, 1), 1e-10) is None
    two = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert max_difference(two, two.unsqueeze(1), 1e-10) is None
    assert max_difference(two, two.T.unsqueeze(1), 1e-10) == 1.0
    assert max_difference(one, one.reshape(1, 1, 3), 1e-10) == math.inf
