"""Last-layer Laplace approximation of a trained network (rows U6 and U7).

    s2(f) = a2 fᵀ (Fᵀ w F + z2 1)⁻¹ f                                     (14) of [G25]

with rows f of `last_layer_features`, the inputs of the last linear layer, and weights w = l'' of
the loss: the Laplace approximation (12) with the curvature (10). Nothing is trained; the training
set is read once, and a calibration set once for a2. The energy stays that of the network. The layer
may be followed by linear operations only (a scale and a shift): a nonlinear head needs members.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import torch
from torch import Tensor

from bostruct.errors import InputError, NotFittedError, ShapeError, check_count, error_message
from bostruct.runtime.memory import check_memory, free_bytes
from bostruct.uncertainty.calibration.residuals import Residuals
from bostruct.uncertainty.calibration.scaling import CalibrationMethod, calibrate
from bostruct.uncertainty.linear_model.bayesian_linear_model import BayesianLinearModel
from bostruct.uncertainty.linear_model.fingerprint import hash_tensors
from bostruct.uncertainty.linear_model.last_layer_features import (
    GRADIENT_BLOCK_SIZE,
    LayerBatch,
    extract_features,
    last_linear_name,
    negative_position_jacobian,
    position_gradients,
    sum_over_atoms,
)
from bostruct.uncertainty.linear_model.row_kinds import Reduction, RowKind
from bostruct.uncertainty.prediction import Prediction

TargetKind = Literal["energy", "force"]

RELATIVE_RIDGE = 1e-6  # default ridge over the mean square of a feature


def _identity(output: Tensor) -> Tensor:
    return output


@final
@dataclass(frozen=True, eq=False)
class LastLayerLaplace:
    """Laplace approximation of the last linear layer of a network.

        laplace = LastLayerLaplace.from_model(model, batches[0])
        linear_model = laplace.fit(batches, dataset_name="my training set")
        linear_model = laplace.calibrated(linear_model, calibration_batches)
        prediction = laplace.predict(linear_model, batch)

    Attributes:
        model: network in evaluation mode, on any device; it is not changed.
        layer_names: names of the last layer, or of several whose outputs the model adds up.
        output_fn: function from the model's output to energies `[b]` (or energies of atoms `[n]`,
            or targets `[b, t]`).
        gradient_block_size: number of features differentiated in one backward pass, for forces.
    """

    model: torch.nn.Module
    layer_names: tuple[str, ...]
    output_fn: Callable[[Any], Tensor] = _identity
    gradient_block_size: int = GRADIENT_BLOCK_SIZE

    @classmethod
    def from_model(
        cls,
        model: torch.nn.Module,
        batch: LayerBatch | None = None,
        *,
        layer_names: str | Sequence[str] = (),
        output_fn: Callable[[Any], Tensor] = _identity,
    ) -> LastLayerLaplace:
        """Return the named layers of a model, or the linear one that runs last.

        Raises:
            InputError: neither names nor a batch are given, or no linear layer runs.
        """
        names = (layer_names,) if isinstance(layer_names, str) else tuple(layer_names)
        if not names:
            if batch is None:
                condition = "be given where the layer is not named"
                raise InputError(error_message("batch", condition, "None", "One is enough."))
            names = (last_linear_name(model, batch),)
        return cls(model, names, output_fn)

    def fingerprint(self, dataset_name: str = "") -> str:
        """Return the identifier of weights, buffers, layers and data."""
        state = self.model.state_dict()
        tensors = {key: v for key, v in state.items() if isinstance(v, Tensor)}
        return f"{hash_tensors(tensors)} {'+'.join(self.layer_names)} {dataset_name}"

    def features(self, batch: LayerBatch) -> Tensor:
        """Return rows f `[b, w]` of structures, float64; see `last_layer_features`.

        Raises:
            InputError, ShapeError: as `extract_features`, or the model is in training mode.
        """
        with torch.no_grad():
            return self._extract_features(batch)[1].double()

    def fit(
        self,
        batches: Iterable[LayerBatch],
        *,
        dataset_name: str,
        ridge: float | None = None,
        include_forces: bool = False,
        loss_weights: tuple[float, float] = (1.0, 1.0),
        reduction: Reduction = "sum",
    ) -> BayesianLinearModel:
        """Return the linear model of training data, with a2 = 1 until it is calibrated.

        Models of subsets of the data with the same ridge add up with `+`.

        Args:
            batches: training data; neither targets nor forces are used.
            dataset_name: name of the data, part of the fingerprint of the linear model.
            ridge: z2 > 0; by default a millionth of the mean square of a feature, a choice of
                little influence. Models that are to be added need an explicit one.
            include_forces: add rows of forces, if the network was trained on them; batches then
                need positions.
            loss_weights: l'' of an energy and of a force component in the loss.
            reduction: "mean" if the loss was of energies per atom: training rows are then divided
                by the number of atoms, while rows of predictions stay sums.

        Raises:
            InputError: there is no batch, the model is in training mode, positions are missing,
                memory does not suffice, or as in `BayesianLinearModel.fit`.
            ShapeError: as `extract_features`.
        """
        total: BayesianLinearModel | None = None
        fingerprint = self.fingerprint(dataset_name)
        options = include_forces, loss_weights, reduction, fingerprint
        for batch in batches:
            for batch_model in self._batch_models(batch, *options):
                total = batch_model if total is None else total + batch_model
        if total is None:
            raise InputError(error_message("batches", "hold at least one batch", "none"))
        if ridge is None:
            square = total.moments.uncentered_scatter.diagonal().mean() / total.moments.n_rows
            ridge = RELATIVE_RIDGE * float(square)
        return replace(total, ridge=float(ridge))

    def residuals(
        self,
        linear_model: BayesianLinearModel,
        batches: Iterable[LayerBatch],
        target_kind: TargetKind = "energy",
    ) -> Residuals:
        """Return errors and latent variances of data with targets, for any score.

        Args:
            linear_model: result of `fit` for this network.
            batches: data with `target`, or with `forces` and `positions`.
            target_kind: "energy" or "force", the quantity to compare.

        Returns:
            `[n]` of energies or of all force components; `[t, n]` of several targets.

        Raises:
            NotFittedError: the network has changed since the linear model was fitted.
            InputError: targets are missing, or as in `predict`.
        """
        self._check_fingerprint(linear_model)
        compared = [self._compare_batch(linear_model, batch, target_kind) for batch in batches]
        if not compared:
            raise InputError(error_message("batches", "hold at least one batch", "none"))
        truth, mean, variance = (torch.cat(column, -1) for column in zip(*compared, strict=True))
        return Residuals.from_arrays(truth, mean, variance)

    def calibrated(
        self,
        linear_model: BayesianLinearModel,
        batches: Iterable[LayerBatch],
        target_kind: TargetKind = "energy",
        method: CalibrationMethod = "likelihood",
    ) -> BayesianLinearModel:
        """Return the linear model with a2 from held-out data, (26).

        Energies and forces have one each: calibrate a linear model for each.

        Raises:
            NotFittedError: the network has changed since the linear model was fitted.
            InputError: targets are missing, or there are fewer than 8.
        """
        factor = calibrate(self.residuals(linear_model, batches, target_kind), method).alpha2
        return linear_model.calibrated(linear_model.alpha2 * factor.to(linear_model.alpha2))

    def predict(
        self,
        linear_model: BayesianLinearModel,
        batch: LayerBatch,
        *,
        force_model: BayesianLinearModel | None = None,
        covariance: bool = False,
        n_members: int = 0,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Return the network's own energies with their latent variances.

        The noise is zero: a2 is calibrated on the whole error of the network.

        Args:
            linear_model: result of `fit` for this network, calibrated for energies.
            batch: structures to predict, with positions if forces are required.
            force_model: linear model calibrated for forces; by default no forces are predicted.
            covariance: compute the covariance between the energies too.
            n_members: number M of energies of each structure drawn from the posterior of the last
                layer (U8), with the network's energy as their mean.
            generator: random generator of the members, on the device of the linear model.

        Raises:
            NotFittedError: the network has changed since the linear model was fitted.
            InputError: the network is in training mode, positions are missing, there are several
                targets, or `n_members` is 1.
            ShapeError: the output is not `[b]`, or as `extract_features`.
        """
        self._check_fingerprint(linear_model)
        with position_gradients(None if force_model is None else _required_positions(batch)):
            mean, f = self._mean_and_features(batch, force_model is not None)
            if mean.ndim != 1:
                condition, value = "return one energy for each structure", list(mean.shape)
                raise ShapeError(error_message("output_fn", condition, f"shape {value}"))
            forces = force_variance = None
            if force_model is not None:
                self._check_fingerprint(force_model)
                forces, g = self._forces_and_features(batch, mean, f)
                force_variance = force_model.variance(g, row_kind="force")
        mean, f = mean.detach().double(), f.detach().double()
        members = None
        if n_members:
            check_count("n_members", n_members, 2, "One member has no spread.")
            shape = (linear_model.n_features, n_members)
            xi = torch.randn(shape, generator=generator, dtype=f.dtype, device=f.device)
            step = torch.linalg.solve_triangular(linear_model.hessian_cholesky.mT, xi, upper=True)
            deviation = linear_model.alpha2.sqrt() * (f @ (step - step.mean(1, keepdim=True)))
            members = mean + deviation.mT
        return Prediction(
            mean,
            linear_model.variance(f),
            torch.zeros_like(mean),
            forces=forces,
            force_variance=force_variance,
            force_noise_variance=None
            if force_variance is None
            else torch.zeros_like(force_variance),
            covariance=linear_model.covariance(f) if covariance else None,
            members=members,
        )

    def atomic_variance(self, linear_model: BayesianLinearModel, batch: LayerBatch) -> Tensor:
        """Return latent variances of the atoms' contributions, `[n]` eV².

        For networks whose layers have one row for each atom. They do not add up to the variance of
        the structure: errors of atoms are not independent, and N copies of one atom have N² times
        its variance.

        Raises:
            NotFittedError: the network has changed since the linear model was fitted.
            InputError, ShapeError: as `extract_features`, or the model is in training mode.
        """
        self._check_fingerprint(linear_model)
        return linear_model.variance(self.features(replace(batch, structure_index=None)))

    def _batch_models(
        self,
        batch: LayerBatch,
        include_forces: bool,
        loss_weights: tuple[float, float],
        reduction: Reduction,
        fingerprint: str,
    ) -> list[BayesianLinearModel]:
        with position_gradients(_required_positions(batch) if include_forces else None):
            with torch.set_grad_enabled(include_forces):
                f = self._extract_features(batch)[1]
            g = self._force_features(f, batch) if include_forces else None
        f = f.detach().double()
        if reduction == "mean" and batch.structure_index is not None:
            f = f / torch.bincount(batch.structure_index).to(f).unsqueeze(1)
        rows: list[tuple[Tensor, float, RowKind]] = [(f, loss_weights[0], "energy")]
        if g is not None:
            rows.append((g.flatten(0, 1), loss_weights[1], "force"))
        return [
            BayesianLinearModel.fit(
                features,
                ridge=1.0,
                weights=features.new_full((len(features),), weight),
                row_kind=row_kind,
                fingerprint=fingerprint,
            )
            for features, weight, row_kind in rows
        ]

    def _extract_features(self, batch: LayerBatch) -> tuple[Any, Tensor]:
        if self.model.training:
            condition = "be in evaluation mode, where equal inputs have equal features"
            hint = "Call `model.eval()`."
            raise InputError(error_message("model", condition, "training mode", hint))
        return extract_features(self.model, self.layer_names, batch)

    def _mean_and_features(self, batch: LayerBatch, requires_grad: bool) -> tuple[Tensor, Tensor]:
        """Return predictions of structures, `[b]` or `[b, t]`, and f."""
        with torch.set_grad_enabled(requires_grad):
            output, f = self._extract_features(batch)
            mean = self.output_fn(output)
            mean = mean.squeeze(-1) if mean.ndim == 2 and mean.shape[1] == 1 else mean
            if len(mean) != len(f):
                mean = sum_over_atoms(mean, batch.structure_index)
        if mean.ndim not in (1, 2) or len(mean) != len(f):
            condition = f"return one row for each of the {len(f)} structures"
            raise ShapeError(error_message("output_fn", condition, f"shape {list(mean.shape)}"))
        return mean, f

    def _force_features(self, f: Tensor, batch: LayerBatch) -> Tensor:
        positions = _required_positions(batch)
        required = 8 * 2 * positions.numel() * f.shape[1]
        hint = "Ask about fewer structures at once."
        check_memory("batch", required, free_bytes(positions.device), hint)
        return negative_position_jacobian(f, positions, self.gradient_block_size).double()

    def _forces_and_features(
        self, batch: LayerBatch, mean: Tensor, f: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return forces `[n, 3]` of the model and their rows g `[n, 3, w]`."""
        g = self._force_features(f, batch)
        forces = negative_position_jacobian(mean.unsqueeze(1), _required_positions(batch), 1)
        return forces.squeeze(-1).double(), g

    def _compare_batch(
        self, linear_model: BayesianLinearModel, batch: LayerBatch, target_kind: TargetKind
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return truth, mean and latent variance of one batch, `[n]` or `[t, n]`."""
        forces = target_kind == "force"
        truth = batch.forces if forces else batch.target
        if truth is None:
            condition = f"know the {'forces' if forces else 'targets'}"
            raise InputError(error_message("batches", condition, "None"))
        with position_gradients(_required_positions(batch) if forces else None):
            mean, f = self._mean_and_features(batch, forces)
            if forces:
                mean, f = self._forces_and_features(batch, mean, f)
        mean, truth = mean.detach().double(), truth.to(mean.device).double()
        variance = linear_model.variance(f.detach().double(), row_kind=target_kind)
        if truth.squeeze(-1).shape != mean.squeeze(-1).shape:
            condition = f"have the shape {list(mean.shape)} of the predictions"
            raise ShapeError(error_message("target", condition, f"shape {list(truth.shape)}"))
        truth = truth.reshape(mean.shape)
        if forces or mean.ndim == 1:
            return truth.flatten(), mean.flatten(), variance.flatten()
        variance = variance.reshape(len(mean), -1).expand_as(mean)
        return truth.mT, mean.mT, variance.mT

    def _check_fingerprint(self, linear_model: BayesianLinearModel) -> None:
        current, fitted = self.fingerprint(), linear_model.fingerprint
        if not fitted.startswith(current):
            condition = f"be the model that the linear model was fitted with ({fitted[:12]}…)"
            hint = "Its features have changed: fit the linear model anew."
            raise NotFittedError(error_message("model", condition, f"{current[:12]}…", hint))


def _required_positions(batch: LayerBatch) -> Tensor:
    if batch.positions is None:
        raise InputError(error_message("positions", "be given where forces are asked for", "None"))
    return batch.positions
