"""Which results are doubted follows from the results alone."""

from dataclasses import replace

import pytest

from bostruct.campaign.analysis import doubts as module
from bostruct.campaign.analysis.doubts import find_doubts
from bostruct.surrogates import LocalGP
from tests.campaign.analysis.test_equal_energies import SPACE, copied, trials
from tests.campaign.standin import GP


def lower(rows, number, depth=1000.0):
    return [replace(t, energy=t.energy - depth) if t.number == number else t for t in rows]


@pytest.mark.parametrize("surrogate", [LocalGP(), GP()])
def test_a_hole_and_a_copy_are_doubted(surrogate):
    rows = copied(lower(trials(14), 5), 3, 7)
    found = find_doubts(rows, SPACE, surrogate)
    assert sorted(found) == [3, 5, 7]
    assert "far below all others" in found[5]
    assert find_doubts(trials(14), SPACE, surrogate) == {}


def test_a_low_energy_is_no_evidence_where_the_energy_is_no_objective():
    assert find_doubts(lower(trials(14), 5), SPACE, None) == {}


def test_trusted_ones_are_not_doubted():
    rows = copied(lower(trials(14), 5), 3, 7)
    rows = [replace(t, trust="converged") if t.number in (3, 5) else t for t in rows]
    assert sorted(find_doubts(rows, SPACE, LocalGP())) == [7]


def test_long_campaigns_are_compared_in_part(monkeypatch):
    monkeypatch.setattr(module, "MAX_COMPARED", 12)
    rows = lower(trials(30), 2)
    assert sorted(find_doubts(rows, SPACE, LocalGP())) == [2]


def test_forces_are_not_needed():
    assert sorted(find_doubts(lower(trials(14, with_forces=False), 5), SPACE, LocalGP())) == [5]
