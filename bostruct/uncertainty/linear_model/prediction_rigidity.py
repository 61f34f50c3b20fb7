"""Prediction rigidity: how strongly the data constrain a prediction (rows U34 and U35).

Notation, with equation numbers of [G25]
    f   [..., f]  1  features of the prediction
    H   [f, f]    1  Fᵀ F + z2 I of the training structures
    R   [...]     1  1 / (fᵀ H⁻¹ f), (35)

If the prediction is constrained to change by eps, the minimal loss (half the sum of squares, with
its ridge) rises by eps² R / 2, (33) and (34); the variance is a2 / R. R has no calibration: it
describes data and representation, it is not an uncertainty.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654. Local rigidities are Chong et al., J.
Chem. Theory Comput. 2023, 19, 8020, component-wise ones Chong et al., Faraday Discuss. 2024, doi
10.1039/d4fd00101j, both as defined in scikit-matter: training rows are means over the atoms of a
structure, and all features are divided by the root mean square norm of an atom's features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.errors import ShapeError, check_choice, check_positive, check_shape, error_message
from bostruct.uncertainty.linear_model.bayesian_linear_model import BayesianLinearModel
from bostruct.uncertainty.linear_model.last_layer_features import sum_over_atoms
from bostruct.uncertainty.linear_model.row_kinds import Reduction, RowKind
from bostruct.uncertainty.linear_model.sufficient_statistics import check_finite_rows


def compute_prediction_rigidity(
    linear_model: BayesianLinearModel, features: Tensor, *, row_kind: RowKind = "energy"
) -> Tensor:
    """Return R of (35) for rows `[..., f]`, `[...]`; infinite where the features are zero.

    At least 1 for a training row of weight 1.

    Raises:
        ShapeError: rows have another width than the training rows.
        InputError: a number is not finite, or `row_kind` is unknown.
    """
    return linear_model.leverage(features, row_kind=row_kind).reciprocal()


def structure_features(
    features: Tensor, structure_index: Tensor, *, reduction: Reduction = "sum"
) -> Tensor:
    """Return one row for each structure, `[b, f]`: the sum or mean over its atoms.

    Variances of structures need such rows; adding variances of atoms would assume independent
    errors (Sec. 2.7 of [G25]).

    Args:
        features: `[n, f]`, features of atoms.
        structure_index: `[n]`, index of the structure of each atom, from 0.
        reduction: `"sum"` for total energies, `"mean"` for energies per atom.

    Raises:
        ShapeError: features are not `[n, f]`, or there is not one index per atom.
        InputError: a number is not finite, a structure has no atom or a negative index, or
            `reduction` is unknown.
    """
    check_choice("reduction", reduction, ("mean", "sum"))
    check_finite_rows("features", check_shape("features", features, [None, None]))
    total = sum_over_atoms(features.double(), structure_index)
    if reduction == "sum":
        return total
    return total / torch.bincount(structure_index).unsqueeze(1)


@final
@dataclass(frozen=True, eq=False)
class PredictionRigidity:
    """Prediction rigidities of a model that is a sum over atoms.

    Attributes:
        linear_model: fitted to the scaled rows of the training structures.
        feature_scale: root mean square norm of an atom's training features, or 1.
        reduction: "mean" or "sum" of the atoms' features as the row of a structure.
    """

    linear_model: BayesianLinearModel
    feature_scale: float
    reduction: Reduction = "mean"

    @classmethod
    def fit(
        cls,
        features: Tensor,
        structure_index: Tensor,
        *,
        ridge: float,
        reduction: Reduction = "mean",
        normalize: bool = True,
    ) -> PredictionRigidity:
        """Return the rigidities of a training set.

        Args:
            features: `[n, f]`, features of atoms.
            structure_index: `[n]`, index of the structure of each atom, from 0.
            ridge: z2 > 0 of the model of *scaled* rows of structures.
            reduction: "mean" or "sum" of the atoms' features as the row of a structure.
            normalize: divide features by the root mean square norm.

        Raises:
            ShapeError: the shapes do not match.
            InputError: a number is not finite, the ridge not positive, a structure empty, or all
                features are zero.
        """
        rows = structure_features(features, structure_index, reduction=reduction)
        norm = float(features.double().square().sum(1).mean().sqrt())
        check_positive("features", norm, "These features are zero throughout.")
        scale = norm if normalize else 1.0
        return cls(BayesianLinearModel.fit(rows / scale, ridge=ridge), scale, reduction)

    def structure_rigidity(self, features: Tensor, structure_index: Tensor) -> Tensor:
        """Return R of structures, `[b]`, from features of atoms `[n, f]` as in `fit`.

        Raises:
            ShapeError: the shapes do not match.
            InputError: a number is not finite, or a structure is empty.
        """
        rows = structure_features(features, structure_index, reduction=self.reduction)
        return self.local_rigidity(rows)

    def local_rigidity(self, features: Tensor) -> Tensor:
        """Return R of atoms (LPR), `[...]`, from their features `[..., f]`.

        Raises:
            ShapeError: features have another width than in training.
            InputError: a number is not finite.
        """
        scaled = features.double() / self.feature_scale
        return compute_prediction_rigidity(self.linear_model, scaled)

    def component_rigidity(
        self, features: Tensor, block_sizes: Sequence[int], structure_index: Tensor | None = None
    ) -> Tensor:
        """Return R of the components of a prediction that blocks of features contribute.

        Args:
            features: `[n, f]`, features of atoms.
            block_sizes: number of features of each of the c blocks, in order; they add up to f.
            structure_index: `[n]`, index of the structure of each atom; with it the components
                are of structures (CPR, `[b, c]`), without it of atoms (LCPR, `[n, c]`).

        Returns:
            R, infinite where the features of a block are zero.

        Raises:
            ShapeError: the sizes do not add up to f, or shapes do not match.
            InputError: a number is not finite, or a structure is empty.
        """
        width = self.linear_model.n_features
        if sum(block_sizes) != width or min(block_sizes, default=0) < 1:
            condition = f"be positive and add up to {width}"
            raise ShapeError(error_message("block_sizes", condition, list(block_sizes)))
        check_finite_rows("features", features, width)
        rows = features.double()
        if structure_index is not None:
            rows = structure_features(rows, structure_index, reduction=self.reduction)
        block_index = torch.repeat_interleave(torch.tensor(block_sizes)).to(rows.device)
        blocks = [rows.where(block_index == i, 0) for i in range(len(block_sizes))]
        return self.local_rigidity(torch.stack(blocks)).movedim(0, -1)
