"""Minima as atoms to export."""

from __future__ import annotations

from bostruct.campaign.analysis.minima import Minima
from bostruct.campaign.report.export_minima import minima_images
from tests.campaign.report.water_minima import EVALUATED, PREDICTED


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
