"""Landscape of a campaign over named coordinates."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from numpy.typing import NDArray

import bostruct as bo
from bostruct.campaign import Log
from bostruct.campaign.analysis.minima import BOLTZMANN_CONSTANT
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.report.landscape import (
    Landscape,
    acquisition_values,
    display_values,
)
from bostruct.errors import InputError, LogError
from bostruct.spaces import Coordinates


def turned(x: NDArray[np.float64]) -> Atoms:
    """Return HOOH-like atoms with a dihedral angle in radians and a distance."""
    phi, r = x
    return Atoms("HO2H", [(1, 0, -0.3), (0, 0, 0), (0, 0, r), (np.cos(phi), np.sin(phi), r + 0.3)])


def energy(atoms: Atoms) -> float:
    """Return an energy with minima at dihedrals of 90° and -60°, 0.1 eV apart, and r = 1.4 Å."""
    x, y, z = atoms.positions[3]
    phi, r = math.atan2(y, x), z - 0.3
    wells = sum(
        -depth * math.exp(2 * (math.cos(phi - at) - 1))
        for depth, at in ((0.5, math.pi / 2), (0.4, -math.pi / 3))
    )
    return wells + 2 * (r - 1.4) ** 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    bo.Campaign(
        space=Coordinates(turned, {"phi": (-math.pi, math.pi), "r": (1.2, 1.8)}, ["phi"]),
        evaluator=bo.evaluators.Function(energy),
        search=bo.candidates.BasinHopping(n_candidates=8, n_rounds=2, max_time_fraction=1e-9),
        n_initial=10,
        stop=bo.stop.Evaluations(20),
    ).run(path, seed=0, progress=False)
    return path


def test_minima_and_their_weights(folder: Path) -> None:
    """Both wells are found from the log alone, weighted by their energies."""
    found = Landscape.from_log(open_log(folder), temperature=1000.0)
    first, second = found.minima[:2]
    assert math.degrees(first.X[0]) == pytest.approx(90, abs=12)
    assert math.degrees(second.X[0]) == pytest.approx(-60, abs=15)
    assert second.energy == pytest.approx(0.1, abs=0.06)
    ratio = math.exp(-second.energy / (BOLTZMANN_CONSTANT * 1000.0))
    assert second.weight / first.weight == pytest.approx(ratio)
    assert sum(minimum.weight for minimum in found.minima) == pytest.approx(1.0)
    assert first.std >= 0
    lines = found.minima_lines()
    assert "phi (°)" in lines[0]
    assert "weight at 1000 K" in lines[0]


def test_acquisition_is_that_of_the_search(folder: Path) -> None:
    """With the weight of σ of the step, which adapts, and the corrections that it made."""
    log = open_log(folder)
    factors = set()
    for step in [step for step in log.steps() if step.file][-6:]:
        tensors = log.posterior_tensors(step.number)
        found = acquisition_values(log, step, log.posterior(step.number), tensors["candidates.X"])
        torch.testing.assert_close(found, tensors["candidates.acquisition"], rtol=1e-6, atol=1e-7)
        factors.add(step.hyperparameters["kappa_factor"])
    assert len(factors) > 1


def test_slices_go_through_the_best_structure(folder: Path) -> None:
    """Along one coordinate the mean is lowest where the best structure is."""
    found = Landscape.from_log(open_log(folder), ["phi"])
    (phi,) = found.axes
    assert found.energy.shape == found.std.shape == found.acquisition.shape == phi.shape
    assert float(phi[found.energy.argmin()]) == pytest.approx(float(found.X_best[0]), abs=0.2)
    assert found.acquisition.isfinite().all()
    torch.testing.assert_close(found.energy[0], found.energy[-1])  # one period
    both = Landscape.from_log(open_log(folder))
    assert both.energy.shape == (len(both.axes[0]), len(both.axes[1]))
    shown = display_values(both.domain, both.X_best)
    assert shown.tolist() == pytest.approx(
        [math.degrees(float(both.X_best[0])), float(both.X_best[1])]
    )


def test_refuses_what_has_no_landscape(folder: Path, tmp_path: Path) -> None:
    """Other coordinates, spaces and logs without a surrogate are refused."""
    log = open_log(folder)
    with pytest.raises(InputError, match=r"`coordinates` must name coordinates of the space"):
        Landscape.from_log(log, ["psi"])
    with pytest.raises(InputError, match="be one or two different coordinates"):
        Landscape.from_log(log, ["phi", "phi"])
    with pytest.raises(InputError, match="`temperature` must be positive"):
        Landscape.from_log(log, temperature=0.0)
    with pytest.raises(InputError, match="`space` must be one of named coordinates"):
        Landscape.from_log(Log(folder))
    bo.Campaign(
        space=Coordinates(turned, {"phi": (-math.pi, math.pi), "r": (1.2, 1.8)}, ["phi"]),
        evaluator=bo.evaluators.Function(energy),
        stop=bo.stop.Evaluations(2),
    ).run(tmp_path, seed=0, progress=False)
    with pytest.raises(LogError, match="has no step with a surrogate yet"):
        Landscape.from_log(open_log(tmp_path))
