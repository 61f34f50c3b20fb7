"""Minima as lines of text."""

from __future__ import annotations

from bostruct.campaign.analysis.minima import Minima
from bostruct.campaign.report.minima_text import minima_lines, minimum_state
from tests.campaign.report.water_minima import EVALUATED, PREDICTED


def test_table_and_probability() -> None:
    """One line each, what is not evaluated with its σ."""
    lines = minima_lines(Minima((EVALUATED, PREDICTED), 0.25, 300.0, 0.123))
    assert "2 within 0.25 eV of the lowest, 1 evaluated, 1 relaxed" in lines[0]
    assert "12.3% that one which the model shows" in lines[1]
    assert "weight  at 300 K" in lines[2]
    assert lines[3].split()[:4] == ["3", "-1.000000", "0.0000", "-"]
    assert lines[4].split()[:4] == ["-", "-0.900000", "0.1000", "0.0200"]
    assert lines[4].endswith("not evaluated, a minimum of the model")
    assert minima_lines(Minima((EVALUATED,) * 3, 0.25, 300.0, 0.1), 2)[-1].startswith("and 1 more")
    unknown = minima_lines(Minima((EVALUATED,), 0.25, 300.0, None, "no step"))
    assert "not known: no step" in unknown[1]
    members = minima_lines(Minima((EVALUATED,), 0.25, 300.0, None))
    assert "structures are separate members" in members[1]


def test_state_in_words() -> None:
    """Relaxed by the evaluator or not, and the largest force."""
    assert minimum_state(EVALUATED) == "relaxed, largest force 0.010 eV/Å"
