"""Minima as atoms to export."""

from __future__ import annotations

import torch
from ase.build import molecule

from bostruct.campaign.analysis.minima import Minima, Minimum
from bostruct.campaign.records import Trial
from bostruct.campaign.report.export_minima import minima_images
from bostruct.structures import from_ase

WATER = from_ase(molecule("H2O"))
X = torch.zeros(2, dtype=torch.float64)
TRIAL = Trial(
    3, 3, "k", 1, "done", "x", X, energy=-1.0, forces=torch.zeros(3, 3).double(), structures=WATER
)
EVALUATED = Minimum(3, X, -1.0, 0.0, True, 0.01, TRIAL, None, WATER, 0.0, 0.8)
PREDICTED = Minimum(None, X, -0.9, 0.02, False, None, None, None, WATER, 0.1, 0.2)


def test_images_carry_what_is_known() -> None:
    """Energies and forces of evaluated ones, predictions of the others."""
    first, second = minima_images(Minima((EVALUATED, PREDICTED), 0.25, 300.0, 0.1))
    assert first.get_potential_energy() == -1.0
    assert first.info == {
        "energy_above": 0.0,
        "weight": 0.8,
        "relaxed": True,
        "trial": 3,
        "max_force": 0.01,
    }
    assert second.calc is None
    assert second.info["predicted_energy"] == -0.9
    assert second.info["calibrated_sigma"] == 0.02
