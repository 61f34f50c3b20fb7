"""Networks from atomic environments to energies, several of them at once.

Notation
    M, n, d, h   members, atoms, inputs, width
    x    [n, d]      1   inputs of all atoms
    t    [M, n, h]   1   inputs of the last layer
    f    [M, n]      1   what each atom adds, in units of the encoder's scale

    t_1 = phi(x W_1 + b_1[species]),  t = phi(t_1 W_2 + b_2),  f = t . w

phi is SiLU. Slopes with x are written out, so that training on forces takes one
backward pass. A leading dimension of 1 is shared by all members: one backbone with M
last layers, or one network thinned by M masks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.errors import InputError, check_count, check_positive, must
from bostruct.surrogates.pair_repulsion import Repulsion

GAIN = 1.67  # SiLU of a standard normal number has a deviation of 1 / GAIN
SPREAD = 0.5  # deviation of the first constants: the units bend at different inputs
QUIET = 0.1  # networks begin with small outputs
REPULSION = Repulsion()


@final
@dataclass(frozen=True)
class Network:
    """How a network looks and how it is trained.

    Attributes:
        cutoff: Å; by default 1.9 times the longest bond between the species' radii.
        radial: radial functions of the descriptor.
        angular: largest degree of its spherical harmonics.
        center: weight of the atom itself in its descriptor.
        components: the most principal components of it that are inputs.
        width: units of each of the two hidden layers.
        steps: of training; each looks at `batch` structures. The time of a fit hardly
            depends on how many structures there are; from 200 on, more steps pay.
        batch: structures of a step.
        rate: largest step length of the weights (Adam, cosine decay to zero).
        repulsion: the pair prior, or None.
        seed: of first weights and order of structures. Equal seeds and data give
            equal networks.

    Raises:
        InputError: a number is out of range.
    """

    cutoff: float | None = None
    radial: int = 5
    angular: int = 4
    center: float = 45.0
    components: int = 96
    width: int = 64
    steps: int = 1000
    batch: int = 10
    rate: float = 0.01
    repulsion: Repulsion | None = REPULSION
    seed: int = 0

    def __post_init__(self) -> None:
        if self.cutoff is not None:
            check_positive("cutoff", self.cutoff, "Give a length in Å, or None.")
        for name in ("components", "width", "steps", "batch"):
            check_count(name, getattr(self, name))
        check_positive("rate", self.rate, "Try 0.01.")
        check_count("seed", self.seed, least=0)
        self.soap((1,), 1.0)

    def description(self) -> dict[str, Any]:
        """Return what identifies it, as JSON values."""
        return asdict(self)

    def soap(self, species: tuple[int, ...], cutoff: float) -> SOAP:
        """Return the descriptor for these species."""
        return SOAP(species, cutoff, self.radial, self.angular, self.center)


NETWORK = Network()


class Layers(NamedTuple):
    """Hidden layers `[M, n, h]` and the slopes of their units."""

    first: Tensor
    first_slope: Tensor
    second: Tensor
    second_slope: Tensor


@final
@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of M networks, or of parts that they share.

    Attributes:
        first: `[M, d, h]`, W_1.
        shift: `[M, species, h]`, b_1.
        second: `[M, h, h]`, W_2.
        bias: `[M, h]`, b_2.
        last: `[M, h]`, w.
        spread: `[M, h]`, last layer of the deviation, or zeros.
        level: `[M]`, its constant.
    """

    first: Tensor
    shift: Tensor
    second: Tensor
    bias: Tensor
    last: Tensor
    spread: Tensor
    level: Tensor

    @classmethod
    def draw(
        cls,
        sizes: tuple[int, int, int],
        generator: torch.Generator,
        *,
        backbones: int = 1,
        heads: int = 1,
    ) -> Weights:
        """Return first weights, float64 on the CPU.

        Args:
            sizes: inputs, species, width.
            generator: on the CPU.
            backbones: M of the hidden layers.
            heads: M of the last ones.
        """
        d, species, h = sizes

        def normal(*shape: int, size: float) -> Tensor:
            found = torch.randn(shape, generator=generator, dtype=torch.float64)
            return found * size

        return cls(
            first=normal(backbones, d, h, size=d**-0.5),
            shift=normal(backbones, species, h, size=SPREAD),
            second=normal(backbones, h, h, size=h**-0.5),
            bias=normal(backbones, h, size=SPREAD / 5),
            last=normal(heads, h, size=QUIET * h**-0.5),
            spread=torch.zeros(heads, h, dtype=torch.float64),
            level=torch.full((heads,), LEVEL, dtype=torch.float64),
        )

    @classmethod
    def restore(cls, state: Mapping[str, Tensor]) -> Weights:
        """Return the weights that `tensors` were taken from."""
        return cls(*(state[f"weights_{field.name}"] for field in fields(cls)))

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers by name."""
        return {f"weights_{name}": value for name, value in vars(self).items()}

    def parameters(self) -> list[Tensor]:
        """Return all numbers in the order of the attributes."""
        return [getattr(self, field.name) for field in fields(self)]

    def hidden(
        self, x: Tensor, place: Tensor, masks: tuple[Tensor, Tensor] | None = None
    ) -> Layers:
        """Return the hidden layers.

        Args:
            x: `[n, d]`.
            place: `[n]`, species.
            masks: factors on the units of both layers, `[M or 1, n or 1, h]` each.
        """
        t1, s1 = _silu(x @ self.first + self.shift[:, place])
        if masks is not None:
            t1, s1 = t1 * masks[0], s1 * masks[0]
        t2, s2 = _silu(t1 @ self.second + self.bias.unsqueeze(1))
        if masks is not None:
            t2, s2 = t2 * masks[1], s2 * masks[1]
        return Layers(t1, s1, t2, s2)

    def local(self, layers: Layers) -> Tensor:
        """Return f `[M, n]`."""
        if len(layers.second) == 1:
            return self.last @ layers.second[0].T
        return (layers.second @ self.last.unsqueeze(-1)).squeeze(-1)

    def slopes(self, layers: Layers, last: Tensor | None = None) -> Tensor:
        """Return df/dx `[M, n, d]`, of these last layers `[M, h]` if they are given."""
        last = self.last if last is None else last
        back = (layers.second_slope * last.unsqueeze(1)) @ self.second.mT
        return (layers.first_slope * back) @ self.first.mT

    def deviation(self, layers: Layers, *, frozen: bool = False) -> Tensor:
        """Return the predicted deviation that each atom adds, `[M, n]`.

        softplus(t . spread + level); with `frozen` the hidden layers count as given,
        so that learning the deviation does not disturb the mean.
        """
        t = layers.second.detach() if frozen else layers.second
        raw = (t @ self.spread.unsqueeze(-1)).squeeze(-1) + self.level.unsqueeze(-1)
        return torch.nn.functional.softplus(raw)


LEVEL = math.log(math.expm1(0.01))  # deviations begin at a hundredth of the scale


def _silu(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return GAIN z / (1 + exp(-z)) and its slope."""
    s = torch.sigmoid(z)
    return GAIN * z * s, GAIN * s * (1 + z * (1 - s))


def check_members(members: int) -> int:
    """Return `members` if it is a count of at least 2.

    Raises:
        InputError: it is not.
    """
    return check_count("members", members, 2, "One member has no spread.")


def check_beta(beta: float) -> float:
    """Return `beta`, an exponent of `uncertainty.beta_nll`, if it is from 0 to 1.

    Raises:
        InputError: it is not.
    """
    if not 0 <= beta <= 1:
        raise InputError(must("beta", "be from 0 to 1", beta, "Try 0.5."))
    return beta
