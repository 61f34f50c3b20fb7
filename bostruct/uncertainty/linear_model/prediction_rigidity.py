"""How much the data hold a prediction in place (rows U34 and U35).

Notation, with equation numbers of [G25]
    f   [..., f]  1  features of what is predicted
    H   [f, f]    1  Fᵀ F + z2 I of the training structures
    R   [...]     1  1 / (fᵀ H⁻¹ f), (35)

If the prediction is forced to change by eps, the least loss (half the sum of squares,
with its ridge) rises by eps² R / 2, (33) and (34); the variance is a2 / R. R has no
calibration: it describes data and representation, it is not an uncertainty.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654. Local rigidities are Chong et al., J.
Chem. Theory Comput. 2023, 19, 8020, component-wise ones Chong et al., Faraday Discuss. 2024, doi
10.1039/d4fd00101j, both as scikit-matter has them: training rows are means over the atoms of a
structure, and all features are divided by the root mean square norm of an atom's features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, check_positive, error_message
from bostruct.uncertainty.linear_model.bayesian_linear_model import BayesianLinearModel
from bostruct.uncertainty.linear_model.row_kinds import RowKind
from bostruct.uncertainty.linear_model.sufficient_statistics import check_choice, check_finite_rows

Reduction = Literal["mean", "sum"]


def compute_prediction_rigidity(
    linear_model: BayesianLinearModel, features: Tensor, *, row_kind: RowKind = "energy"
) -> Tensor:
    """R of (35) for rows `[..., f]`, `[...]`; infinite where the features are zero.

    At least 1 for a row that the metric was built from with weight 1.

    Raises:
        ShapeError: rows are of another width than those the metric was built from.
        InputError: a number is not finite, or `row_kind` is unknown.
    """
    return linear_model.leverage(features, row_kind=row_kind).reciprocal()


def structure_features(
    features: Tensor, structure_index: Tensor, *, reduction: Reduction = "sum"
) -> Tensor:
    """Return one row for each structure, `[b, f]`: sums or means over its atoms.

    Variances are of such rows; to add variances of atoms would take their errors for
    independent, and nothing here does (Sec. 2.7 of [G25]).

    Args:
        features: `[n, f]`, of atoms.
        structure_index: `[n]`, to which structure an atom belongs, from 0 on.
        reduction: `"sum"` for total energies, `"mean"` for energies per atom.

    Raises:
        ShapeError: features are not `[n, f]`, or there is not one structure per atom.
        InputError: a number is not finite, a structure has no atom or a negative
            number, or `reduction` is unknown.
    """
    check_choice("reduction", reduction, ("mean", "sum"))
    check_finite_rows("features", features)
    if features.ndim != 2 or structure_index.shape != features.shape[:1]:
        found = f"{list(features.shape)} and {list(structure_index.shape)}"
        wanted = "have the shape [n, f] with structures [n]"
        raise ShapeError(error_message("features", wanted, found))
    if int(structure_index.min()) < 0:
        wanted = "be numbered from 0 on"
        raise InputError(error_message("structure_index", wanted, int(structure_index.min())))
    atoms = torch.bincount(structure_index)
    if int(atoms.min()) == 0:
        wanted = "have an atom in each structure"
        empty = f"none in number {int(atoms.argmin())}"
        raise InputError(error_message("structure_index", wanted, empty))
    total = features.new_zeros((len(atoms), features.shape[1]), dtype=torch.float64)
    total = total.index_add(0, structure_index, features.double())
    return total / atoms.unsqueeze(1) if reduction == "mean" else total


@final
@dataclass(frozen=True, eq=False)
class PredictionRigidity:
    """Rigidities of predictions of a model of sums over atoms.

    Attributes:
        linear_model: of the scaled rows of the training structures.
        feature_scale: root mean square norm of an atom's training features, or 1.
        reduction: whether a structure's row is the mean or the sum over its atoms.
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
            features: `[n, f]`, of atoms.
            structure_index: `[n]`, to which structure an atom belongs, from 0 on.
            ridge: z2 > 0 of the model of *scaled* rows of structures.
            reduction: what a structure's row is.
            normalize: whether features are divided by the root mean square norm.

        Raises:
            ShapeError: the shapes do not fit.
            InputError: a number is not finite, the ridge not positive, a structure
                empty, or all features are zero.
        """
        rows = structure_features(features, structure_index, reduction=reduction)
        norm = float(features.double().square().sum(1).mean().sqrt())
        way_out = "These features are zero throughout."
        check_positive("features", norm, way_out)
        scale = norm if normalize else 1.0
        return cls(BayesianLinearModel.fit(rows / scale, ridge=ridge), scale, reduction)

    def structure_rigidity(self, features: Tensor, structure_index: Tensor) -> Tensor:
        """R of structures, `[b]`, from features of atoms `[n, f]` as in `fit`.

        Raises:
            ShapeError: the shapes do not fit.
            InputError: a number is not finite, or a structure is empty.
        """
        rows = structure_features(features, structure_index, reduction=self.reduction)
        return self.local_rigidity(rows)

    def local_rigidity(self, features: Tensor) -> Tensor:
        """R of atoms (LPR), `[...]`, from their features `[..., f]`.

        Raises:
            ShapeError: features are of another width.
            InputError: a number is not finite.
        """
        return compute_prediction_rigidity(
            self.linear_model, features.double() / self.feature_scale
        )

    def component_rigidity(
        self, features: Tensor, block_sizes: Sequence[int], structure_index: Tensor | None = None
    ) -> Tensor:
        """R of the parts of a prediction that blocks of features make.

        Args:
            features: `[n, f]`, of atoms.
            block_sizes: c numbers of features of the blocks, in order; they add up to f.
            structure_index: `[n]`; with it the parts are of structures (CPR, `[b, c]`),
                without it of atoms (LCPR, `[n, c]`).

        Returns:
            R, infinite where the features of a block are zero.

        Raises:
            ShapeError: the sizes do not add up to f, or shapes do not fit.
            InputError: a number is not finite, or a structure is empty.
        """
        width = self.linear_model.n_features
        if sum(block_sizes) != width or min(block_sizes, default=0) < 1:
            wanted = f"be positive and add up to {width}"
            raise ShapeError(error_message("block_sizes", wanted, list(block_sizes)))
        check_finite_rows("features", features, width)
        rows = (
            features
            if structure_index is None
            else structure_features(features, structure_index, reduction=self.reduction)
        )
        parts = torch.split(rows.double(), list(block_sizes), -1)
        blocks = torch.zeros(len(block_sizes), *rows.shape).to(parts[0])
        start = 0
        for block, part in zip(blocks, parts, strict=True):
            block[..., start : start + part.shape[-1]] = part
            start += part.shape[-1]
        return self.local_rigidity(blocks).movedim(0, -1)
