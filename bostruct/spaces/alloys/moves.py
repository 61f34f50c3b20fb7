"""Moves: random changes of decorations C `[n, s]` that keep fixed compositions."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.alloys.sublattices import ActiveSites
from bostruct.spaces.random_tensors import sample_categorical

FORBIDDEN_LOG_WEIGHT = -1e3
"""Log weight of choices that are drawn only if there are no others."""


def swap(C: Tensor, sites: ActiveSites, generator: torch.Generator) -> Tensor:
    """Exchange two unlike sites of one sublattice, all such pairs equally probable."""
    s = C.shape[-1]
    unlike = (C.unsqueeze(-1) != C.unsqueeze(-2)) & _on_same_sublattice(sites)
    pair = sample_categorical(torch.where(unlike, 0.0, FORBIDDEN_LOG_WEIGHT).flatten(1), generator)
    return _swap_sites(C, pair // s, pair % s, unlike.flatten(1).any(-1))


def flip(C: Tensor, sites: ActiveSites, generator: torch.Generator) -> Tensor:
    """Change the species of one site of free composition, all choices equally probable."""
    log_weights = (sites.n_options - 1).double().log()
    log_weights = log_weights.masked_fill(~sites.has_free_composition, FORBIDDEN_LOG_WEIGHT)
    site = sample_categorical(log_weights.expand(len(C), -1), generator).unsqueeze(-1)
    n_options = sites.n_options[site]  # [n, 1]
    steps = torch.arange(int(sites.n_options.max()))
    log_weights = torch.where(steps < n_options - 1, 0.0, FORBIDDEN_LOG_WEIGHT)
    step = sample_categorical(log_weights, generator).unsqueeze(-1) + 1
    return C.scatter(1, site, (C.gather(1, site) + step) % n_options)


def block(C: Tensor, sites: ActiveSites, generator: torch.Generator) -> Tensor:
    """Exchange the neighborhood of one site with that of another.

    Sites of one sublattice are exchanged in order of their distances from two of them, up to a
    random number of them.
    """
    n, s = C.shape
    same_sublattice = _on_same_sublattice(sites)
    distances = sites.distances.masked_fill(~same_sublattice, torch.inf)
    order = distances.argsort(dim=-1, stable=True)  # [s, s]
    first = torch.rand(n, s, generator=generator, dtype=torch.float64).argsort(-1)[:, 0]
    log_weights = torch.where(same_sublattice[first], 0.0, FORBIDDEN_LOG_WEIGHT)
    log_weights[torch.arange(n), first] = 2 * FORBIDDEN_LOG_WEIGHT
    second = sample_categorical(log_weights, generator)
    half = (same_sublattice.sum(-1)[first] // 2).clamp(min=1)
    u = torch.rand(n, generator=generator, dtype=torch.float64)
    length = 1 + (u * half).long()
    for i in range(int(length.max()) if n else 0):
        C = _swap_sites(C, order[first, i], order[second, i], i < length)
    return C


def neighbor_decorations(C: Tensor, sites: ActiveSites) -> Tensor:
    """Return all decorations one flip or swap from a decoration `[s]`, `[m, s]`.

    Flips where the composition is free, and swaps where it is fixed.
    """
    rows = []
    for site in sites.has_free_composition.nonzero().flatten().tolist():
        for option in range(int(sites.n_options[site])):
            if option != C[site]:
                row = C.clone()
                row[site] = option
                rows.append(row)
    unlike = (C.unsqueeze(-1) != C) & _on_same_sublattice(sites) & ~sites.has_free_composition
    for i, j in unlike.triu().nonzero().tolist():
        row = C.clone()
        row[[i, j]] = row[[j, i]]
        rows.append(row)
    return torch.stack(rows) if rows else C.new_zeros(0, len(C))


def _on_same_sublattice(sites: ActiveSites) -> Tensor:
    """Return whether two sites are on one sublattice, `[s, s]`."""
    return sites.sublattice_index.unsqueeze(-1) == sites.sublattice_index


def _swap_sites(C: Tensor, first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """Return decorations `[n, s]` with two sites `[n]` exchanged where the mask is true."""
    a, b = first.unsqueeze(-1), second.unsqueeze(-1)
    moved = C.scatter(1, a, C.gather(1, b)).scatter(1, b, C.gather(1, a))
    return torch.where(mask.unsqueeze(-1), moved, C)
