"""Moves: random changes of many crystals at once.

Every function takes fractional coordinates F `[n, a, 3]`, cells H `[n, 3, 3]` Å and a generator,
and changes each crystal by itself. None of them checks overlaps or the bounds of the cell:
`Crystal` does, once, for all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.clusters.moves import random_partners
from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.log_strain import cell_of_log_strain, log_strain_components
from bostruct.spaces.random_tensors import log_uniform_between, normal, uniform

RATTLE_AMPLITUDE_RANGE = (0.05, 0.35)
"""Range of the standard deviation of a rattle, in bond lengths, drawn log-uniformly."""

STRAIN_AMPLITUDE_RANGE = (0.05, 0.4)
"""Range of the standard deviation of the components of a strain, drawn log-uniformly."""

VOLUME_STRAIN_STD = 0.05
"""Standard deviation of the logarithm of the volume in a strain."""

SHIFT_DENOMINATORS = (2, 3, 4)
"""Denominators of the fractions of a lattice vector by which layers shift."""


def strain_cell(
    F: Tensor, H: Tensor, freedom: CellFreedom, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Strain each cell at random as it may vary, volume or area little; atoms keep their F."""
    n = len(H)
    amplitude = log_uniform_between(STRAIN_AMPLITUDE_RANGE, (n, 1, 1), generator)
    S = amplitude * normal((n, 3, 3), generator)
    s = log_strain_components((S + S.mT) / 2)
    B, swelling = freedom.strain_basis(s), freedom.normal_strain(s)
    s = s @ B @ B.mT
    s = s - s[:, :3].sum(-1, keepdim=True) * swelling
    s = s + VOLUME_STRAIN_STD * normal((n, 1), generator) * swelling
    return F, H @ cell_of_log_strain(s, 1.0).to(H)


