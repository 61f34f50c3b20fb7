"""Kinds of feature rows, kinds of variances, and treatments of a constant term.

    "energy"      has a constant term
    "force"       minus the derivative of an energy's features with respect to a position
    "difference"  of two energies; like a force it has no constant term

    "latent"      variance of the noise-free value
    "observed"    variance of a label, which scatters by noise

The treatment of the constant term is an offset: "none"; "centred", the quadratic form around the
mean feature, zero there; "intercept", the same plus a2 / Σw, a constant without penalty; or "bias",
a column of ones under the ridge, as in a last layer with a bias. Centring is Sec. 2.1 and App. C of
Grasselli et al., Digital Discovery 2025, 4, 2654 (row U5); the form of the
predicting model decides, so the default is "none".
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from bostruct.uncertainty.prediction import VarianceKind

RowKind = Literal["energy", "force", "difference"]
Offset = Literal["none", "centred", "intercept", "bias"]
Reduction = Literal["sum", "mean"]
"""Row of a structure: sum or mean of the features of its atoms."""

ROW_KINDS, VARIANCE_KINDS, OFFSETS = get_args(RowKind), get_args(VarianceKind), get_args(Offset)


def with_bias(features: Tensor, row_kind: RowKind, offset: Offset) -> Tensor:
    """Return rows `[..., f]` with a last column for the bias, `[..., f + 1]`.

    Ones in the rows of energies, zeros in all others; unchanged for other offsets than "bias".
    """
    if offset != "bias":
        return features
    return torch.nn.functional.pad(features, (0, 1), value=float(row_kind == "energy"))
