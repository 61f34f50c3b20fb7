"""Training of all members at once.

Notation
    b, n, M   structures, atoms, members
    a    [b]         1   atoms of each structure
    e    [M, b]      1   errors of energies over sqrt(a) and the noise factor, in the scale
    g    [M, n, 3]   1   errors of forces over the noise factor, in the scale
    w    [M, b]      1   weights of structures for members

    loss = sum w e² + sum w g²

Energies and forces count alike in these units, of a typical force times a typical length. Adam
(Kingma and Ba, ICLR 2015) with a cosine decay of the learning rate. Every step takes a batch of
structures, the same for all members, in an order of the generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.surrogates.networks.dataset import TrainingSet
from bostruct.surrogates.networks.network import NetworkConfig, NetworkWeights

WARMUP_STEPS = 20  # steps in which the learning rate grows
ADAM_BETAS = (0.9, 0.99)  # decay of Adam's mean gradient and mean square

DropoutMasks = tuple[Tensor, Tensor]
LossFunction = Callable[["NetworkOutput", TrainingSet, float], Tensor]


@final
@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """Outputs of the members for a training set, in units of its scale.

    Attributes:
        energy: Energies, `[M, b]`.
        forces: Forces, `[M, n, 3]`, or zeros where no force is known.
        energy_std: Predicted standard deviations of the energies, extensive, `[M, b]`.
    """

    energy: Tensor
    forces: Tensor
    energy_std: Tensor


def forward(
    weights: NetworkWeights,
    training_set: TrainingSet,
    dropout_masks: DropoutMasks | None = None,
) -> NetworkOutput:
    """Return the outputs of networks for a training set, differentiable in the weights."""
    layers = weights.hidden_layers(training_set.inputs, training_set.species_index, dropout_masks)
    atomic = weights.atomic_energies(layers)
    std = weights.atomic_std(layers, detach_hidden=True)
    zero = atomic.new_zeros(len(atomic), len(training_set))
    if training_set.neighbors.shape[1]:
        forces = training_set.forces_from_gradients(weights.input_gradients(layers))
    else:
        forces = training_set.forces.expand(len(atomic), -1, 3)
    energy, energy_std = (zero.index_add(1, training_set.index, x) for x in (atomic, std))
    return NetworkOutput(energy, forces, energy_std)


def scaled_errors(output: NetworkOutput, training_set: TrainingSet) -> tuple[Tensor, Tensor]:
    """Return e `[M, b]` and g `[M, n, 3]`."""
    factor = training_set.noise_factor
    e = (output.energy - training_set.energy) / (factor * training_set.counts.sqrt())
    g = (output.forces - training_set.forces) * training_set.force_mask
    return e, g / factor[training_set.index].unsqueeze(-1)


def squared_loss(weight: Tensor | None = None) -> LossFunction:
    """Return the loss of the module's docstring.

    Args:
        weight: Weights w of all training structures, `[M, b]`; 1 by default.
    """

    def loss(output: NetworkOutput, training_set: TrainingSet, progress: float) -> Tensor:
        del progress
        e, g = scaled_errors(output, training_set)
        if weight is None:
            return e.square().sum() + g.square().sum()
        w = weight[:, training_set.source_rows]
        forces = g.square().sum(-1) * w[:, training_set.index]
        return (w * e.square()).sum() + forces.sum()

    return loss


def train(
    initial_weights: NetworkWeights,
    network: NetworkConfig,
    training_set: TrainingSet,
    loss: LossFunction,
    generator: torch.Generator,
    *,
    dropout_rate: float = 0.0,
) -> NetworkWeights:
    """Return trained weights; a pure function of its arguments.

    Args:
        initial_weights: First weights.
        network: Number of steps, batch size and learning rate.
        training_set: The training data.
        loss: Loss of the outputs for a batch, at a progress of the training from 0 to 1.
        generator: Random generator on the CPU, for the order of structures and dropout masks.
        dropout_rate: Fraction of the hidden units that are left out, others for each structure.
    """
    parameters = [
        value.to(training_set.inputs).clone().requires_grad_()
        for value in initial_weights.parameters()
    ]
    weights = NetworkWeights(*parameters)
    adam = torch.optim.Adam(parameters, lr=network.learning_rate, betas=ADAM_BETAS)
    size = min(network.batch_size, len(training_set))
    order = _iter_batches(len(training_set), size, generator)
    with torch.enable_grad():
        for step in range(network.n_steps):
            progress = step / network.n_steps
            decay = (1 + math.cos(math.pi * progress)) / 2
            warm = min(1.0, (step + 1) / WARMUP_STEPS)
            adam.param_groups[0]["lr"] = network.learning_rate * decay * warm
            batch = training_set.subset(next(order)) if size < len(training_set) else training_set
            masks = None
            if dropout_rate:
                masks = structure_dropout_masks(weights, batch, dropout_rate, generator)
            adam.zero_grad()
            loss(forward(weights, batch, masks), batch, progress).backward()
            adam.step()
    return NetworkWeights(*(value.detach() for value in parameters))


def structure_dropout_masks(
    weights: NetworkWeights,
    training_set: TrainingSet,
    dropout_rate: float,
    generator: torch.Generator,
) -> DropoutMasks:
    """Return masks `[1, n, h]` of both layers, one draw for each structure."""
    b, h = len(training_set), weights.second_weights.shape[-1]
    both = draw_dropout_masks(2 * b, h, dropout_rate, generator).to(training_set.inputs)
    first, second = both.view(2, b, h)[:, training_set.index]
    return first.unsqueeze(0), second.unsqueeze(0)


def draw_dropout_masks(
    count: int, h: int, dropout_rate: float, generator: torch.Generator
) -> Tensor:
    """Return factors `[count, h]`: 0 for dropped units, 1 / (1 - dropout_rate) elsewhere."""
    kept = torch.rand((count, h), generator=generator, dtype=torch.float64) >= dropout_rate
    return kept.double() / (1 - dropout_rate)


def training_error(
    weights: NetworkWeights, training_set: TrainingSet, loss: LossFunction
) -> tuple[float, float, float]:
    """Return the loss, and the roots of the mean squares of e and of known g.

    The errors are those of the mean of the members, over all of the data.
    """
    total, squares = 0.0, torch.zeros(2, dtype=torch.float64)
    with torch.no_grad():
        for batch in training_set.iter_batches():
            output = forward(weights, batch)
            total += float(loss(output, batch, 1.0))
            sums = [error.mean(0).square().sum() for error in scaled_errors(output, batch)]
            squares += torch.stack(sums).cpu().double()
    energies, forces = squares.tolist()
    known = max(float(training_set.force_mask.sum()), 1.0)
    return total, math.sqrt(energies / len(training_set)), math.sqrt(forces / known)


def _iter_batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of `count` rows without end, each row once per epoch."""
    while True:
        rows = torch.randperm(count, generator=generator)
        for start in range(0, count - batch_size + 1, batch_size):
            yield rows[start : start + batch_size]
