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

from bostruct.surrogates.networks.dataset import Lesson
from bostruct.surrogates.networks.network import Network, Weights

WARM = 20  # steps in which the step length grows
MEMORY = (0.9, 0.99)  # of Adam's mean slope and mean square

Masks = tuple[Tensor, Tensor]
Loss = Callable[["Said", Lesson, float], Tensor]


@final
@dataclass(frozen=True, eq=False)
class Said:
    """What members say of a lesson, in its units.

    Attributes:
        energy: `[M, b]`.
        forces: `[M, n, 3]`, or zeros where no force is known.
        deviation: `[M, b]`, predicted for the energy, extensive.
    """

    energy: Tensor
    forces: Tensor
    deviation: Tensor


def say(weights: Weights, lesson: Lesson, masks: Masks | None = None) -> Said:
    """Return what networks say of a lesson, differentiable in the weights."""
    layers = weights.hidden(lesson.x, lesson.place, masks)
    local = weights.local(layers)
    deviation = weights.deviation(layers, frozen=True)
    zero = local.new_zeros(len(local), len(lesson))
    if lesson.other.shape[1]:
        forces = lesson.pull(weights.slopes(layers))
    else:
        forces = lesson.forces.expand(len(local), -1, 3)
    return Said(
        zero.index_add(1, lesson.index, local),
        forces,
        zero.index_add(1, lesson.index, deviation),
    )


def errors(said: Said, lesson: Lesson) -> tuple[Tensor, Tensor]:
    """Return e `[M, b]` and g `[M, n, 3]`."""
    trust = lesson.trust
    e = (said.energy - lesson.energy) / (trust * lesson.counts.sqrt())
    g = (said.forces - lesson.forces) * lesson.known
    return e, g / trust[lesson.index].unsqueeze(-1)


def squared(weight: Tensor | None = None) -> Loss:
    """Return the loss above.

    Args:
        weight: `[M, b]` of all training structures; 1 by default.
    """

    def loss(said: Said, lesson: Lesson, progress: float) -> Tensor:
        del progress
        e, g = errors(said, lesson)
        if weight is None:
            return e.square().sum() + g.square().sum()
        w = weight[:, lesson.rows]
        forces = g.square().sum(-1) * w[:, lesson.index]
        return (w * e.square()).sum() + forces.sum()

    return loss


def train(
    start: Weights,
    network: Network,
    lesson: Lesson,
    loss: Loss,
    generator: torch.Generator,
    *,
    drop: float = 0.0,
) -> Weights:
    """Return trained weights; a pure function of its arguments.

    Args:
        start: first weights.
        network: says how many steps of which size.
        lesson: all of the data.
        loss: of what is said about a part of the data, and how far training is.
        generator: on the CPU, for the order of structures and what is dropped.
        drop: share of the hidden units that are left out, others for each structure.
    """
    parameters = [
        value.to(lesson.x).clone().requires_grad_() for value in start.parameters()
    ]
    weights = Weights(*parameters)
    adam = torch.optim.Adam(parameters, lr=network.rate, betas=MEMORY)
    size = min(network.batch, len(lesson))
    order = _order(len(lesson), size, generator)
    with torch.enable_grad():
        for step in range(network.steps):
            progress = step / network.steps
            decay = (1 + math.cos(math.pi * progress)) / 2
            warm = min(1.0, (step + 1) / WARM)
            adam.param_groups[0]["lr"] = network.rate * decay * warm
            part = lesson.take(next(order)) if size < len(lesson) else lesson
            masks = thinned(weights, part, drop, generator) if drop else None
            adam.zero_grad()
            loss(say(weights, part, masks), part, progress).backward()
            adam.step()
    return Weights(*(value.detach() for value in parameters))


def thinned(
    weights: Weights, lesson: Lesson, drop: float, generator: torch.Generator
) -> Masks:
    """Return masks `[1, n, h]` of both layers, one draw for each structure."""
    h = weights.second.shape[-1]
    both = masks(2 * len(lesson), h, drop, generator).to(lesson.x)
    first, second = both.view(2, len(lesson), h)[:, lesson.index]
    return first.unsqueeze(0), second.unsqueeze(0)


def masks(count: int, h: int, drop: float, generator: torch.Generator) -> Tensor:
    """Return factors `[count, h]`: 0 for what is dropped, 1 / (1 - drop) elsewhere."""
    kept = torch.rand((count, h), generator=generator, dtype=torch.float64) >= drop
    return kept.double() / (1 - drop)


def misfit(weights: Weights, lesson: Lesson, loss: Loss) -> tuple[float, float, float]:
    """Return the loss, and the roots of the mean squares of e and of known g.

    Those of the mean of the members, at the end of training, over all of the data.
    """
    total, squares = 0.0, torch.zeros(2, dtype=torch.float64)
    with torch.no_grad():
        for part in lesson.blocks():
            said = say(weights, part)
            total += float(loss(said, part, 1.0))
            e, g = errors(said, part)
            found = (e.mean(0).square().sum(), g.mean(0).square().sum())
            squares += torch.stack(found).cpu().double()
    energies, forces = squares.tolist()
    known = max(float(lesson.known.sum()), 1.0)
    return total, math.sqrt(energies / len(lesson)), math.sqrt(forces / known)


def _order(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield `size` of `count` rows for ever, all of them before any comes again."""
    while True:
        rows = torch.randperm(count, generator=generator)
        for start in range(0, count - size + 1, size):
            yield rows[start : start + size]
