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

from bostruct.descriptors import Features, Map, Source

MOST = 1 << 28  # bytes of features kept of one map; what comes later is not kept


@final
@dataclass(eq=False)
class Table:
    """Rows of features by the bytes of X."""

    places: dict[bytes, int] = field(default_factory=dict)
    parts: list[Tensor] = field(default_factory=list)

    def rows(self, map_: Map, source: Source, X: Tensor) -> Tensor:
        """Return the features at X `[n, d]`, `[n, f]`."""
        keys = [row.tobytes() for row in X.numpy()]
        places = self.places
        new = {key: i for i, key in enumerate(keys) if key not in places}
        if not new:
            return self._all()[[places[key] for key in keys]]
        fresh = map_(source, X[list(new.values())])
        known, taken = self._all(fresh), len(places)
        if (taken + len(new)) * fresh.shape[1] * fresh.element_size() <= MOST:
            places.update((key, taken + i) for i, key in enumerate(new))
            self.parts.append(fresh)
            return self._all()[[places[key] for key in keys]]
        later = {key: taken + i for i, key in enumerate(new)}
        where = [places[key] if key in places else later[key] for key in keys]
        return torch.cat((known, fresh))[where]

    def _all(self, like: Tensor | None = None) -> Tensor:
        if not self.parts and like is not None:
            return like[:0]
        if len(self.parts) > 1:
            self.parts[:] = [torch.cat(self.parts)]
        return self.parts[0]


_MAPS: WeakKeyDictionary[Source, dict[str, Map]] = WeakKeyDictionary()
_KEPT: WeakKeyDictionary[Source, dict[str, Table]] = WeakKeyDictionary()


def prepared(kind: Features, source: Source) -> Map:
    """Return the map of these features that suits a space, the same each time."""
    kept = _MAPS.setdefault(source, {})
    name = json.dumps(kind.description(), sort_keys=True)
    if name not in kept:
        kept[name] = kind.prepared(source, torch.Generator().manual_seed(0))
    return kept[name]


def features(map_: Map, source: Source, X: Tensor) -> Tensor:
    """Return the features at X `[..., d]`, `[..., f]` float64 on the CPU."""
    flat = X.detach().reshape(-1, X.shape[-1]).to("cpu", torch.float64).contiguous()
    if map_.costly:
        table = _KEPT.setdefault(source, {}).setdefault(_name(map_), Table())
        Z = table.rows(map_, source, flat)
    else:
        Z = map_(source, flat)
    return Z.reshape(*X.shape[:-1], Z.shape[-1])


_NAMES: WeakKeyDictionary[Map, str] = WeakKeyDictionary()


def _name(map_: Map) -> str:
    if map_ not in _NAMES:
        digest = hashlib.sha256()
        for name, value in sorted(map_.tensors().items()):
            digest.update(f"{name}{list(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        _NAMES[map_] = digest.hexdigest()
    return _NAMES[map_]
