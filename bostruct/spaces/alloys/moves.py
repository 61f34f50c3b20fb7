"""Random changes of decorations C `[n, s]`, which keep what counts must be kept."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.alloys.sublattices import ActiveSites
from bostruct.spaces.random_tensors import sample_categorical

FORBIDDEN_LOG_WEIGHT = -1e3
"""Log-probability of what must not be drawn, if anything else can."""


def swap(C: Tensor, sites: ActiveSites, generator: torch.Generator) -> Tensor:
    """Exchange two unlike sites of one sublattice, each such pair as probable."""
    s = C.shape[-1]
    unlike = (C.unsqueeze(-1) != C.unsqueeze(-2)) & _on_same_sublattice(sites)
    pair = sample_categorical(torch.where(unlike, 0.0, FORBIDDEN_LOG_WEIGHT).flatten(1), generator)
    return _swap_sites(C, pair // s, pair % s, unlike.flatten(1).any(-1))


def flip(C: Tensor, sites: ActiveSites, generator: torch.Generator) -> Tensor:
    """Give one site of free composition something else, all choices as probable."""
    n = len(C)
    weight = (
        (sites.n_options - 1)
        .double()
        .log()
        .masked_fill(~sites.has_free_composition, FORBIDDEN_LOG_WEIGHT)
    )
    site = sample_categorical(weight.expand(n, -1), generator)
    width = sites.n_options[site]
    own = C.gather(1, site.unsqueeze(-1)).squeeze(-1)
    place = torch.arange(int(sites.n_options.max()))
    other = torch.where(place < (width - 1).unsqueeze(-1), 0.0, FORBIDDEN_LOG_WEIGHT)
    step = sample_categorical(other, generator) + 1
    return C.scatter(1, site.unsqueeze(-1), ((own + step) % width).unsqueeze(-1))


def block(C: Tensor, sites: ActiveSites, generator: torch.Generator) -> Tensor:
    """Exchange what is around one site with what is around another.

    Sites of one sublattice are exchanged in order of their distances from two of them,
    up to a random number of them.
    """
    n, s = C.shape
    together = _on_same_sublattice(sites)
    near = sites.distances.masked_fill(~together, torch.inf)
    order = near.argsort(dim=-1, stable=True)  # [s, s]
    many = together.sum(-1)  # [s]
    centers = torch.rand(n, s, generator=generator, dtype=torch.float64).argsort(-1)
    one = centers[:, 0]
    weight = torch.where(together[one], 0.0, FORBIDDEN_LOG_WEIGHT)
    weight[torch.arange(n), one] = 2 * FORBIDDEN_LOG_WEIGHT
    two = sample_categorical(weight, generator)
    half = (many[one] // 2).clamp(min=1)
    drawn = torch.rand(n, generator=generator, dtype=torch.float64)
    length = 1 + (drawn * half).long()
    for place in range(int(length.max()) if n else 0):
        C = _swap_sites(C, order[one, place], order[two, place], place < length)
    return C


def neighbor_decorations(C: Tensor, sites: ActiveSites) -> Tensor:
    """Return what is one flip or swap from a decoration `[s]`, `[m, s]`.

    Flips where the composition is free, and swaps where it is not.
    """
    found = []
    for site in sites.has_free_composition.nonzero().flatten().tolist():
        for option in range(int(sites.n_options[site])):
            if option != C[site]:
                row = C.clone()
                row[site] = option
                found.append(row)
    unlike = (C.unsqueeze(-1) != C) & _on_same_sublattice(sites) & ~sites.has_free_composition
    for one, two in unlike.triu().nonzero().tolist():
        row = C.clone()
        row[[one, two]] = row[[two, one]]
        found.append(row)
    return torch.stack(found) if found else C.new_zeros(0, len(C))


def _on_same_sublattice(sites: ActiveSites) -> Tensor:
    """Return whether two sites are on one sublattice, `[s, s]`."""
    return sites.sublattice_index.unsqueeze(-1) == sites.sublattice_index


def _swap_sites(C: Tensor, first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """Return decorations with two sites `[n]` exchanged where asked, `[n, s]`."""
    a, b = first.unsqueeze(-1), second.unsqueeze(-1)
    moved = C.scatter(1, a, C.gather(1, b)).scatter(1, b, C.gather(1, a))
    return torch.where(mask.unsqueeze(-1), moved, C)
