"""Features that were computed once are kept with the space they belong to.

The rows are kept in the process, beside the space and not in it: neither a space nor a
fitted model carries them when it is saved, and they go when the space does. Rows belong
to one map, known by the bytes of its numbers, so that a model read from a log never
sees the features of another.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from bostruct.descriptors import FeatureMap, StructureFeatures
from bostruct.spaces import DiscreteSpace

MAX_BYTES = 1 << 28  # bytes of features kept of one map; what comes later is not kept


@final
@dataclass(eq=False)
class FeatureCache:
    """Rows of features by the bytes of X."""

    row_of_key: dict[bytes, int] = field(default_factory=dict)
    chunks: list[Tensor] = field(default_factory=list)

    def lookup(self, map_: FeatureMap, source: DiscreteSpace, X: Tensor) -> Tensor:
        """Return the features at X `[n, d]`, `[n, f]`."""
        keys = [row.tobytes() for row in X.numpy()]
        places = self.row_of_key
        new = {key: i for i, key in enumerate(keys) if key not in places}
        if not new:
            return self._all_rows()[[places[key] for key in keys]]
        fresh = map_(source, X[list(new.values())])
        known, taken = self._all_rows(fresh), len(places)
        if (taken + len(new)) * fresh.shape[1] * fresh.element_size() <= MAX_BYTES:
            places.update((key, taken + i) for i, key in enumerate(new))
            self.chunks.append(fresh)
            return self._all_rows()[[places[key] for key in keys]]
        later = {key: taken + i for i, key in enumerate(new)}
        where = [places[key] if key in places else later[key] for key in keys]
        return torch.cat((known, fresh))[where]

    def _all_rows(self, like: Tensor | None = None) -> Tensor:
        if not self.chunks and like is not None:
            return like[:0]
        if len(self.chunks) > 1:
            self.chunks[:] = [torch.cat(self.chunks)]
        return self.chunks[0]


_FITTED_MAPS: WeakKeyDictionary[DiscreteSpace, dict[str, FeatureMap]] = WeakKeyDictionary()
_CACHES: WeakKeyDictionary[DiscreteSpace, dict[str, FeatureCache]] = WeakKeyDictionary()


def fitted_map(feature_kind: StructureFeatures, source: DiscreteSpace) -> FeatureMap:
    """Return the map of these features that suits a space, the same each time."""
    kept = _FITTED_MAPS.setdefault(source, {})
    name = json.dumps(feature_kind.description(), sort_keys=True)
    if name not in kept:
        kept[name] = feature_kind.fit(source, torch.Generator().manual_seed(0))
    return kept[name]


def cached_features(map_: FeatureMap, source: DiscreteSpace, X: Tensor) -> Tensor:
    """Return the features at X `[..., d]`, `[..., f]` float64 on the CPU."""
    flat = X.detach().reshape(-1, X.shape[-1]).to("cpu", torch.float64).contiguous()
    if map_.cacheable:
        table = _CACHES.setdefault(source, {}).setdefault(_digest(map_), FeatureCache())
        Z = table.lookup(map_, source, flat)
    else:
        Z = map_(source, flat)
    return Z.reshape(*X.shape[:-1], Z.shape[-1])


_MAP_DIGESTS: WeakKeyDictionary[FeatureMap, str] = WeakKeyDictionary()


def _digest(map_: FeatureMap) -> str:
    if map_ not in _MAP_DIGESTS:
        digest = hashlib.sha256()
        for name, value in sorted(map_.tensors().items()):
            digest.update(f"{name}{list(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        _MAP_DIGESTS[map_] = digest.hexdigest()
    return _MAP_DIGESTS[map_]
