"""What an acquisition is: a description now, a BoTorch function once there is a model.

Notation
    X        [b, q, d]  coordinates of `b` sets of `q` candidates
    best     eV         the lowest energy observed so far
    E, mu, σ eV         energy, its posterior mean and standard deviation
    utility             what BoTorch maximises: -E

Energies: lower is better. Utilities: larger is better. The sign changes in this folder
and nowhere else.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.models.model import Model
from torch import Tensor

from bostruct.errors import InputError, error_message

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@runtime_checkable
class Acquisition(Protocol):
    """What a look at a structure is worth, written down before there is data."""

    @property
    def supports_q_batch(self) -> bool:
        """Whether one value is given to `q > 1` candidates together."""
        ...

    def build(
        self,
        model: Model,
        best_f: float,
        *,
        X_baseline: Tensor | None = None,
        X_pending: Tensor | None = None,
        seed: int = 0,
    ) -> AcquisitionFunction:
        """Return BoTorch's acquisition function, to be maximised over `X [b, q, d]`.

        Args:
            model: A fitted model whose posterior is over energies, in eV.
            best_f: The lowest energy observed so far, in eV.
            X_baseline: `[t, d]` what was evaluated; the noisy forms need it.
            X_pending: `[p, d]` what is being evaluated. The joint forms count it as
                part of every set; the others refuse it.
            seed: Of the Monte-Carlo forms. Equal seeds give equal values.
        """
        ...

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        ...


def describe(acquisition: DataclassInstance) -> dict[str, Any]:
    """Return the name and the fields of a frozen dataclass."""
    fields = dataclasses.asdict(acquisition)
    return {"type": type(acquisition).__name__, **fields}


def best_f_tensor(best_f: float | Tensor) -> Tensor:
    """Return the lowest energy so far as a float64 scalar, `[]` eV.

    BoTorch would make a Python float a float32 number: at 1e5 eV that is wrong by
    several meV.

    Raises:
        InputError: it is not finite, so nothing can be an improvement on it.
    """
    value = float(best_f)
    if not math.isfinite(value):
        way_out = "Evaluate a structure first; then pass the lowest energy, in eV."
        raise InputError(error_message("best_f", "be a finite energy", value, way_out))
    return torch.tensor(value, dtype=torch.float64)


def check_no_pending(acquisition: object, X_pending: Tensor | None) -> None:
    """Refuse pending candidates where the formula has no place for them.

    Raises:
        InputError: there are some.
    """
    if X_pending is None or X_pending.numel() == 0:
        return
    name = type(acquisition).__name__
    way_out = (
        f"{name} looks at one candidate at a time: condition the model on its own "
        "mean at the pending ones first, or use a joint form (q...)."
    )
    raise InputError(error_message("X_pending", "be None", list(X_pending.shape), way_out))
