"""Cache of the features of structures, for each space and feature map.

Rows are kept in the process, beside the space and not in it: neither a space nor a fitted model
saves them, and they are freed with the space. A map is identified by a hash of its tensors, so that
a model read from a log never gets the features of another.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from bostruct.descriptors import FeatureMap, StructureFeatures
from bostruct.spaces import DiscreteSpace
from bostruct.uncertainty import hash_tensors

MAX_BYTES = 1 << 28  # bytes of features kept for one map; later ones are computed again


@final
@dataclass(eq=False)
class FeatureCache:
    """Features of one map, by the bytes of the coordinates."""

    row_of_key: dict[bytes, int] = field(default_factory=dict)
    features: Tensor | None = None

    def lookup(self, map_: FeatureMap, source: DiscreteSpace, X: Tensor) -> Tensor:
        """Return the features at X `[n, d]`, `[n, f]`."""
        keys = [row.tobytes() for row in X.numpy()]
        rows, features = self.row_of_key, self.features
        new = {key: i for i, key in enumerate(keys) if key not in rows}
        if new or features is None:
            Z = map_(source, X[list(new.values())])
            features = Z if features is None else torch.cat((features, Z))
            rows = rows | {key: len(rows) + i for i, key in enumerate(new)}
            if features.numel() * features.element_size() <= MAX_BYTES:
                self.row_of_key, self.features = rows, features
        return features[[rows[key] for key in keys]]


_FITTED_MAPS: WeakKeyDictionary[DiscreteSpace, dict[str, FeatureMap]] = WeakKeyDictionary()
_CACHES: WeakKeyDictionary[DiscreteSpace, dict[str, FeatureCache]] = WeakKeyDictionary()


def fitted_map(feature_kind: StructureFeatures, source: DiscreteSpace) -> FeatureMap:
    """Return the map of a kind of features fitted to a space, the same each time."""
    maps = _FITTED_MAPS.setdefault(source, {})
    name = json.dumps(feature_kind.description(), sort_keys=True)
    if name not in maps:
        maps[name] = feature_kind.fit(source, torch.Generator().manual_seed(0))
    return maps[name]


def cached_features(map_: FeatureMap, source: DiscreteSpace, X: Tensor) -> Tensor:
    """Return the features at X `[..., d]`, `[..., f]` float64 on the CPU."""
    flat = X.detach().reshape(-1, X.shape[-1]).to("cpu", torch.float64).contiguous()
    if map_.cacheable:
        cache = _CACHES.setdefault(source, {}).setdefault(_digest(map_), FeatureCache())
        Z = cache.lookup(map_, source, flat)
    else:
        Z = map_(source, flat)
    return Z.reshape(*X.shape[:-1], Z.shape[-1])


_MAP_DIGESTS: WeakKeyDictionary[FeatureMap, str] = WeakKeyDictionary()


def _digest(map_: FeatureMap) -> str:
    if map_ not in _MAP_DIGESTS:
        _MAP_DIGESTS[map_] = hash_tensors(map_.tensors())
    return _MAP_DIGESTS[map_]
