"""The default surrogate of one property: a Gaussian process over features of structures."""

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
from bostruct.surrogates.properties.state_header import (
    decode_header,
    encode_header,
    tensors_under,
)

NAMED_FEATURES: dict[str, StructureFeatures] = {
    "MeanSOAP": MeanSOAP(),
    "ElementFractions": ElementFractions(),
}
"""Features that can be given by name."""

LINEAR_FEATURES = "ElementFractions"
"""Features on which a value may depend linearly at no cost."""


@final
@dataclass(frozen=True)
class GP:
    """A Gaussian process over features of whole structures.

    Its kernel is a constant, a linear function of the composition with a wide prior, and a squared
    exponential of the distance in each kind of features, with amplitudes and lengthscales of
    highest posterior density.

    Attributes:
        features: Kinds of features: "MeanSOAP" (environments), "ElementFractions", or any
            `bostruct.descriptors.StructureFeatures`; one or several. By default the fractions alone
            where the space is one of compositions, else both.
        ard: True for a lengthscale of each coordinate of the composition.
        loo_correction: True to multiply sigma by the root mean square of the leave-one-out errors
            in units of their sigma, where that is above 1 (Rasmussen and Williams 2006, eqs.
            5.10-5.12), and the variance by t / (t - p), at most 2, for p numbers fitted to t
            values.

    Raises:
        InputError: there are no such features.
    """

    features: str | StructureFeatures | Sequence[str | StructureFeatures] | None = None
    ard: bool = False
    loo_correction: bool = True

    def __post_init__(self) -> None:
        self._feature_kinds(None)

    def description(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON values."""
        kinds = None
        if self.features is not None:
            kinds = [kind.description() for kind in self._feature_kinds(None)]
        flags = {"ard": self.ard, "loo_correction": self.loo_correction}
        return {"type": "GP", "features": kinds} | flags

    def fit(self, X: Tensor, y: Tensor, space: DiscreteSpace) -> FittedGP:
        """Return the model fitted to values y `[t]` at X `[t, d]`."""
        maps, blocks = self.feature_maps(space)
        Z = all_features(maps, space, X)
        gp = FeatureGP.fit(blocks, Z, y.double(), loo_correction=self.loo_correction)
        return FittedGP(maps, gp, space)

    def restore(self, state: Mapping[str, Tensor], space: DiscreteSpace) -> FittedGP:
        """Return the model with this state."""
        maps, blocks = self.maps_from_state(state)
        return FittedGP(maps, FeatureGP.restore(blocks, state), space)

    def feature_maps(
        self, space: DiscreteSpace
    ) -> tuple[tuple[FeatureMap, ...], tuple[FeatureBlock, ...]]:
        """Return the maps from X to features fitted to a space, and their blocks."""
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
        """Return the maps and blocks of `maps_to_state`.

        Raises:
            InputError: the state has features without a name that are not given.
        """
        blocks = tuple(FeatureBlock(**block) for block in decode_header(state["header"])["blocks"])
        given = {kind.description()["type"]: kind for kind in self._feature_kinds(None)}
        maps = []
        for i, block in enumerate(blocks):
            kind = given.get(block.name, NAMED_FEATURES.get(block.name))
            if kind is None:
                condition = "name the features of the model that is read"
                raise InputError(error_message("features", condition, repr(self.features)))
            maps.append(kind.restore(tensors_under(state, f"map{i}.")))
        return tuple(maps), blocks

    def _feature_kinds(self, space: DiscreteSpace | None) -> tuple[StructureFeatures, ...]:
        features = self.features
        if features is None:
            of_compositions = isinstance(space, Composition)
            features = (*(() if of_compositions else ("MeanSOAP",)), "ElementFractions")
        if isinstance(features, str) or not isinstance(features, Sequence):
            features = (features,)
        kinds = []
        for feature in features:
            kind = NAMED_FEATURES.get(feature) if isinstance(feature, str) else feature
            if not isinstance(kind, StructureFeatures):
                condition = f"be one of {', '.join(map(repr, NAMED_FEATURES))}, or such an object"
                raise InputError(error_message("features", condition, repr(feature)))
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
    """Return maps and blocks, with further fields of the header, as tensors."""
    header_fields |= {"blocks": [asdict(block) for block in blocks]}
    state = {"header": encode_header(header_fields)}
    for i, map_ in enumerate(feature_maps):
        state |= {f"map{i}.{name}": value for name, value in map_.tensors().items()}
    return state


@final
@dataclass(frozen=True, eq=False)
class FittedGP:
    """A fitted `GP` of one property.

    Attributes:
        feature_maps: Maps from X to features.
        feature_gp: Gaussian process over the features.
        space: Space of the coordinates X.
    """

    feature_maps: tuple[FeatureMap, ...]
    feature_gp: FeatureGP
    space: DiscreteSpace

    def __call__(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q]`, covariance `[..., q, q]` and noise `[]` at X."""
        return self.feature_gp(all_features(self.feature_maps, self.space, X))

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""
        maps = maps_to_state(self.feature_maps, self.feature_gp.blocks, type="GP")
        return maps | self.feature_gp.state()

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers to show."""
        return self.feature_gp.hyperparameters()
