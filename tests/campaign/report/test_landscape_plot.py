"""Pictures of a landscape."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bostruct.campaign.report.landscape import Landscape, SurrogateMinimum
from bostruct.campaign.report.landscape_plot import plot_landscape
from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain

DOMAIN = CoordinateDomain.from_bounds({"phi": (-math.pi, math.pi), "r": (1.0, 2.0)}, ["phi"])


@pytest.fixture
def landscape() -> Landscape:
    axes = tuple(
        torch.linspace(float(low), float(high), 21, dtype=torch.float64)
        for low, high in zip(DOMAIN.lower, DOMAIN.upper, strict=True)
    )
    value = 1 - axes[0].cos().unsqueeze(1) + (axes[1] - 1.5).square()
    X = torch.tensor([[0.0, 1.5], [1.0, 1.2]], dtype=torch.float64)
    return Landscape(
        DOMAIN,
        (0, 1),
        axes,
        value,
        0.1 * value,
        -value,
        X[0],
        X,
        torch.tensor([0.0, 0.5]).double(),
        (SurrogateMinimum((0.0, 1.5), 0.0, 0.01, 1.0),),
        300.0,
    )


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG")


def test_draws_maps_and_lines(landscape: Landscape, tmp_path: Path) -> None:
    """Two coordinates make maps, one makes lines; an acquisition may be missing."""
    plot_landscape(landscape, tmp_path / "maps.png")
    unknown = replace(
        landscape, acquisition=torch.full_like(landscape.energy, torch.nan), minima=()
    )
    plot_landscape(unknown, tmp_path / "unknown.png")
    line = replace(
        landscape,
        shown=(0,),
        axes=landscape.axes[:1],
        energy=landscape.energy[:, 10],
        std=landscape.std[:, 10],
        acquisition=landscape.acquisition[:, 10],
    )
    plot_landscape(line, tmp_path / "line.png")
    assert all(is_png(tmp_path / f"{name}.png") for name in ("maps", "unknown", "line"))
