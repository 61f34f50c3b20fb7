"""An uncertainty from the one network that is there (rows U6 and U7).

    s2(f) = a2 fᵀ (Fᵀ w F + z2 1)⁻¹ f                                     (14) of [G25]

with rows f of `hook`, the inputs of the last linear layer, and weights w = l'' of the
loss: the Laplace approximation (12) with the curvature (10). Nothing is trained; the
training set is read once, and a calibration set once for a2. The energy stays that of
the network. What follows the layer must be linear (a scale and a shift may): a head
that is not needs members.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import torch
from torch import Tensor

from bostruct.errors import InputError, NotFittedError, ShapeError, check_count, must
from bostruct.runtime.memory import check_memory, free_bytes
from bostruct.uncertainty.calibration.residuals import Residuals
from bostruct.uncertainty.calibration.scaling import Method, calibrate
from bostruct.uncertainty.linear_model.bayesian_linear_model import Metric
from bostruct.uncertainty.linear_model.fingerprint import fingerprint
from bostruct.uncertainty.linear_model.last_layer_features import (
    BLOCK,
    Batch,
    last_linear,
    moving,
    rows,
    slopes,
    summed,
)
from bostruct.uncertainty.prediction import Prediction

Target = Literal["energy", "force"]
Reduce = Literal["sum", "mean"]

SHARE = 1e-6  # of the mean square of a feature: the ridge, if none is given


def _whole(answer: Tensor) -> Tensor:
    return answer


@final
@dataclass(frozen=True, eq=False)
class Readout:
    """The last linear layer of a network, as a source of variances.

        readout = Readout.of(model, batches[0])
        metric = readout.metric(batches, data="my training set")
        metric = readout.calibrated(metric, held)
        prediction = readout.predict(metric, batch)

    Attributes:
        model: in evaluation mode, on any device; nothing in it is changed.
        names: of the layer, or of several whose outputs the model adds up.
        output: takes the energies `[b]` (or of atoms `[n]`, or targets `[b, t]`) from
            what the model answers.
        block: see `hook.slopes`; for forces.
    """

    model: torch.nn.Module
    names: tuple[str, ...]
    output: Callable[[Any], Tensor] = _whole
    block: int = BLOCK

    @classmethod
    def of(
        cls,
        model: torch.nn.Module,
        batch: Batch | None = None,
        *,
        names: str | Sequence[str] = (),
        output: Callable[[Any], Tensor] = _whole,
    ) -> Readout:
        """Return the named layers of a model, or the linear one that runs last.

        Raises:
            InputError: neither names nor a batch to find them with are given, or no
                linear layer runs.
        """
        given = (names,) if isinstance(names, str) else tuple(names)
        if not given:
            if batch is None:
                wanted = "be given where the layer is not named"
                raise InputError(must("batch", wanted, "None", "One is enough."))
            given = (last_linear(model, batch),)
        return cls(model, given, output)

    def source(self, data: str = "") -> str:
        """Return what a metric is known by: weights, buffers, layers and the data."""
        state = self.model.state_dict()
        tensors = {key: v for key, v in state.items() if isinstance(v, Tensor)}
        return f"{fingerprint(tensors)} {'+'.join(self.names)} {data}"

    def features(self, batch: Batch) -> Tensor:
        """Rows f `[b, w]` of structures, float64; see `hook`.

        Raises:
            InputError, ShapeError: as `hook.rows`, or the model is being trained.
        """
        with torch.no_grad():
            return self._ask(batch)[1].double()

    def metric(
        self,
        batches: Iterable[Batch],
        *,
        data: str,
        ridge: float | None = None,
        forces: bool = False,
        weights: tuple[float, float] = (1.0, 1.0),
        reduce: Reduce = "sum",
    ) -> Metric:
        """Return the metric of training data, with a2 = 1 until it is calibrated.

        Metrics of parts of the same data with the same ridge add up with `+`.

        Args:
            batches: the training data; neither targets nor forces are looked at.
            data: what the data are known by, in the source of the metric.
            ridge: z2 > 0; a millionth of the mean square of a feature, if not given,
                which as a rule matters little. Parts that are to be added need one.
            forces: whether forces were trained on; batches then have positions.
            weights: l'' of an energy and of a force component in the loss.
            reduce: "mean" if the loss was of energies per atom: rows are then divided
                by the atoms of the structure, while those asked about stay sums.

        Raises:
            InputError: there is no batch, the model is being trained, positions are
                missing, memory does not suffice, or as in `Metric.fit`.
            ShapeError: as `hook.rows`.
        """
        total: Metric | None = None
        source = self.source(data)
        for batch in batches:
            for part in self._parts(batch, forces, weights, reduce, source):
                total = part if total is None else total + part
        if total is None:
            raise InputError(must("batches", "hold at least one batch", "none"))
        if ridge is None:
            square = total.moments.raw.diagonal().mean() / total.moments.count
            ridge = SHARE * float(square)
        return Metric(
            total.moments, total.width, float(ridge), total.alpha2, source=source
        )

    def residuals(
        self, metric: Metric, batches: Iterable[Batch], target: Target = "energy"
    ) -> Residuals:
        """Return errors and latent variances of data with targets, for any score.

        Args:
            metric: of this model.
            batches: with `target`, or with `forces` and `positions`.
            target: what is compared.

        Returns:
            `[n]` of energies or of all force components; `[t, n]` of several targets.

        Raises:
            NotFittedError: the model has changed since the metric was built.
            InputError: targets are missing, or as in `predict`.
        """
        self._check(metric)
        found = [self._compared(metric, batch, target) for batch in batches]
        if not found:
            raise InputError(must("batches", "hold at least one batch", "none"))
        columns = zip(*found, strict=True)
        truth, mean, variance = (torch.cat(part, -1) for part in columns)
        return Residuals.of(truth, mean, variance)

    def calibrated(
        self,
        metric: Metric,
        held: Iterable[Batch],
        target: Target = "energy",
        method: Method = "likelihood",
    ) -> Metric:
        """Return the metric with a2 from data that were held out, (26).

        Energies and forces have one each: calibrate a metric for each.

        Raises:
            NotFittedError: the model has changed since the metric was built.
            InputError: targets are missing, or there are fewer than 8.
        """
        factor = calibrate(self.residuals(metric, held, target), method).alpha2
        return metric.calibrated(metric.alpha2 * factor.to(metric.alpha2))

    def predict(
        self,
        metric: Metric,
        batch: Batch,
        *,
        forces: Metric | None = None,
        covariance: bool = False,
        members: int = 0,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Return the network's own energies with their latent variances.

        The noise is zero: a2 is calibrated on the whole error of the network.

        Args:
            metric: of this model, calibrated for energies.
            batch: with positions, if forces are wanted.
            forces: the metric calibrated for forces, if they are wanted.
            covariance: whether the covariance between the energies is computed.
            members: M energies of each structure drawn from the posterior of the last
                layer (U8), whose mean is the network's own.
            generator: for members; on the device of the metric.

        Raises:
            NotFittedError: the model has changed since the metric was built.
            InputError: the model is being trained, positions are missing, there are
                several targets, or one member is asked for.
            ShapeError: the answer is not `[b]`, or as `hook.rows`.
        """
        self._check(metric)
        with moving(None if forces is None else _positions(batch)):
            mean, f = self._answer(batch, forces is not None)
            if mean.ndim != 1:
                wanted = "return one energy for each structure"
                raise ShapeError(must("output", wanted, f"shape {list(mean.shape)}"))
            pull = spread = None
            if forces is not None:
                self._check(forces)
                pull, g = self._forces(batch, mean, f)
                spread = forces.variance(g, rows="force")
        mean, f = mean.detach().double(), f.detach().double()
        drawn = None
        if members:
            check_count("members", members, 2, "One member has no spread.")
            shape = (metric.width, members)
            xi = torch.randn(shape, generator=generator, dtype=f.dtype, device=f.device)
            step = torch.linalg.solve_triangular(metric.factor.mT, xi, upper=True)
            gap = metric.alpha2.sqrt() * (f @ (step - step.mean(1, keepdim=True)))
            drawn = mean + gap.mT
        return Prediction(
            mean,
            metric.variance(f),
            torch.zeros_like(mean),
            forces=pull,
            force_variance=spread,
            covariance=metric.covariance(f) if covariance else None,
            members=drawn,
        )

    def local(self, metric: Metric, batch: Batch) -> Tensor:
        """Latent variances of what each atom adds, `[n]` eV², where layers see atoms.

        They do not add up to that of the structure: errors of atoms are not
        independent, and copies of one atom have N² times its variance.

        Raises:
            NotFittedError: the model has changed since the metric was built.
            InputError, ShapeError: as `hook.rows`, or the model is being trained.
        """
        self._check(metric)
        return metric.variance(self.features(replace(batch, index=None)))

    def _parts(
        self,
        batch: Batch,
        forces: bool,
        weights: tuple[float, float],
        reduce: Reduce,
        source: str,
    ) -> list[Metric]:
        with moving(_positions(batch) if forces else None):
            with torch.set_grad_enabled(forces):
                f = self._ask(batch)[1]
            g = self._slopes(f, batch) if forces else None
        f = f.detach().double()
        if reduce == "mean" and batch.index is not None:
            f = f / torch.bincount(batch.index).to(f).unsqueeze(1)
        found = [Metric.fit(f, ridge=1.0, weights=_full(f, weights[0]), source=source)]
        if g is not None:
            g = g.flatten(0, 1)
            weight = _full(g, weights[1])
            found.append(
                Metric.fit(g, ridge=1.0, weights=weight, rows="force", source=source)
            )
        return found

    def _ask(self, batch: Batch) -> tuple[Any, Tensor]:
        if self.model.training:
            wanted = "be in evaluation mode, where equal inputs have equal features"
            way_out = "Call `model.eval()`."
            raise InputError(must("model", wanted, "training mode", way_out))
        return rows(self.model, self.names, batch)

    def _answer(self, batch: Batch, graph: bool) -> tuple[Tensor, Tensor]:
        """Return what the model says of structures, `[b]` or `[b, t]`, and f."""
        with torch.set_grad_enabled(graph):
            answer, f = self._ask(batch)
            mean = self.output(answer)
            mean = mean.squeeze(-1) if mean.ndim == 2 and mean.shape[1] == 1 else mean
            if len(mean) != len(f):
                mean = summed(mean, batch.index)
        if mean.ndim not in (1, 2) or len(mean) != len(f):
            wanted = f"return one row for each of the {len(f)} structures"
            raise ShapeError(must("output", wanted, f"shape {list(mean.shape)}"))
        return mean, f

    def _slopes(self, f: Tensor, batch: Batch) -> Tensor:
        positions = _positions(batch)
        need = 8 * 2 * positions.numel() * f.shape[1]
        way_out = "Ask about fewer structures at once."
        check_memory("batch", need, free_bytes(positions.device), way_out)
        return slopes(f, positions, self.block).double()

    def _forces(self, batch: Batch, mean: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
        """Return forces `[n, 3]` of the model and their rows g `[n, 3, w]`."""
        g = self._slopes(f, batch)
        pull = slopes(mean.unsqueeze(1), _positions(batch), 1)
        return pull.squeeze(-1).double(), g

    def _compared(
        self, metric: Metric, batch: Batch, target: Target
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return truth, mean and latent variance of one batch, `[n]` or `[t, n]`."""
        truth = batch.target if target == "energy" else batch.forces
        if truth is None:
            wanted = f"know the {'targets' if target == 'energy' else 'forces'}"
            raise InputError(must("batches", wanted, "None"))
        wants = target == "force"
        with moving(_positions(batch) if wants else None):
            mean, f = self._answer(batch, wants)
            if wants:
                mean, f = self._forces(batch, mean, f)
        mean, truth = mean.detach().double(), truth.to(mean.device).double()
        variance = metric.variance(f.detach().double(), rows=target)
        if truth.squeeze(-1).shape != mean.squeeze(-1).shape:
            wanted = f"have the shape {list(mean.shape)} of what the model says"
            raise ShapeError(must("target", wanted, f"shape {list(truth.shape)}"))
        truth = truth.reshape(mean.shape)
        if wants or mean.ndim == 1:
            return truth.flatten(), mean.flatten(), variance.flatten()
        variance = variance.reshape(len(mean), -1).expand_as(mean)
        return truth.mT, mean.mT, variance.mT

    def _check(self, metric: Metric) -> None:
        mine, built = self.source(), metric.source
        if not built.startswith(mine):
            wanted = f"be the model that the metric was built from ({built[:12]}…)"
            way_out = "Its features have changed: build the metric anew."
            raise NotFittedError(must("model", wanted, f"{mine[:12]}…", way_out))


def _positions(batch: Batch) -> Tensor:
    if batch.positions is None:
        wanted = "be given where forces are asked for"
        raise InputError(must("positions", wanted, "None"))
    return batch.positions


def _full(like: Tensor, weight: float) -> Tensor:
    return like.new_full((len(like),), weight)
