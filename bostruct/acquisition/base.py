"""Acquisitions: descriptions that become BoTorch acquisition functions on a fitted model.

Notation
    X        [b, q, d]  coordinates of `b` sets of `q` candidates
    best_f   eV         the lowest energy evaluated so far
    E, mu, σ eV         energy, its posterior mean and standard deviation
    utility             what BoTorch maximizes: -E

Energies: lower is better. Utilities: larger is better. The sign changes in this folder
and nowhere else.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from torch import Tensor

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.errors import InputError, error_message


@runtime_checkable
class Acquisition(Protocol):
    """A description of an acquisition function, written down before there is data."""

    @property
    def supports_q_batch(self) -> bool:
        """True if it gives one value to `q > 1` candidates together and takes pending ones."""
        ...

    @property
    def supports_multi_objective(self) -> bool:
        """True if it is of several objectives and constraints, False if of one energy."""
        ...

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return BoTorch's acquisition function, to be maximized over `X [b, q, d]`.

        Args:
            context: Model, data and pending candidates, with `optimization_config` exactly if
                `supports_multi_objective`.
        """
        ...

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        ...


@dataclass(frozen=True)
class BotorchAcquisition(ABC):
    """Base of the acquisitions of this package, which are frozen dataclasses."""

    supports_q_batch: ClassVar[bool] = False
    supports_multi_objective: ClassVar[bool] = False
    has_energy_values: ClassVar[bool] = False
    """True if its values are energies, which scale with those of the problem."""

    @abstractmethod
    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return BoTorch's acquisition function."""

    def description(self) -> dict[str, Any]:
        """Return the type and its arguments, ready for JSON."""
        return {"type": type(self).__name__, **asdict(self)}


def best_f_tensor(context: AcquisitionContext) -> Tensor:
    """Return the lowest energy so far as a float64 scalar, `[]` eV.

    BoTorch would make a Python float a float32 number: at 1e5 eV that is wrong by
    several meV.

    Raises:
        InputError: It is missing or not finite.
    """
    best_f = context.best_f
    if best_f is None or not math.isfinite(best_f):
        way_out = "Evaluate a structure first; then pass the lowest energy, in eV."
        raise InputError(error_message("best_f", "be a finite energy", best_f, way_out))
    return torch.tensor(float(best_f), dtype=torch.float64)


def check_context(acquisition: Acquisition, context: AcquisitionContext) -> None:
    """Refuse a context that an acquisition does not declare to support.

    Raises:
        InputError: Objectives for an acquisition of one energy or the reverse, or pending
            candidates for one without q-batches.
    """
    name = type(acquisition).__name__
    if acquisition.supports_multi_objective != (context.optimization_config is not None):
        if acquisition.supports_multi_objective:
            condition, way_out = f"be given for {name}", "It is an acquisition of objectives."
        else:
            condition, way_out = f"be None for {name}", "It is an acquisition of one energy."
        got = type(context.optimization_config).__name__
        raise InputError(error_message("optimization_config", condition, got, way_out))
    pending = context.X_pending
    if not acquisition.supports_q_batch and pending is not None:
        way_out = (
            f"{name} takes one candidate at a time: condition the model on its own mean at the "
            "pending ones first, or use a q-batch acquisition (q...)."
        )
        raise InputError(error_message("X_pending", "be None", list(pending.shape), way_out))
