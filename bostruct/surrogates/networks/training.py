"""Training of all members at once.

Notation
    b, n, M   structures, atoms, members
    a    [b]         1   atoms of each structure
    e    [M, b]      1   errors of energies over sqrt(a) and trust, in the scale
    g    [M, n, 3]   1/Å errors of forces over trust, in the scale
    w    [M, b]      1   weights of structures for members

    loss = sum w e² + sum w g²

Energies and forces count alike in these units: the scale is the typical force times
1 Å. Adam (Kingma and Ba, ICLR 2015) with a cosine decay of the step length. Every step
looks at a few structures, the same ones for all members, in an order of the generator.
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

WARMUP_STEPS = 20  # steps in which the step length grows
ADAM_BETAS = (0.9, 0.99)  # of Adam's mean slope and mean square

DropoutMasks = tuple[Tensor, Tensor]
LossFunction = Callable[["NetworkOutput", TrainingSet, float], Tensor]


@final
@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """What members say of a lesson, in its units.

    Attributes:
        energy: `[M, b]`.
        forces: `[M, n, 3]`, or zeros where no force is known.
        energy_std: `[M, b]`, predicted for the energy, extensive.
    """

    energy: Tensor
    forces: Tensor
    energy_std: Tensor


def forward(
    weights: NetworkWeights,
    training_set: TrainingSet,
    dropout_masks: DropoutMasks | None = None,
) -> NetworkOutput:
    """Return what networks say of a lesson, differentiable in the weights."""
    layers = weights.hidden_layers(training_set.inputs, training_set.species_index, dropout_masks)
    local = weights.atomic_energies(layers)
    deviation = weights.atomic_std(layers, detach_hidden=True)
    zero = local.new_zeros(len(local), len(training_set))
    if training_set.neighbors.shape[1]:
        forces = training_set.forces_from_gradients(weights.input_gradients(layers))
    else:
        forces = training_set.forces.expand(len(local), -1, 3)
    return NetworkOutput(
        zero.index_add(1, training_set.index, local),
        forces,
        zero.index_add(1, training_set.index, deviation),
    )


def scaled_errors(output: NetworkOutput, training_set: TrainingSet) -> tuple[Tensor, Tensor]:
    """Return e `[M, b]` and g `[M, n, 3]`."""
    trust = training_set.noise_factor
    e = (output.energy - training_set.energy) / (trust * training_set.counts.sqrt())
    g = (output.forces - training_set.forces) * training_set.force_mask
    return e, g / trust[training_set.index].unsqueeze(-1)


def squared_loss(weight: Tensor | None = None) -> LossFunction:
    """Return the loss above.

    Args:
        weight: `[M, b]` of all training structures; 1 by default.
    """

    def loss(said: NetworkOutput, lesson: TrainingSet, progress: float) -> Tensor:
        del progress
        e, g = scaled_errors(said, lesson)
        if weight is None:
            return e.square().sum() + g.square().sum()
        w = weight[:, lesson.source_rows]
        forces = g.square().sum(-1) * w[:, lesson.index]
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
        initial_weights: first weights.
        network: says how many steps of which size.
        training_set: all of the data.
        loss: of what is said about a part of the data, and how far training is.
        generator: on the CPU, for the order of structures and what is dropped.
        dropout_rate: share of the hidden units that are left out, others for each structure.
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
            part = training_set.subset(next(order)) if size < len(training_set) else training_set
            masks = (
                structure_dropout_masks(weights, part, dropout_rate, generator)
                if dropout_rate
                else None
            )
            adam.zero_grad()
            loss(forward(weights, part, masks), part, progress).backward()
            adam.step()
    return NetworkWeights(*(value.detach() for value in parameters))


def structure_dropout_masks(
    weights: NetworkWeights,
    training_set: TrainingSet,
    dropout_rate: float,
    generator: torch.Generator,
) -> DropoutMasks:
    """Return masks `[1, n, h]` of both layers, one draw for each structure."""
    h = weights.second_weights.shape[-1]
    both = draw_dropout_masks(2 * len(training_set), h, dropout_rate, generator).to(
        training_set.inputs
    )
    first, second = both.view(2, len(training_set), h)[:, training_set.index]
    return first.unsqueeze(0), second.unsqueeze(0)


def draw_dropout_masks(
    count: int, h: int, dropout_rate: float, generator: torch.Generator
) -> Tensor:
    """Return factors `[count, h]`: 0 for what is dropped, 1 / (1 - drop) elsewhere."""
    kept = torch.rand((count, h), generator=generator, dtype=torch.float64) >= dropout_rate
    return kept.double() / (1 - dropout_rate)


def training_error(
    weights: NetworkWeights, training_set: TrainingSet, loss: LossFunction
) -> tuple[float, float, float]:
    """Return the loss, and the roots of the mean squares of e and of known g.

    Those of the mean of the members, at the end of training, over all of the data.
    """
    total, squares = 0.0, torch.zeros(2, dtype=torch.float64)
    with torch.no_grad():
        for part in training_set.iter_batches():
            said = forward(weights, part)
            total += float(loss(said, part, 1.0))
            e, g = scaled_errors(said, part)
            found = (e.mean(0).square().sum(), g.mean(0).square().sum())
            squares += torch.stack(found).cpu().double()
    energies, forces = squares.tolist()
    known = max(float(training_set.force_mask.sum()), 1.0)
    return total, math.sqrt(energies / len(training_set)), math.sqrt(forces / known)


def _iter_batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield `batch_size` of `count` rows for ever, all of them before any comes again."""
    while True:
        rows = torch.randperm(count, generator=generator)
        for start in range(0, count - batch_size + 1, batch_size):
            yield rows[start : start + batch_size]
