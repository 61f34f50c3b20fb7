"""Inputs of the last linear layer of a trained network, and their position gradients.

Notation
    f   [b, w]     rows of structures: inputs of the layer, summed over atoms, and of a
                   layer with a bias the sum of ones, which is the number of atoms
    g   [n, 3, w]  1/Å, rows of forces: minus the gradients of f with respect to the positions

A layer with a bias adds a constant column: without it the row of (14) in Grasselli et al., Digital
Discovery 2025, 4, 2654 lacks a weight of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, error_message

GRADIENT_BLOCK_SIZE = 16  # features differentiated in one backward pass
LINEARITY_TOLERANCE = 1e-4  # deviation of a layer from linearity, over its largest output


@final
@dataclass(frozen=True, eq=False)
class LayerBatch:
    """Inputs of a network for a batch of structures, with reference values.

    Attributes:
        inputs: arguments of the network, if a tuple, else its only argument.
        target: `[b]` or `[b, t]`, reference values; optional.
        structure_index: `[n]`, index of the structure of each row of the layer, from 0; None if
            the layer has one row for each structure.
        positions: `[n, 3]` Å, the tensor within `inputs` that forces are derivatives of.
        forces: `[n, 3]` eV/Å, reference forces; optional.
    """

    inputs: Any
    target: Tensor | None = None
    structure_index: Tensor | None = None
    positions: Tensor | None = None
    forces: Tensor | None = None

    def forward(self, model: torch.nn.Module) -> Any:  # noqa: ANN401 - of the network
        """Return the output of the network."""
        if isinstance(self.inputs, tuple):
            return model(*self.inputs)
        return model(self.inputs)


def last_linear_name(model: torch.nn.Module, batch: LayerBatch) -> str:
    """Return the name of the `torch.nn.Linear` that runs last.

    Raises:
        InputError: none runs.
    """
    called: list[str] = []
    with ExitStack() as hooks, torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear):
                hook = module.register_forward_pre_hook(lambda *_, name=name: called.append(name))
                hooks.callback(hook.remove)
        batch.forward(model)
    if not called:
        hint = "Name the layer whose outputs are summed to the energy."
        raise InputError(error_message("model", "run a torch.nn.Linear", "none", hint))
    return called[-1]


def extract_features(
    model: torch.nn.Module, layer_names: Sequence[str], batch: LayerBatch
) -> tuple[Any, Tensor]:
    """Return the output of a network and the rows f `[b, w]` of its last layers.

    Rows of several layers, whose outputs the network adds up, are concatenated.

    Raises:
        InputError: a layer does not exist, does not run exactly once, is not linear, or a number
            in its inputs is not finite.
        ShapeError: the inputs of a layer are not `[n, w]`, or do not match the structure index.
    """
    layers = [_find_layer(model, name) for name in layer_names]
    recorded: list[list[Tensor]] = [[] for _ in layers]
    with ExitStack() as hooks:
        for layer, kept in zip(layers, recorded, strict=True):
            hook = layer.register_forward_pre_hook(lambda _, args, kept=kept: kept.append(args[0]))
            hooks.callback(hook.remove)
        output = batch.forward(model)
    columns = []
    for name, layer, inputs in zip(layer_names, layers, recorded, strict=True):
        if len(inputs) != 1:
            hint = "Name another layer, or ask about one structure at a time."
            condition = "run once in a call of the model"
            raise InputError(error_message(name, condition, f"{len(inputs)} times", hint))
        columns.append(_layer_inputs(name, layer, inputs[0]))
    return output, sum_over_atoms(torch.cat(columns, 1), batch.structure_index)


def sum_over_atoms(values: Tensor, structure_index: Tensor | None) -> Tensor:
    """Return sums `[b, ...]` of rows of atoms `[n, ...]` over structures.

    Raises:
        ShapeError: there is not one structure index for each row.
        InputError: a structure has no atom, or a negative index.
    """
    if structure_index is None:
        return values
    if structure_index.shape != values.shape[:1]:
        condition = f"have one number for each of the {len(values)} rows"
        value = f"shape {list(structure_index.shape)}"
        raise ShapeError(error_message("structure_index", condition, value))
    if int(structure_index.min()) < 0 or int(torch.bincount(structure_index).min()) == 0:
        condition = "number the structures from 0 on, and leave none out"
        indices = structure_index.unique().tolist()[:8]
        raise InputError(error_message("structure_index", condition, indices))
    shape = (int(structure_index.max()) + 1, *values.shape[1:])
    return values.new_zeros(shape).index_add(0, structure_index.to(values.device), values)


@contextmanager
def position_gradients(positions: Tensor | None) -> Iterator[None]:
    """Make positions require gradients within the context, if there are any."""
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
    """Return minus the gradients g `[n, 3, w]` of rows `[b, w]`, in w backward passes.

    Args:
        values: `[b, w]`, computed from the positions; each structure has atoms of its own.
        positions: `[n, 3]` Å, positions of all atoms.
        block_size: columns of one batched backward pass; 1 for a network with an operation that
            `torch.vmap` does not support.

    Raises:
        InputError: the values do not depend on the positions.
    """
    gradients = []
    total = values.sum(0) if values.requires_grad else values.new_zeros(0)
    for start in range(0, len(total), block_size):
        block = total[start : start + block_size]
        eye = torch.eye(len(block)).to(block)
        batched = len(block) > 1
        (gradient,) = torch.autograd.grad(
            block,
            positions,
            eye if batched else eye[0],
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=batched,
        )
        if gradient is None:
            break
        gradients.append(gradient.reshape(len(block), *positions.shape))
    if not gradients:
        condition, value = "be an input of the network", "a tensor it does not use"
        hint = "Put this very tensor into `inputs`, and keep it out of `no_grad`."
        raise InputError(error_message("positions", condition, value, hint))
    return -torch.cat(gradients).movedim(0, -1).detach()


def _find_layer(model: torch.nn.Module, name: str) -> torch.nn.Module:
    modules: dict[str, torch.nn.Module] = dict(model.named_modules())
    if name not in modules:
        linear = [key for key, module in modules.items() if isinstance(module, torch.nn.Linear)]
        condition, hint = "be layers of the model", ", ".join(linear[-8:]) or "none"
        raise InputError(
            error_message("layer_names", condition, repr(name), f"Linear layers: {hint}.")
        )
    return modules[name]


def _layer_inputs(name: str, layer: torch.nn.Module, inputs: Tensor) -> Tensor:
    """Return the inputs of one layer, and ones where it has a bias, `[n, w]`."""
    if inputs.ndim != 2:
        condition = "be asked about rows [n, w]"
        raise ShapeError(error_message(name, condition, f"shape {list(inputs.shape)}"))
    if not isinstance(layer, torch.nn.Linear):
        _check_linear(name, layer, inputs.detach())
    bias = getattr(layer, "bias", None)
    if not isinstance(bias, Tensor) or bias.numel() == 0:
        return inputs
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)


def _check_linear(name: str, layer: torch.nn.Module, inputs: Tensor) -> None:
    """Check numerically that a layer of any class is linear in its inputs."""
    with torch.no_grad():
        bias = layer(torch.zeros_like(inputs))
        once, twice = layer(inputs) - bias, layer(2 * inputs) - bias
    gap, scale = float((twice - 2 * once).abs().max()), float(twice.abs().max())
    if not gap <= LINEARITY_TOLERANCE * scale:
        condition, hint = "be linear in its inputs", "Name the last layer that is."
        raise InputError(error_message(name, condition, f"a deviation of {gap:.3g}", hint))
