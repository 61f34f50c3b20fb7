"""The default learner of one property: a Gaussian process over whole structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct.descriptors import (
    ElementFractions,
    FeatureMap,
    MeanSOAP,
    StructureFeatures,
)
from bostruct.errors import InputError, error_message
from bostruct.spaces import Composition, DiscreteSpace
from bostruct.surrogates.properties.feature_cache import cached_features, fitted_map
from bostruct.surrogates.properties.gp_regression import FeatureGP
from bostruct.surrogates.properties.kernel import FeatureBlock
from bostruct.surrogates.properties.state_header import decode_header, encode_header

NAMED_FEATURES: dict[str, StructureFeatures] = {
    "MeanSOAP": MeanSOAP(),
    "ElementFractions": ElementFractions(),
}
"""Features that have a short name."""

LINEAR_FEATURES = "ElementFractions"
"""Features that a value may depend on linearly at no cost."""


@final
@dataclass(frozen=True)
class GP:
    """A Gaussian process over features of whole structures.

    Its kernel is a constant, a vague linear function of the composition, and a
    squared exponential of the distance in each kind of features; how much of each, the
    evidence tells.

    Attributes:
        features: kinds of features: "MeanSOAP" (environments), "ElementFractions", or any
            object of `bostruct.descriptors.Features`; one or several. By default the
            fractions alone where the space is one of compositions, else both.
        ard: whether each coordinate of the composition has its own length.
        loo_correction: whether sigma is widened: by the root mean square of the leave-one-out
            errors in units of their sigma, where that is above 1 (Rasmussen and
            Williams 2006, eqs. 5.10-5.12), and by t / (t - p) in variances, at
            most 2, for p numbers that were fitted to t values.

    Raises:
        InputError: there are no such features.
    """

    features: str | StructureFeatures | Sequence[str | StructureFeatures] | None = None
    ard: bool = False
    loo_correction: bool = True

    def __post_init__(self) -> None:
        self._feature_kinds(None)

    def description(self) -> dict[str, Any]:
        """Return what identifies the learner, as JSON values."""
        kinds = None
        if self.features is not None:
            kinds = [kind.description() for kind in self._feature_kinds(None)]
        found = {"type": "GP", "features": kinds}
        return found | {"ard": self.ard, "loo_correction": self.loo_correction}

    def fit(self, X: Tensor, y: Tensor, space: DiscreteSpace) -> FittedGP:
        """Return what values y `[t]` at X `[t, d]` teach."""
        maps, blocks = self.feature_maps(space)
        Z = all_features(maps, space, X)
        process = FeatureGP.fit(blocks, Z, y.double(), loo_correction=self.loo_correction)
        return FittedGP(maps, process, space)

    def restore(self, state: Mapping[str, Tensor], space: DiscreteSpace) -> FittedGP:
        """Return what `state` was taken from."""
        maps, blocks = self.maps_from_state(state)
        return FittedGP(maps, FeatureGP.restore(blocks, state), space)

    def feature_maps(
        self, space: DiscreteSpace
    ) -> tuple[tuple[FeatureMap, ...], tuple[FeatureBlock, ...]]:
        """Return the maps from X to features that suit a space, and their blocks."""
        maps, blocks = [], []
        for kind in self._feature_kinds(space):
            name = str(kind.description()["type"])
            map_ = fitted_map(kind, space)
            linear = name == LINEAR_FEATURES
            maps.append(map_)
            blocks.append(FeatureBlock(name, map_.n_features, linear, self.ard and linear))
        return tuple(maps), tuple(blocks)

    def maps_from_state(
        self, state: Mapping[str, Tensor]
    ) -> tuple[tuple[FeatureMap, ...], tuple[FeatureBlock, ...]]:
        """Return the maps and blocks that `written` wrote.

        Raises:
            InputError: there are features that have no name and are not given.
        """
        blocks = tuple(FeatureBlock(**block) for block in decode_header(state["header"])["blocks"])
        own = {kind.description()["type"]: kind for kind in self._feature_kinds(None)}
        maps = []
        for i, block in enumerate(blocks):
            kind = own.get(block.name, NAMED_FEATURES.get(block.name))
            if kind is None:
                condition = "name the features of the model that is read"
                raise InputError(error_message("features", condition, repr(self.features)))
            start = f"map{i}."
            tensors = {
                name.removeprefix(start): value
                for name, value in state.items()
                if name.startswith(start)
            }
            maps.append(kind.restore(tensors))
        return tuple(maps), blocks

    def _feature_kinds(self, space: DiscreteSpace | None) -> tuple[StructureFeatures, ...]:
        given = self.features
        if given is None:
            alone = isinstance(space, Composition)
            given = ("ElementFractions",) if alone else ("MeanSOAP", "ElementFractions")
        if isinstance(given, str) or not isinstance(given, Sequence):
            given = (given,)
        kinds = []
        for one in given:
            kind = NAMED_FEATURES.get(one) if isinstance(one, str) else one
            if not isinstance(kind, StructureFeatures):
                named = ", ".join(map(repr, NAMED_FEATURES))
                condition = f"be one of {named}, or such an object"
                raise InputError(error_message("features", condition, repr(one)))
            kinds.append(kind)
        if not kinds:
            raise InputError(error_message("features", "name at least one kind", "none"))
        return tuple(kinds)


def all_features(feature_maps: tuple[FeatureMap, ...], space: DiscreteSpace, X: Tensor) -> Tensor:
    """Return all features at X `[..., d]`, `[..., f]`."""
    return torch.cat([cached_features(map_, space, X) for map_ in feature_maps], -1)


def maps_to_state(
    feature_maps: tuple[FeatureMap, ...],
    blocks: tuple[FeatureBlock, ...],
    **header_fields: object,
) -> dict[str, Tensor]:
    """Return maps and blocks, and what else is told, as tensors."""
    header_fields |= {"blocks": [asdict(block) for block in blocks]}
    found = {"header": encode_header(header_fields)}
    for i, map_ in enumerate(feature_maps):
        found |= {f"map{i}.{name}": value for name, value in map_.tensors().items()}
    return found


@final
@dataclass(frozen=True, eq=False)
class FittedGP:
    """What a `GP` has learnt of one property.

    Attributes:
        feature_maps: from X to features.
        feature_gp: over them.
        space: of X.
    """

    feature_maps: tuple[FeatureMap, ...]
    feature_gp: FeatureGP
    space: DiscreteSpace

    def __call__(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q]`, covariance `[..., q, q]` and noise `[]` at X."""
        return self.feature_gp(all_features(self.feature_maps, self.space, X))

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild it exactly."""
        found = maps_to_state(self.feature_maps, self.feature_gp.blocks, type="GP")
        return found | self.feature_gp.state()

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers a person wants to see."""
        return self.feature_gp.hyperparameters()
