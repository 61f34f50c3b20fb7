"""What a row of features is of, and what is asked about it.

    "energy"      a constant enters
    "force"       minus the derivative of an energy's features with a position
    "difference"  of two energies; in both no constant is left

    "latent"      the noise-free value
    "observed"    a label, which scatters by noise

What happens to a constant is told by an offset: "none"; "centred", the quadratic form
around the mean feature, zero there; "intercept", the same plus a2 / Σw, a constant
without penalty; or "bias", a column of ones under the ridge, as in a last layer with a
bias. Centring is Sec. 2.1 and App. C of Grasselli et al., Digital Discovery 2025, 4,
2654 (row U5); by default nothing is done, as it is the model's readout that decides.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

RowKind = Literal["energy", "force", "difference"]
VarianceKind = Literal["latent", "observed"]
Offset = Literal["none", "centred", "intercept", "bias"]

ROW_KINDS = ("energy", "force", "difference")
VARIANCE_KINDS = ("latent", "observed")
OFFSETS = ("none", "centred", "intercept", "bias")


def with_bias(features: Tensor, row_kind: RowKind, offset: Offset) -> Tensor:
    """Return rows `[..., f]` with a last column for the bias, `[..., f + 1]`.

    Ones in the rows of energies, zeros in all others; with another offset than "bias"
    the rows as they are.
    """
    if offset != "bias":
        return features
    value = float(row_kind == "energy")
    column = features.new_full((*features.shape[:-1], 1), value)
    return torch.cat([features, column], -1)
