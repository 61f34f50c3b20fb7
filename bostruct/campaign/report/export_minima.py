"""Minima of a campaign as atoms to export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bostruct.campaign.analysis.minima import Minima, Minimum
from bostruct.campaign.log.ase_rows import trial_to_atoms
from bostruct.structures import to_ase

if TYPE_CHECKING:
    from ase import Atoms


def minima_images(minima: Minima) -> list[Atoms]:
    """Return the minima as ASE's atoms, lowest first.

    Evaluated ones have their energy and forces. `info` holds trial, energy above the lowest,
    weight, whether it is relaxed and the largest force, and of others the predicted energy and
    its σ.
    """
    return [_image(minimum) for minimum in minima.minima]


def _image(minimum: Minimum) -> Atoms:
    info: dict[str, Any] = {
        "energy_above": minimum.energy_above,
        "weight": minimum.weight,
        "relaxed": minimum.is_relaxed,
    }
    if minimum.evaluated is None:
        atoms = to_ase(minimum.structures)[0]
        info |= {"predicted_energy": minimum.energy, "calibrated_sigma": minimum.sigma}
    else:
        atoms = trial_to_atoms(minimum.evaluated)
    info |= {} if minimum.trial is None else {"trial": minimum.trial}
    info |= {} if minimum.max_force is None else {"max_force": minimum.max_force}
    info |= {} if minimum.run is None else {"relaxation": minimum.run.folder.name}
    atoms.info |= info
    return atoms
