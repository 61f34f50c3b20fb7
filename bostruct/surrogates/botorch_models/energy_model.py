"""BoTorch models of one outcome, the energy of a structure."""

from __future__ import annotations

from bostruct.surrogates.botorch_models.conditioned_model import ConditionableModel


class EnergyModel(ConditionableModel):
    """A fitted model of energies, one without batches; it never changes."""
