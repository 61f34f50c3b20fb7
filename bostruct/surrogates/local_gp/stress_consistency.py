"""Consistency of stresses with energies and forces: whether one function can have all of them.

Stresses in a wrong unit or with the wrong sign make a model of all bad, and no one is told. So
virials are predicted by a model of the energies and forces alone.

Notation
    y, p   virials that were given, and those predicted
    w      weights, the inverse predicted variances

    correlation   sum w p y / sqrt(sum w p² sum w y²)
    factor        sum w p y / sum w y²
"""

from __future__ import annotations

import math

import torch

from bostruct.structures import Structures
from bostruct.structures.strain import has_stress, strained_components, volumes
from bostruct.surrogates.stress_consistency import StressConsistency
from bostruct.uncertainty.prediction import Prediction

MIN_STRUCTURES, MAX_STRUCTURES = 2, 8
"""Numbers of structures whose stresses are compared."""


def structures_with_stress(structures: Structures) -> Structures | None:
    """Return the first structures with energy, forces and stress; None where they are too few.

    The first ones of a campaign are random, and their stresses large.

    Args:
        structures: Structures with `energy`, and `forces` and `stress` where there are any.
    """
    if structures.forces is None or structures.stress is None or structures.energy is None:
        return None
    known = has_stress(structures) & structures.stress.isfinite().all(-1)
    known[structures.index[~structures.forces.isfinite().all(-1)]] = False
    rows = known.nonzero().flatten()[:MAX_STRUCTURES].tolist()
    return structures[rows] if len(rows) >= MIN_STRUCTURES else None


def compare_virials(prediction: Prediction, structures: Structures) -> StressConsistency:
    """Return the consistency of stresses with those that energies and forces predict.

    Args:
        prediction: Prediction of a model that knows no stress, with their variances.
        structures: Structures with `stress`.
    """
    variance = prediction.predictive_stress_variance
    assert structures.stress is not None
    assert prediction.stress is not None
    assert variance is not None
    volume = volumes(structures).unsqueeze(-1)
    y, p = structures.stress * volume, prediction.stress * volume
    w = (variance * volume.square()).reciprocal()
    w = torch.where(strained_components(structures), w, 0.0)
    yy, yp, pp = (float((w * a * b).sum()) for a, b in ((y, y), (y, p), (p, p)))
    if not (0 < yy < math.inf and 0 < pp < math.inf):
        return StressConsistency(0.0, 1.0)
    return StressConsistency(yp / math.sqrt(yy * pp), yp / yy)
