"""The default learner of one property: a Gaussian process over whole structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct.descriptors import Averaged, Features, Fractions, Map, Source
from bostruct.errors import InputError, must
from bostruct.spaces import Composition
from bostruct.surrogates.properties.feature_cache import features, prepared
from bostruct.surrogates.properties.gp_regression import Process
from bostruct.surrogates.properties.kernel import Block
from bostruct.surrogates.properties.state_header import header, read

NAMED: dict[str, Features] = {"averaged": Averaged(), "fractions": Fractions()}
"""Features that have a short name."""

COMPOSITION = "fractions"
"""Features that a value may depend on linearly at no cost."""


@final
@dataclass(frozen=True)
class GP:
    """A Gaussian process over features of whole structures.

    Its kernel is a constant, a vague linear function of the composition, and a
    squared exponential of the distance in each kind of features; how much of each, the
    evidence tells.

    Attributes:
        features: kinds of features: "averaged" (environments), "fractions", or any
            object of `bostruct.descriptors.Features`; one or several. By default the
            fractions alone where the space is one of compositions, else both.
        ard: whether each coordinate of the composition has its own length.
        widen: whether sigma is widened: by the root mean square of the leave-one-out
            errors in units of their sigma, where that is above 1 (Rasmussen and
            Williams 2006, eqs. 5.10-5.12), and by t / (t - p) in variances, at
            most 2, for p numbers that were fitted to t values.

    Raises:
        InputError: there are no such features.
    """

    features: str | Features | Sequence[str | Features] | None = None
    ard: bool = False
    widen: bool = True

    def __post_init__(self) -> None:
        self._kinds(None)

    def description(self) -> dict[str, Any]:
        """Return what identifies the learner, as JSON values."""
        kinds = None
        if self.features is not None:
            kinds = [kind.description() for kind in self._kinds(None)]
        found = {"learner": "GP", "features": kinds}
        return found | {"ard": self.ard, "widen": self.widen}

    def fit(self, X: Tensor, y: Tensor, space: Source) -> Learned:
        """Return what values y `[t]` at X `[t, d]` teach."""
        maps, blocks = self.prepared(space)
        Z = sight(maps, space, X)
        process = Process.fit(blocks, Z, y.double(), widen=self.widen)
        return Learned(maps, process, space)

    def restore(self, state: Mapping[str, Tensor], space: Source) -> Learned:
        """Return what `state` was taken from."""
        maps, blocks = self.read(state)
        return Learned(maps, Process.restore(blocks, state), space)

    def prepared(self, space: Source) -> tuple[tuple[Map, ...], tuple[Block, ...]]:
        """Return the maps from X to features that suit a space, and their blocks."""
        maps, blocks = [], []
        for kind in self._kinds(space):
            name = str(kind.description()["features"])
            map_ = prepared(kind, space)
            linear = name == COMPOSITION
            maps.append(map_)
            blocks.append(Block(name, map_.size, linear, self.ard and linear))
        return tuple(maps), tuple(blocks)

    def read(
        self, state: Mapping[str, Tensor]
    ) -> tuple[tuple[Map, ...], tuple[Block, ...]]:
        """Return the maps and blocks that `written` wrote.

        Raises:
            InputError: there are features that have no name and are not given.
        """
        blocks = tuple(Block(**block) for block in read(state["header"])["blocks"])
        own = {kind.description()["features"]: kind for kind in self._kinds(None)}
        maps = []
        for i, block in enumerate(blocks):
            kind = own.get(block.name, NAMED.get(block.name))
            if kind is None:
                condition = "name the features of the model that is read"
                raise InputError(must("features", condition, repr(self.features)))
            start = f"map{i}."
            tensors = {
                name.removeprefix(start): value
                for name, value in state.items()
                if name.startswith(start)
            }
            maps.append(kind.restore(tensors))
        return tuple(maps), blocks

    def _kinds(self, space: Source | None) -> tuple[Features, ...]:
        given = self.features
        if given is None:
            alone = isinstance(space, Composition)
            given = ("fractions",) if alone else ("averaged", "fractions")
        if isinstance(given, str) or not isinstance(given, Sequence):
            given = (given,)
        kinds = []
        for one in given:
            kind = NAMED.get(one) if isinstance(one, str) else one
            if not isinstance(kind, Features):
                named = ", ".join(map(repr, NAMED))
                condition = f"be one of {named}, or such an object"
                raise InputError(must("features", condition, repr(one)))
            kinds.append(kind)
        if not kinds:
            raise InputError(must("features", "name at least one kind", "none"))
        return tuple(kinds)


def sight(maps: tuple[Map, ...], space: Source, X: Tensor) -> Tensor:
    """Return all features at X `[..., d]`, `[..., f]`."""
    return torch.cat([features(map_, space, X) for map_ in maps], -1)


def written(
    maps: tuple[Map, ...], blocks: tuple[Block, ...], **told: object
) -> dict[str, Tensor]:
    """Return maps and blocks, and what else is told, as tensors."""
    told |= {"blocks": [asdict(block) for block in blocks]}
    found = {"header": header(told)}
    for i, map_ in enumerate(maps):
        found |= {f"map{i}.{name}": value for name, value in map_.tensors().items()}
    return found


@final
@dataclass(frozen=True, eq=False)
class Learned:
    """What a `GP` has learnt of one property.

    Attributes:
        maps: from X to features.
        process: over them.
        space: of X.
    """

    maps: tuple[Map, ...]
    process: Process
    space: Source

    def __call__(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q]`, covariance `[..., q, q]` and noise `[]` at X."""
        return self.process(sight(self.maps, self.space, X))

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild it exactly."""
        found = written(self.maps, self.process.blocks, learner="GP")
        return found | self.process.state()

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers a person wants to see."""
        return self.process.hyperparameters()
