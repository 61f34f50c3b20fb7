"""Minima of a campaign, evaluated or not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from botorch.posteriors import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from torch import Tensor
from torch.distributions import Normal

import bostruct as bo
from bostruct.campaign import Log
from bostruct.campaign.analysis.minima import (
    BOLTZMANN_CONSTANT,
    Minima,
    probability_below,
)
from bostruct.campaign.log.from_description import open_log
from bostruct.errors import InputError, LogError
from bostruct.structures import to_ase
from tests.campaign import alloys
from tests.campaign.molecular_mechanics import GAUCHE, butane, conformers, is_gauche
from tests.campaign.standin import campaign as standin


def campaign(n: int = 14) -> bo.Campaign:
    return bo.Campaign(
        space=conformers(),
        evaluator=bo.evaluators.Function(butane),
        search=bo.candidates.BasinHopping(n_candidates=8, n_rounds=2, max_time_fraction=1e-9),
        n_initial=8,
        stop=bo.stop.Evaluations(n),
    )


def one_sided_campaign() -> bo.Campaign:
    """Energies near one well and on the far side of the other tell that there is another."""
    space = conformers()
    phis = torch.tensor([[math.pi], [2.4], [-2.6], [0.35]], dtype=torch.float64)
    return bo.Campaign(
        space=space,
        evaluator=bo.evaluators.Function(butane),
        search=bo.candidates.BasinHopping(n_candidates=8, n_rounds=2, max_time_fraction=1e-9),
        initial_structures=space.decode(phis),
        acquisition=bo.acquisition.LowerConfidenceBound(kappa=0.0),
        stop=bo.stop.Evaluations(5),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    campaign().run(path, seed=1, progress=False)
    return path


def test_conformers_of_butane(folder: Path) -> None:
    """Anti and gauche, whose mirror image is no other; each the lowest of its well."""
    found = Minima.from_log(open_log(folder))
    first, second = found.minima
    assert [is_gauche(m.evaluated.atoms) for m in (first, second) if m.evaluated] == [False, True]
    assert second.energy_above == pytest.approx(GAUCHE, abs=0.02)
    ratio = math.exp(-second.energy_above / (BOLTZMANN_CONSTANT * 298.15))
    assert second.weight / first.weight == pytest.approx(ratio)
    assert first.weight + second.weight == pytest.approx(1.0)
    assert found.energy_window == pytest.approx(10 * BOLTZMANN_CONSTANT * 298.15)
    assert found.probability_lower is not None
    assert 0 <= found.probability_lower < 0.2
    assert not first.is_relaxed
    assert first.sigma == 0.0


def test_what_is_not_evaluated_is_a_minimum_of_the_model(tmp_path: Path) -> None:
    """A minimum that only the model shows, with its σ."""
    log = one_sided_campaign().run(tmp_path, progress=False)
    found = Minima.from_log(log, energy_window=10.0)
    (unknown,) = [minimum for minimum in found.minima if minimum.evaluated is None]
    assert is_gauche(to_ase(unknown.structures)[0])
    assert unknown.sigma > 0
    assert unknown.trial is None
    assert found.probability_lower is not None
    assert 0 < found.probability_lower < 0.9


def test_what_is_above_the_window_hides_no_minimum_of_the_model(tmp_path: Path) -> None:
    """All of the other well that was evaluated is a point on its slope, above the window."""
    made = one_sided_campaign()
    log = made.run(tmp_path, progress=False)
    with made.open(tmp_path) as opened:
        opened.retract(4, "the one at the bottom of the other well")
    energies = [t.energy for t in log.trial_records() if t.energy is not None]
    slope = log.trial_records()[3].energy
    assert slope is not None
    found = Minima.from_log(log, energy_window=0.9 * (slope - min(energies)))
    (unknown,) = [minimum for minimum in found.minima if minimum.evaluated is None]
    assert is_gauche(to_ase(unknown.structures)[0])
    # The energy to beat is that of the lowest, though all of its atoms were relaxed since.
    made.relax_minima(tmp_path, 1e-6, progress=False)
    after = Minima.from_log(log, energy_window=0.9 * (slope - min(energies)))
    assert any(m.is_relaxed for m in after.minima)
    assert after.probability_lower == pytest.approx(found.probability_lower)


def test_window_and_pruning(folder: Path) -> None:
    """A narrow window leaves the lowest; a wide RMSD makes all conformers one."""
    log = open_log(folder)
    assert len(Minima.from_log(log, energy_window=0.5 * GAUCHE).minima) == 1
    assert len(Minima.from_log(log, rmsd_threshold=0.1).minima) == 2
    assert len(Minima.from_log(log, rmsd_threshold=2.0).minima) == 1


def test_all_atoms_of_minima_are_relaxed(folder: Path) -> None:
    """Every conformer of the window, each once; a second call evaluates nothing."""
    before = Minima.from_log(open_log(folder))
    found = campaign().relax_minima(folder, progress=False)
    assert [m.is_relaxed for m in found.minima] == [True, True]
    assert [m.trial for m in found.minima] == [m.trial for m in before.minima]
    for minimum in found.minima:
        assert minimum.run is not None
        assert minimum.max_force is not None
        assert minimum.max_force <= bo.FinalRelaxation().fmax
    assert found.minima[0].energy < before.minima[0].energy - 0.02
    again = campaign().relax_minima(folder, progress=False)
    assert [len(m.run.energies) for m in again.minima if m.run] == [
        len(m.run.energies) for m in found.minima if m.run
    ]
    assert Log(folder).sessions()[-1]["reason"] == "0 minima relaxed"
    retracted = found.minima[0].trial
    assert retracted is not None
    with campaign().open(folder, seed=1) as opened:
        opened.retract(retracted, "another molecule")
    assert retracted not in {m.trial for m in Minima.from_log(open_log(folder)).minima}


def test_minima_without_a_model(tmp_path: Path) -> None:
    """Structures that were evaluated, and the reason for which nothing is known of others."""
    log = campaign(4).run(tmp_path, progress=False)
    found = Minima.from_log(log, energy_window=5.0)
    assert found.probability_lower is None
    assert found.missing_reason == "there was no step with a surrogate yet"
    assert all(minimum.evaluated is not None for minimum in found.minima)


class Independent:
    """Model of independent energies, mean X and σ 1."""

    def posterior(self, X: Tensor, **_: Any) -> GPyTorchPosterior:
        return GPyTorchPosterior(MultivariateNormal(X.squeeze(-1), torch.eye(len(X)).double()))


@pytest.mark.parametrize("sigma_factor", [0.5, 2.0])
def test_probability_of_the_lowest(sigma_factor: float) -> None:
    """Of independent energies it is one less the product of those of being above."""
    X = torch.tensor([[0.5], [1.0], [2.0]], dtype=torch.float64)
    above = 1 - Normal(0.0, 1.0).cdf((0.0 - X) / sigma_factor)
    found = probability_below(Independent(), X, 0.0, sigma_factor)  # type: ignore[arg-type]
    assert found == pytest.approx(1 - float(above.prod()), abs=0.02)


def test_refuses(folder: Path, tmp_path: Path) -> None:
    """In sentences, whatever there are no minima of."""
    log = open_log(folder)
    for arguments, match in (
        ({"temperature": 0.0}, "`temperature` must be positive"),
        ({"energy_window": -1.0}, "`energy_window` must be positive"),
        ({"rmsd_threshold": 0.0}, "`rmsd` must be positive"),
    ):
        with pytest.raises(InputError, match=match):
            Minima.from_log(log, **arguments)
    wells = standin(n=4).run(tmp_path / "wells", progress=False)
    with pytest.raises(InputError, match="`rmsd` must be for one molecule"):
        Minima.from_log(wells, rmsd_threshold=0.5)
    with pytest.raises(LogError, match="its space is not one of bostruct"):
        Minima.from_log(Log(folder))
    alloy = alloys.campaign(stop=bo.stop.Evaluations(3)).run(tmp_path / "alloy", progress=False)
    with pytest.raises(InputError, match="`minima` must be of a campaign for one energy"):
        Minima.from_log(alloy)
