"""An uncertainty from the one network that is there (rows U6 and U7).

    s2(f) = a2 fᵀ (Fᵀ w F + z2 1)⁻¹ f                                     (14) of [G25]

with rows f of `hook`, the inputs of the last linear layer, and weights w = l'' of the loss: the
Laplace approximation (12) with the curvature (10). Nothing is trained; the training set is read
once, and a calibration set once for a2. The energy stays that of the network. What follows the
layer must be linear (a scale and a shift may): a head that is not needs members.

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
from bostruct.uncertainty.prediction import Prediction

TargetKind = Literal["energy", "force"]
Reduction = Literal["sum", "mean"]

RELATIVE_RIDGE = 1e-6  # of the mean square of a feature: the ridge, if none is given


def _identity(answer: Tensor) -> Tensor:
    return answer


@final
@dataclass(frozen=True, eq=False)
class LastLayerLaplace:
    """The last linear layer of a network, as a source of variances.

        readout = Readout.of(model, batches[0])
        metric = readout.metric(batches, data="my training set")
        metric = readout.calibrated(metric, held)
        prediction = readout.predict(metric, batch)

    Attributes:
        model: in evaluation mode, on any device; nothing in it is changed.
        layer_names: of the layer, or of several whose outputs the model adds up.
        output_fn: takes the energies `[b]` (or of atoms `[n]`, or targets `[b, t]`) from
            what the model answers.
        gradient_block_size: see `hook.slopes`; for forces.
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
            InputError: neither names nor a batch to find them with are given, or no
                linear layer runs.
        """
        given = (layer_names,) if isinstance(layer_names, str) else tuple(layer_names)
        if not given:
            if batch is None:
                wanted = "be given where the layer is not named"
                raise InputError(error_message("batch", wanted, "None", "One is enough."))
            given = (last_linear_name(model, batch),)
        return cls(model, given, output_fn)

    def fingerprint(self, dataset_name: str = "") -> str:
        """Return what a metric is known by: weights, buffers, layers and the data."""
        state = self.model.state_dict()
        tensors = {key: v for key, v in state.items() if isinstance(v, Tensor)}
        return f"{hash_tensors(tensors)} {'+'.join(self.layer_names)} {dataset_name}"

    def features(self, batch: LayerBatch) -> Tensor:
        """Rows f `[b, w]` of structures, float64; see `hook`.

        Raises:
            InputError, ShapeError: as `hook.rows`, or the model is being trained.
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
        """Return the metric of training data, with a2 = 1 until it is calibrated.

        Metrics of parts of the same data with the same ridge add up with `+`.

        Args:
            batches: the training data; neither targets nor forces are looked at.
            dataset_name: what the data are known by, in the source of the metric.
            ridge: z2 > 0; a millionth of the mean square of a feature, if not given,
                which as a rule matters little. Parts that are to be added need one.
            include_forces: whether forces were trained on; batches then have positions.
            loss_weights: l'' of an energy and of a force component in the loss.
            reduction: "mean" if the loss was of energies per atom: rows are then divided
                by the atoms of the structure, while those asked about stay sums.

        Raises:
            InputError: there is no batch, the model is being trained, positions are
                missing, memory does not suffice, or as in `Metric.fit`.
            ShapeError: as `hook.rows`.
        """
        total: BayesianLinearModel | None = None
        source = self.fingerprint(dataset_name)
        for batch in batches:
            for part in self._batch_models(batch, include_forces, loss_weights, reduction, source):
                total = part if total is None else total + part
        if total is None:
            raise InputError(error_message("batches", "hold at least one batch", "none"))
        if ridge is None:
            square = total.moments.uncentered_scatter.diagonal().mean() / total.moments.n_rows
            ridge = RELATIVE_RIDGE * float(square)
        return BayesianLinearModel(
            total.moments, total.n_features, float(ridge), total.alpha2, fingerprint=source
        )

    def residuals(
        self,
        linear_model: BayesianLinearModel,
        batches: Iterable[LayerBatch],
        target_kind: TargetKind = "energy",
    ) -> Residuals:
        """Return errors and latent variances of data with targets, for any score.

        Args:
            linear_model: of this model.
            batches: with `target_kind`, or with `forces` and `positions`.
            target_kind: what is compared.

        Returns:
            `[n]` of energies or of all force components; `[t, n]` of several targets.

        Raises:
            NotFittedError: the model has changed since the metric was built.
            InputError: targets are missing, or as in `predict`.
        """
        self._check_fingerprint(linear_model)
        found = [self._compare_batch(linear_model, batch, target_kind) for batch in batches]
        if not found:
            raise InputError(error_message("batches", "hold at least one batch", "none"))
        columns = zip(*found, strict=True)
        truth, mean, variance = (torch.cat(part, -1) for part in columns)
        return Residuals.from_arrays(truth, mean, variance)

    def calibrated(
        self,
        linear_model: BayesianLinearModel,
        batches: Iterable[LayerBatch],
        target_kind: TargetKind = "energy",
        method: CalibrationMethod = "likelihood",
    ) -> BayesianLinearModel:
        """Return the metric with a2 from data that were held out, (26).

        Energies and forces have one each: calibrate a metric for each.

        Raises:
            NotFittedError: the model has changed since the metric was built.
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
            linear_model: of this model, calibrated for energies.
            batch: with positions, if forces are wanted.
            force_model: the metric calibrated for forces, if they are wanted.
            covariance: whether the covariance between the energies is computed.
            n_members: M energies of each structure drawn from the posterior of the last
                layer (U8), whose mean is the network's own.
            generator: for members; on the device of the metric.

        Raises:
            NotFittedError: the model has changed since the metric was built.
            InputError: the model is being trained, positions are missing, there are
                several targets, or one member is asked for.
            ShapeError: the answer is not `[b]`, or as `hook.rows`.
        """
        self._check_fingerprint(linear_model)
        with position_gradients(None if force_model is None else _required_positions(batch)):
            mean, f = self._mean_and_features(batch, force_model is not None)
            if mean.ndim != 1:
                wanted = "return one energy for each structure"
                raise ShapeError(error_message("output_fn", wanted, f"shape {list(mean.shape)}"))
            pull = spread = None
            if force_model is not None:
                self._check_fingerprint(force_model)
                pull, g = self._forces_and_features(batch, mean, f)
                spread = force_model.variance(g, row_kind="force")
        mean, f = mean.detach().double(), f.detach().double()
        drawn = None
        if n_members:
            check_count("n_members", n_members, 2, "One member has no spread.")
            shape = (linear_model.n_features, n_members)
            xi = torch.randn(shape, generator=generator, dtype=f.dtype, device=f.device)
            step = torch.linalg.solve_triangular(linear_model.hessian_cholesky.mT, xi, upper=True)
            gap = linear_model.alpha2.sqrt() * (f @ (step - step.mean(1, keepdim=True)))
            drawn = mean + gap.mT
        return Prediction(
            mean,
            linear_model.variance(f),
            torch.zeros_like(mean),
            forces=pull,
            force_variance=spread,
            covariance=linear_model.covariance(f) if covariance else None,
            members=drawn,
        )

    def atomic_variance(self, linear_model: BayesianLinearModel, batch: LayerBatch) -> Tensor:
        """Latent variances of what each atom adds, `[n]` eV², where layers see atoms.

        They do not add up to that of the structure: errors of atoms are not
        independent, and copies of one atom have N² times its variance.

        Raises:
            NotFittedError: the model has changed since the metric was built.
            InputError, ShapeError: as `hook.rows`, or the model is being trained.
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
        found = [
            BayesianLinearModel.fit(
                f, ridge=1.0, weights=_constant_weights(f, loss_weights[0]), fingerprint=fingerprint
            )
        ]
        if g is not None:
            g = g.flatten(0, 1)
            weight = _constant_weights(g, loss_weights[1])
            found.append(
                BayesianLinearModel.fit(
                    g, ridge=1.0, weights=weight, row_kind="force", fingerprint=fingerprint
                )
            )
        return found

    def _extract_features(self, batch: LayerBatch) -> tuple[Any, Tensor]:
        if self.model.training:
            wanted = "be in evaluation mode, where equal inputs have equal features"
            way_out = "Call `model.eval()`."
            raise InputError(error_message("model", wanted, "training mode", way_out))
        return extract_features(self.model, self.layer_names, batch)

    def _mean_and_features(self, batch: LayerBatch, requires_grad: bool) -> tuple[Tensor, Tensor]:
        """Return what the model says of structures, `[b]` or `[b, t]`, and f."""
        with torch.set_grad_enabled(requires_grad):
            answer, f = self._extract_features(batch)
            mean = self.output_fn(answer)
            mean = mean.squeeze(-1) if mean.ndim == 2 and mean.shape[1] == 1 else mean
            if len(mean) != len(f):
                mean = sum_over_atoms(mean, batch.structure_index)
        if mean.ndim not in (1, 2) or len(mean) != len(f):
            wanted = f"return one row for each of the {len(f)} structures"
            raise ShapeError(error_message("output_fn", wanted, f"shape {list(mean.shape)}"))
        return mean, f

    def _force_features(self, f: Tensor, batch: LayerBatch) -> Tensor:
        positions = _required_positions(batch)
        need = 8 * 2 * positions.numel() * f.shape[1]
        way_out = "Ask about fewer structures at once."
        check_memory("batch", need, free_bytes(positions.device), way_out)
        return negative_position_jacobian(f, positions, self.gradient_block_size).double()

    def _forces_and_features(
        self, batch: LayerBatch, mean: Tensor, f: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return forces `[n, 3]` of the model and their rows g `[n, 3, w]`."""
        g = self._force_features(f, batch)
        pull = negative_position_jacobian(mean.unsqueeze(1), _required_positions(batch), 1)
        return pull.squeeze(-1).double(), g

    def _compare_batch(
        self, linear_model: BayesianLinearModel, batch: LayerBatch, target_kind: TargetKind
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return truth, mean and latent variance of one batch, `[n]` or `[t, n]`."""
        truth = batch.target if target_kind == "energy" else batch.forces
        if truth is None:
            wanted = f"know the {'targets' if target_kind == 'energy' else 'forces'}"
            raise InputError(error_message("batches", wanted, "None"))
        wants = target_kind == "force"
        with position_gradients(_required_positions(batch) if wants else None):
            mean, f = self._mean_and_features(batch, wants)
            if wants:
                mean, f = self._forces_and_features(batch, mean, f)
        mean, truth = mean.detach().double(), truth.to(mean.device).double()
        variance = linear_model.variance(f.detach().double(), row_kind=target_kind)
        if truth.squeeze(-1).shape != mean.squeeze(-1).shape:
            wanted = f"have the shape {list(mean.shape)} of what the model says"
            raise ShapeError(error_message("target_kind", wanted, f"shape {list(truth.shape)}"))
        truth = truth.reshape(mean.shape)
        if wants or mean.ndim == 1:
            return truth.flatten(), mean.flatten(), variance.flatten()
        variance = variance.reshape(len(mean), -1).expand_as(mean)
        return truth.mT, mean.mT, variance.mT

    def _check_fingerprint(self, linear_model: BayesianLinearModel) -> None:
        mine, built = self.fingerprint(), linear_model.fingerprint
        if not built.startswith(mine):
            wanted = f"be the model that the metric was built from ({built[:12]}…)"
            way_out = "Its features have changed: build the metric anew."
            raise NotFittedError(error_message("model", wanted, f"{mine[:12]}…", way_out))


def _required_positions(batch: LayerBatch) -> Tensor:
    if batch.positions is None:
        wanted = "be given where forces are asked for"
        raise InputError(error_message("positions", wanted, "None"))
    return batch.positions


def _constant_weights(like: Tensor, weight: float) -> Tensor:
    return like.new_full((len(like),), weight)
