"""What enters the last linear layer of a network that somebody has trained.

Notation
    f   [b, w]     rows of structures: inputs of the layer, summed over atoms, and of a
                   layer with a bias the sum of ones, which is the number of atoms
    g   [n, 3, w]  1/Å, rows of forces: minus the slopes of f with the positions

A layer with a bias has a constant column of its own: without it the row of (14) in
Grasselli et al., Digital Discovery 2025, 4, 2654 lacks a weight of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, error_message

GRADIENT_BLOCK_SIZE = 16  # slopes of so many features are taken in one backward pass
LINEARITY_TOLERANCE = 1e-4  # of the largest value: how exactly a layer of any kind must be linear


@final
@dataclass(frozen=True, eq=False)
class LayerBatch:
    """What a network is asked at once.

    Attributes:
        inputs: of the network: a tuple is handed over as arguments, all else as one.
        target: `[b]` or `[b, t]`, the truth, where it is known.
        structure_index: `[n]`, to which structure each row of the layer belongs, from 0 on; None
            if the layer sees one row for each structure.
        positions: `[n, 3]` Å, the tensor within `inputs` that forces are slopes of.
        forces: `[n, 3]` eV/Å, the truth, where it is known.
    """

    inputs: Any
    target: Tensor | None = None
    structure_index: Tensor | None = None
    positions: Tensor | None = None
    forces: Tensor | None = None

    def forward(self, model: torch.nn.Module) -> Any:  # noqa: ANN401 - of the network
        """Return what the network answers."""
        if isinstance(self.inputs, tuple):
            return model(*self.inputs)
        return model(self.inputs)


def last_linear_name(model: torch.nn.Module, batch: LayerBatch) -> str:
    """Return the name of the `torch.nn.Linear` that runs last.

    Raises:
        InputError: none runs.
    """
    ran: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    try:
        with torch.no_grad():
            batch.forward(model)
    finally:
        for hook in hooks:
            hook.remove()
    if not ran:
        way_out = "Name the layer whose outputs are summed to the energy."
        raise InputError(error_message("model", "run a torch.nn.Linear", "none", way_out))
    return ran[-1]


def extract_features(
    model: torch.nn.Module, layer_names: Sequence[str], batch: LayerBatch
) -> tuple[Any, Tensor]:
    """Return the answer of a network and the rows f `[b, w]` of its last layers.

    Of several layers, whose outputs the network adds up, the rows stand side by side.

    Raises:
        InputError: a layer does not exist, does not run exactly once, is not linear, or
            a number in its inputs is not finite.
        ShapeError: its inputs are not `[n, w]`, or the index is not that of its rows.
    """
    layers = [_find_layer(model, name) for name in layer_names]
    seen: list[list[Tensor]] = [[] for _ in layers]
    hooks = [
        layer.register_forward_pre_hook(lambda _, args, kept=kept: kept.append(args[0]))
        for layer, kept in zip(layers, seen, strict=True)
    ]
    try:
        answer = batch.forward(model)
    finally:
        for hook in hooks:
            hook.remove()
    columns = []
    for name, layer, kept in zip(layer_names, layers, seen, strict=True):
        if len(kept) != 1:
            wanted = "run once in a call of the model"
            way_out = "Name another layer, or ask about one structure at a time."
            raise InputError(error_message(name, wanted, f"{len(kept)} times", way_out))
        columns.append(_layer_inputs(name, layer, kept[0]))
    return answer, sum_over_atoms(torch.cat(columns, 1), batch.structure_index)


def sum_over_atoms(values: Tensor, structure_index: Tensor | None) -> Tensor:
    """Return sums `[b, ...]` of rows of atoms `[n, ...]` over structures.

    Raises:
        ShapeError: there is not one number of a structure for each row.
        InputError: a structure has no atom, or a negative number.
    """
    if structure_index is None:
        return values
    if structure_index.shape != values.shape[:1]:
        wanted = f"have one number for each of the {len(values)} rows of the layer"
        raise ShapeError(
            error_message("structure_index", wanted, f"shape {list(structure_index.shape)}")
        )
    if int(structure_index.min()) < 0 or int(torch.bincount(structure_index).min()) == 0:
        wanted = "number the structures from 0 on, and leave none out"
        raise InputError(
            error_message("structure_index", wanted, structure_index.unique().tolist()[:8])
        )
    shape = (int(structure_index.max()) + 1, *values.shape[1:])
    return values.new_zeros(shape).index_add(0, structure_index.to(values.device), values)


@contextmanager
def position_gradients(positions: Tensor | None) -> Iterator[None]:
    """Let positions require gradients for a while, if there are any."""
    if positions is None:
        yield
        return
    before = positions.requires_grad
    try:
        with torch.enable_grad():
            if not before:
                positions.requires_grad_(True)
            yield
    finally:
        if not before:
            positions.requires_grad_(False)


def negative_position_jacobian(
    values: Tensor, positions: Tensor, block_size: int = GRADIENT_BLOCK_SIZE
) -> Tensor:
    """Return minus the slopes g `[n, 3, w]` of rows `[b, w]`, w backward passes.

    Args:
        values: of one graph with the positions; each structure has its own atoms.
        positions: `[n, 3]` Å.
        block_size: columns that go backward together; 1 for a network with an operation
            that `torch.vmap` does not know.

    Raises:
        InputError: the values do not depend on the positions.
    """
    found = []
    total = values.sum(0) if values.requires_grad else values.new_zeros(0)
    for start in range(0, len(total), block_size):
        part = total[start : start + block_size]
        eye = torch.eye(len(part)).to(part)
        batched = len(part) > 1
        (slope,) = torch.autograd.grad(
            part,
            positions,
            eye if batched else eye[0],
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=batched,
        )
        if slope is None:
            break
        found.append(slope.reshape(len(part), *positions.shape))
    if not found:
        wanted = "be what the network computes its answer from"
        way_out = "Put this very tensor into `inputs`, and keep it out of `no_grad`."
        raise InputError(error_message("positions", wanted, "a tensor it does not use", way_out))
    return -torch.cat(found).movedim(0, -1).detach()


def _find_layer(model: torch.nn.Module, name: str) -> torch.nn.Module:
    found: torch.nn.Module | None = dict(model.named_modules()).get(name)
    if found is None:
        known = [
            name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)
        ]
        way_out = f"Linear layers: {', '.join(known[-8:]) or 'none'}."
        raise InputError(
            error_message("layer_names", "be layers of the model", repr(name), way_out)
        )
    return found


def _layer_inputs(name: str, layer: torch.nn.Module, inputs: Tensor) -> Tensor:
    """Return the inputs of one layer, and ones where it has a bias, `[n, w]`."""
    if inputs.ndim != 2:
        wanted = "be asked about rows [n, w]"
        raise ShapeError(error_message(name, wanted, f"shape {list(inputs.shape)}"))
    if not isinstance(layer, torch.nn.Linear):
        _check_linear(name, layer, inputs.detach())
    bias = getattr(layer, "bias", None)
    if not isinstance(bias, Tensor) or bias.numel() == 0:
        return inputs
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)


def _check_linear(name: str, layer: torch.nn.Module, inputs: Tensor) -> None:
    """Layers of other libraries may be named too, if they do what a linear one does."""
    with torch.no_grad():
        level = layer(torch.zeros_like(inputs))
        once, twice = layer(inputs) - level, layer(2 * inputs) - level
    gap, scale = float((twice - 2 * once).abs().max()), float(twice.abs().max())
    if not gap <= LINEARITY_TOLERANCE * scale:
        wanted = "be linear in its inputs"
        way_out = "Name the last layer that is."
        raise InputError(error_message(name, wanted, f"a deviation of {gap:.3g}", way_out))
