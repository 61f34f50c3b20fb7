"""Moves of clusters of molecules: twist, and cut and splice, by whole molecules."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bostruct.spaces.clusters.moves import random_partners
from bostruct.spaces.clusters.packing import center_positions
from bostruct.spaces.molecules.fragments import Fragments
from bostruct.spaces.molecules.rotations import random_rotations
from bostruct.spaces.random_tensors import uniform, unit_vectors


def twist(P: Tensor, fragments: Fragments, generator: torch.Generator) -> Tensor:
    """Rotate one half of the units of each cluster against the other, about their line."""
    n = len(P)
    axis = unit_vectors((n,), generator).to(P)
    angle = 2 * math.pi * uniform((n, 1), generator).to(P)
    P = center_positions(P)
    height = (fragments.centers(P) @ axis.unsqueeze(-1)).squeeze(-1)  # [n, u] Å
    upper = height.argsort(-1, descending=True).argsort(-1) < _random_cut(height, generator)
    upper = upper[:, fragments.unit_index.to(P.device)].unsqueeze(-1)
    # Rodrigues: x cos + (k x x) sin + k (k.x) (1 - cos)
    k, angle = axis.unsqueeze(1).expand_as(P), angle.unsqueeze(-1)
    turned = P * angle.cos() + torch.linalg.cross(k, P) * angle.sin()
    turned = turned + k * (k * P).sum(-1, keepdim=True) * (1 - angle.cos())
    return torch.where(upper, turned, P)


def cut_and_splice(P: Tensor, fragments: Fragments, generator: torch.Generator) -> Tensor:
    """Join the upper units of each cluster to the lower ones of another cluster.

    As Deaven and Ho, Phys. Rev. Lett. 75, 288 (1995), with whole molecules: both clusters are
    rotated at random and cut by a plane. Of each kind the units with centers above the plane stay,
    and the lowest ones of the other cluster make up for the rest.
    """
    n, u = len(P), len(fragments.units)
    n_above = _random_cut(P.new_zeros(n, u), generator).long()
    upper = _rotated(P, fragments, generator)
    partner = P[random_partners(n, generator).to(P.device)]
    lower = _rotated(partner, fragments, generator)
    heights = []
    for half in (upper, lower):
        height = fragments.centers(half)[..., 2]
        ranked = height.sort(-1, descending=True).values
        middle = (ranked.gather(-1, n_above - 1) + ranked.gather(-1, n_above)) / 2
        half[..., 2] -= middle
        heights.append(height - middle)
    spliced = P.clone()
    for kind in fragments.kinds.unique().tolist():
        units = (fragments.kinds == kind).nonzero().squeeze(-1).to(P.device)
        atoms = fragments.unit_atoms.to(P.device)[units]
        atoms = atoms[:, atoms[0] >= 0]  # [k, w]
        kept, added = (
            _sort_by_height(half[:, atoms], height[:, units])
            for half, height in ((upper, heights[0]), (lower, heights[1]))
        )
        n_kept = (heights[0][:, units] > 0).sum(-1).reshape(n, 1, 1, 1)
        rank = torch.arange(len(units), device=P.device).reshape(1, -1, 1, 1)
        spliced[:, atoms] = torch.where(rank < n_kept, kept, added)
    return spliced


def _random_cut(height: Tensor, generator: torch.Generator) -> Tensor:
    """Return the number of units above a random plane, a quarter or more on each side, `[n, 1]`."""
    n, u = height.shape
    fewest = max(u // 4, 1)
    return fewest + (uniform((n, 1), generator).to(height) * (u - 2 * fewest + 1)).floor()


def _rotated(P: Tensor, fragments: Fragments, generator: torch.Generator) -> Tensor:
    """Return clusters rotated at random, half of them mirrored where no molecule forbids it."""
    R = random_rotations((len(P),), generator).to(P)
    sign = torch.where(uniform((len(P), 1, 1), generator).to(P) < 0.5, -1.0, 1.0)
    if fragments.has_stereocenter:
        sign = torch.ones_like(sign)
    turned: Tensor = center_positions(P) @ (sign * R)
    return turned


def _sort_by_height(P: Tensor, height: Tensor) -> Tensor:
    """Return units `[n, k, w, 3]` in the order of falling heights `[n, k]`."""
    order = height.argsort(1, descending=True)[..., None, None]
    return P.gather(1, order.expand_as(P))
