"""Networks from atomic environments to energies, several of them at once.

Notation
    M, n, d, h   members, atoms, inputs, width
    x    [n, d]      1   inputs of all atoms
    t    [M, n, h]   1   inputs of the last layer
    f    [M, n]      1   atomic energies, in units of the featurizer's scale

    t_1 = phi(x W_1 + b_1[species]),  t = phi(t_1 W_2 + b_2),  f = t . w

phi is SiLU. Gradients with respect to x are written out, so that training on forces takes one
backward pass. A leading dimension of 1 is shared by all members: one backbone with M last layers,
or one network under M masks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self, final

import torch
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.errors import check_count, check_positive
from bostruct.surrogates.pair_repulsion import PairRepulsion
from bostruct.surrogates.properties.state_header import tensors_under

SILU_GAIN = 1.67  # SiLU of a standard normal number has a standard deviation of 1 / SILU_GAIN
BIAS_INIT_STD = 0.5  # standard deviation of the first biases: units bend at different inputs
OUTPUT_INIT_SCALE = 0.1  # networks begin with small outputs
DEFAULT_PAIR_REPULSION = PairRepulsion()


@final
@dataclass(frozen=True)
class NetworkConfig:
    """Settings of a network and of its training.

    Attributes:
        cutoff: Radius of an environment, Å; by default 1.9 times the longest bond between the
            species' radii.
        n_max: Number of radial functions of the descriptor.
        l_max: Largest degree of its spherical harmonics.
        center_atom_weight: Weight of the central atom in its own descriptor.
        n_components: Largest number of principal components of the descriptor that are inputs.
        width: Number of units of each of the two hidden layers.
        n_steps: Number of training steps, each of `batch_size` structures. The time of a fit hardly
            depends on the number of structures; from 200 structures on, more steps help.
        batch_size: Number of structures in a training step.
        learning_rate: Largest learning rate (Adam, cosine decay to zero).
        pair_repulsion: The pair prior, or None.
        seed: Seed of first weights and of the order of structures. Equal seeds and data give equal
            networks.

    Raises:
        InputError: a number is out of range.
    """

    cutoff: float | None = None
    n_max: int = 5
    l_max: int = 4
    center_atom_weight: float = 45.0
    n_components: int = 96
    width: int = 64
    n_steps: int = 1000
    batch_size: int = 10
    learning_rate: float = 0.01
    pair_repulsion: PairRepulsion | None = DEFAULT_PAIR_REPULSION
    seed: int = 0

    def __post_init__(self) -> None:
        if self.cutoff is not None:
            check_positive("cutoff", self.cutoff, "Give a length in Å, or None.")
        for name in ("n_components", "width", "n_steps", "batch_size"):
            check_count(name, getattr(self, name))
        check_positive("learning_rate", self.learning_rate, "Try 0.01.")
        check_count("seed", self.seed, minimum=0)
        self.soap((1,), 1.0)

    def soap(self, species: tuple[int, ...], cutoff: float) -> SOAP:
        """Return the descriptor for these species."""
        return SOAP(species, cutoff, self.n_max, self.l_max, self.center_atom_weight)


DEFAULT_NETWORK = NetworkConfig()


class HiddenLayers(NamedTuple):
    """Hidden layers `[M, n, h]` and the derivatives of their units."""

    first: Tensor
    first_derivative: Tensor
    second: Tensor
    second_derivative: Tensor


class PrefixedTensors:
    """Base of dataclasses whose tensors a state holds under names with a prefix."""

    prefix: ClassVar[str]

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        return {self.prefix + name: value for name, value in vars(self).items()}

    @classmethod
    def restore(cls, state: Mapping[str, Tensor]) -> Self:
        """Return the object with these tensors."""
        return cls(**tensors_under(state, cls.prefix))


@final
@dataclass(frozen=True, eq=False)
class NetworkWeights(PrefixedTensors):
    """Weights of M networks, with a leading dimension of 1 for layers that they share.

    Attributes:
        first_weights: Weights of the first layer W_1, `[M, d, h]`.
        species_bias: Bias of the first layer for each species b_1, `[M, species, h]`.
        second_weights: Weights of the second layer W_2, `[M, h, h]`.
        second_bias: Bias of the second layer b_2, `[M, h]`.
        last_weights: Weights of the last layer w, `[M, h]`.
        std_weights: Weights of the last layer of the standard deviation, `[M, h]`; or zeros.
        std_bias: Bias of the same, `[M]`.
    """

    first_weights: Tensor
    species_bias: Tensor
    second_weights: Tensor
    second_bias: Tensor
    last_weights: Tensor
    std_weights: Tensor
    std_bias: Tensor
    prefix = "weights_"

    @classmethod
    def initialize(
        cls,
        sizes: tuple[int, int, int],
        generator: torch.Generator,
        *,
        n_backbones: int = 1,
        n_heads: int = 1,
    ) -> NetworkWeights:
        """Return first weights, float64 on the CPU.

        Args:
            sizes: Numbers of inputs, of species and of hidden units.
            generator: Random generator on the CPU.
            n_backbones: Leading dimension of the hidden layers.
            n_heads: Leading dimension of the last layers.
        """
        d, species, h = sizes

        def normal(*shape: int, size: float) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64) * size

        return cls(
            first_weights=normal(n_backbones, d, h, size=d**-0.5),
            species_bias=normal(n_backbones, species, h, size=BIAS_INIT_STD),
            second_weights=normal(n_backbones, h, h, size=h**-0.5),
            second_bias=normal(n_backbones, h, size=BIAS_INIT_STD / 5),
            last_weights=normal(n_heads, h, size=OUTPUT_INIT_SCALE * h**-0.5),
            std_weights=torch.zeros(n_heads, h, dtype=torch.float64),
            std_bias=torch.full((n_heads,), STD_BIAS_INIT, dtype=torch.float64),
        )

    def parameters(self) -> list[Tensor]:
        """Return all tensors in the order of the attributes."""
        return list(vars(self).values())

    def hidden_layers(
        self,
        x: Tensor,
        species_index: Tensor,
        masks: tuple[Tensor, Tensor] | None = None,
    ) -> HiddenLayers:
        """Return the hidden layers.

        Args:
            x: `[n, d]`, inputs.
            species_index: `[n]`, species.
            masks: Factors on the units of both layers, `[M or 1, n or 1, h]` each.
        """
        t1, s1 = _scaled_silu(x @ self.first_weights + self.species_bias[:, species_index])
        if masks is not None:
            t1, s1 = t1 * masks[0], s1 * masks[0]
        t2, s2 = _scaled_silu(t1 @ self.second_weights + self.second_bias.unsqueeze(1))
        if masks is not None:
            t2, s2 = t2 * masks[1], s2 * masks[1]
        return HiddenLayers(t1, s1, t2, s2)

    def atomic_energies(self, layers: HiddenLayers) -> Tensor:
        """Return f `[M, n]`."""
        if len(layers.second) == 1:
            return self.last_weights @ layers.second[0].T
        return (layers.second @ self.last_weights.unsqueeze(-1)).squeeze(-1)

    def input_gradients(self, layers: HiddenLayers, last_weights: Tensor | None = None) -> Tensor:
        """Return df/dx `[M, n, d]`, with other last layers `[M, h]` if they are given."""
        last_weights = self.last_weights if last_weights is None else last_weights
        back = (layers.second_derivative * last_weights.unsqueeze(1)) @ self.second_weights.mT
        return (layers.first_derivative * back) @ self.first_weights.mT

    def atomic_std(self, layers: HiddenLayers, *, detach_hidden: bool = False) -> Tensor:
        """Return the contribution of each atom to the predicted standard deviation, `[M, n]`.

        softplus(t . std_weights + std_bias); with `detach_hidden` the hidden layers count as
        constant, so that training the standard deviation does not change the mean.
        """
        t = layers.second.detach() if detach_hidden else layers.second
        raw = (t @ self.std_weights.unsqueeze(-1)).squeeze(-1) + self.std_bias.unsqueeze(-1)
        return torch.nn.functional.softplus(raw)


STD_BIAS_INIT = math.log(math.expm1(0.01))  # softplus: a hundredth of the scale at first


def _scaled_silu(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return SILU_GAIN z / (1 + exp(-z)) and its derivative."""
    s = torch.sigmoid(z)
    return SILU_GAIN * z * s, SILU_GAIN * s * (1 + z * (1 - s))


def check_members(n_members: int) -> int:
    """Return `n_members` if it is a count of at least 2.

    Raises:
        InputError: it is not.
    """
    return check_count("n_members", n_members, 2, "One member has no variance.")