def rattle(
    F: Tensor, H: Tensor, bond_length: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Displace all atoms at random, each crystal by its own fraction of the bond length."""
    n, a, _ = F.shape
    amplitude = bond_length * log_uniform_between(RATTLE_AMPLITUDE_RANGE, (n, 1, 1), generator)
    change = (amplitude * normal((n, a, 3), generator)).to(F)
    return F + change @ torch.linalg.inv(H), H


def cut_and_splice(
    F: Tensor, S: Tensor, numbers: Tensor, freedom: CellFreedom, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Join the lower part of each crystal to the upper part of another one, in a cell between.

    As Glass, Oganov and Hansen, Comput. Phys. Commun. 175, 713 (2006): both are shifted at random
    and cut by a plane of the lattice, in the other one along any lattice vector. The other crystal
    is another row, the same one where there is no other. Atoms below the plane stay, and of each
    species the highest atoms of the other crystal make up for the rest, so that the composition is
    kept. The log strain of the cell is the mean of both, weighted by their parts. Layers are cut
    along lattice vectors in the plane; crystals of one cell are not turned.

    Args:
        F: fractional coordinates.
        S: `[n, 3, 3]` log strains.
        numbers: `[a]` atomic numbers.
        freedom: strains by which cells may vary.
        generator: random number generator.

    Returns:
        fractional coordinates, and log strains.
    """
    n, device = len(F), F.device
    partner = random_partners(n, generator).to(device)
    turn = _turn_of_one_cell(n, freedom, generator) if not freedom.varies_shape else None
    lower, S_lower = _randomly_turned(F, S, freedom, turn, generator)
    upper, S_upper = _randomly_turned(F[partner], S[partner], freedom, turn, generator)
    cut = (0.25 + 0.5 * uniform((n, 1, 1), generator)).to(F)
    spliced = lower.clone()
    for number in numbers.unique().tolist():
        atoms = (numbers == number).nonzero().squeeze(-1)
        kept = _sorted_by_height(lower[:, atoms])
        added = _sorted_by_height(upper[:, atoms])
        n_kept = (kept[..., 2:] < cut).sum(1, keepdim=True)  # [n, 1, 1]
        rank = torch.arange(len(atoms), device=device).unsqueeze(-1)
        spliced[:, atoms] = torch.where(rank < n_kept, kept, added)
    S = cut * S_lower + (1 - cut) * S_upper
    if freedom.kind == "plane":  # the normal, which was the second of three, is the third
        return _reordered(spliced, S, torch.tensor([0, 2, 1], device=device).expand(n, 3))
    if turn is not None:
        order = turn.argsort(-1).to(device)
        return spliced.gather(-1, order.unsqueeze(1).expand_as(spliced)), S
    return spliced, S


def shift_layers(
    F: Tensor, H: Tensor, freedom: CellFreedom, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Shift all atoms above a lattice plane along a lattice vector by a simple fraction of it.

    In every second crystal whose shape varies the vector that is cut tilts instead: there is one
    stacking fault, at the border of the cell, and not two. Layers are cut and shifted in the plane.
    """
    n, device = len(F), F.device
    rows = torch.arange(n, device=device)
    n_axes = 2 if freedom.is_layer else 3
    # the first is cut, the second shifts
    axes = uniform((n, n_axes), generator).argsort(-1).to(device)
    choice = (uniform((n,), generator) * len(SHIFT_DENOMINATORS)).long()
    denominator = torch.tensor(SHIFT_DENOMINATORS, device=choice.device)[choice]
    numerator = 1 + (uniform((n,), generator) * (denominator - 1)).floor()
    fraction = (numerator / denominator).to(F)
    height = (F[rows, :, axes[:, 0]] + uniform((n, 1), generator).to(F)) % 1
    cut = uniform((n, 1), generator).to(F)
    tilts = (uniform((n,), generator) < 0.5).to(device) & freedom.varies_shape
    tilt = torch.where(tilts, fraction, 0.0)
    slip = torch.where(tilt == 0, fraction, 0.0).unsqueeze(-1) * (height > cut)
    shifted = F.clone()
    shifted[rows, :, axes[:, 0]] = height
    # atoms stay where they are while the vector that is cut tilts
    shifted[rows, :, axes[:, 1]] += slip - tilt.unsqueeze(-1) * height
    T = torch.eye(3, dtype=F.dtype, device=device).repeat(n, 1, 1)
    T[rows, axes[:, 0], axes[:, 1]] = tilt
    return shifted, T @ H


def _turn_of_one_cell(n: int, freedom: CellFreedom, generator: torch.Generator) -> Tensor:
    """Return n orders `[n, 3]` of lattice vectors of one cell, of which the last one is cut.

    That of a layer is in its plane.
    """
    last = ((2 if freedom.is_layer else 3) * uniform((n, 1), generator)).long()
    return (last + torch.tensor([1, 2, 3], device=last.device)) % 3


def _randomly_turned(
    F: Tensor, S: Tensor, freedom: CellFreedom, turn: Tensor | None, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return crystals shifted, with the lattice vectors in another order and direction.

    Args:
        F: fractional coordinates.
        S: log strains.
        freedom: strains by which cells may vary.
        turn: `[n, 3]` order of the lattice vectors of crystals of one cell, else None.
        generator: random number generator.
    """
    n, a = F.shape[:2]
    if turn is not None:
        shift = uniform((n, 1, 3), generator).to(F)
        if freedom.is_layer:
            shift = shift * shift.new_tensor([1.0, 1.0, 0.0])
        return ((F + shift) % 1).gather(-1, turn.to(F.device).unsqueeze(1).expand(n, a, 3)), S
    order = uniform((n, 3), generator).argsort(-1).to(F.device)
    sign = torch.where(uniform((n, 1, 3), generator) < 0.5, -1.0, 1.0).to(F)
    shift = uniform((n, 1, 3), generator).to(F)
    if freedom.is_layer:
        shift = shift * shift.new_tensor([1.0, 1.0, 0.0])
        first = order[:, :1] % 2
        order = torch.cat((first, torch.full_like(first, 2), 1 - first), -1)
    return _reordered((sign * F + shift) % 1, S * sign * sign.mT, order)


def _reordered(F: Tensor, S: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Return coordinates and log strains with the lattice vectors in another order `[n, 3]`."""
    n, a = F.shape[:2]
    S = S.gather(1, order.unsqueeze(-1).expand(n, 3, 3))
    F = F.gather(-1, order.unsqueeze(1).expand(n, a, 3))
    return F, S.gather(2, order.unsqueeze(1).expand(n, 3, 3))


def _sorted_by_height(F: Tensor) -> Tensor:
    """Return atoms `[n, k, 3]` in the order of rising third coordinates."""
    order = F[..., 2:].argsort(1)
    return F.gather(1, order.expand_as(F))
