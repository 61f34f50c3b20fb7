"""Minima as lines of text."""

from __future__ import annotations

import torch
from ase.build import molecule

from bostruct.campaign.analysis.minima import Minima, Minimum
from bostruct.campaign.records import Trial
from bostruct.campaign.report.minima_text import minima_lines, minimum_state
from bostruct.structures import from_ase

WATER = from_ase(molecule("H2O"))
X = torch.zeros(2, dtype=torch.float64)
TRIAL = Trial(
    3, 3, "k", 1, "done", "x", X, energy=-1.0, forces=torch.zeros(3, 3).double(), structures=WATER
)
EVALUATED = Minimum(3, X, -1.0, 0.0, True, 0.01, TRIAL, None, WATER, 0.0, 0.8)
PREDICTED = Minimum(None, X, -0.9, 0.02, False, None, None, None, WATER, 0.1, 0.2)


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
