import csv
import io
import json
from dataclasses import replace

import pytest
import torch
from ase import Atoms
from rich.console import Console
from scipy.stats import spearmanr

from bostruct.bench.uncertainty.held_out import (
    HeldOutScores,
    held_out_table,
    rising_fraction,
    score_held_out,
    score_prediction,
    write_held_out,
)
from bostruct.bench.uncertainty.held_out_data import HeldOutSet
from bostruct.errors import InputError
from bostruct.structures import from_ase
from bostruct.uncertainty import Prediction

N = 4000


def structures(n):
    """Return dimers with energy 1 eV and no forces."""
    one = from_ase(Atoms("Cu2", [(0, 0, 0), (2.4, 0, 0)]))
    return type(one).cat([one] * n)


def labeled(n, energy, forces=None):
    return replace(structures(n), energy=energy, forces=forces)


def normal(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_right_sigmas_have_the_nominal_scores():
    sigma = torch.linspace(0.1, 1.0, N, dtype=torch.float64)
    energy = sigma * normal(N)
    test = labeled(N, energy)
    zero = torch.zeros_like(energy)
    prediction = Prediction(zero, sigma**2, 3 * sigma**2)
    found = score_prediction("m", HeldOutSet("k", test[:1], test), prediction)
    assert found.latent_z2 == pytest.approx(1.0, abs=0.07)
    assert found.latent_z2_median == pytest.approx(1.0, abs=0.1)
    assert found.observed_z2 == pytest.approx(found.latent_z2 / 4)
    assert found.observed_z2_median == pytest.approx(found.latent_z2_median / 4)
    assert found.within_1_sigma == pytest.approx(0.683, abs=0.02)
    assert found.energy_mae == pytest.approx(1000 * float(energy.abs().mean()) / 2)
    assert found.rank_correlation == pytest.approx(spearmanr(energy.abs(), sigma).statistic)
    assert found.rising is None


def test_a_constant_sigma_has_no_rank_correlation():
    energy = normal(50)
    prediction = Prediction(torch.zeros_like(energy), torch.ones_like(energy), 0 * energy)
    found = score_prediction("m", HeldOutSet("k", structures(1), labeled(50, energy)), prediction)
    assert found.rank_correlation is None


def test_no_sigma_is_infinitely_wrong_unless_the_error_is_zero():
    energy = torch.tensor([0.0, 1.0], dtype=torch.float64)
    prediction = Prediction(0 * energy, 0 * energy, 1 + 0 * energy)
    found = score_prediction("m", HeldOutSet("k", structures(1), labeled(2, energy)), prediction)
    assert found.latent_z2 is found.max_abs_z is None
    assert found.observed_z2 == 0.5


def test_forces():
    energy = torch.zeros(2, dtype=torch.float64)
    forces = torch.full((4, 3), 0.3, dtype=torch.float64)
    prediction = Prediction(
        energy,
        1 + energy,
        energy,
        forces=0 * forces,
        force_variance=torch.full_like(forces, 0.01),
    )
    entry = HeldOutSet("k", structures(1), labeled(2, energy, forces))
    found = score_prediction("m", entry, prediction)
    assert found.force_mae == pytest.approx(0.3)
    assert found.force_z2 == pytest.approx(9.0)
    assert found.force_z2_median == pytest.approx(9.0 / 0.4549, rel=1e-3)


def test_steps_of_each_scan_count():
    variance = torch.tensor([1.0, 2.0, 3.0, 9.0, 4.0, 4.0])
    assert rising_fraction(variance, 3) == pytest.approx(0.75)
    assert rising_fraction(variance, 0) is None
    assert rising_fraction(torch.ones(4), 4) == 1.0


class Mean:
    """Mean energy of the training data, with a refusal of silver."""

    def __init__(self):
        self.n_fits = 0

    def fit(self, data):
        self.n_fits += 1
        self.mean = data.energy.mean()
        return self

    def predict(self, data):
        if (data.numbers == 47).any():
            raise InputError("silver is unknown")
        ones = torch.ones(len(data), dtype=torch.float64)
        return Prediction(self.mean * ones, torch.arange(1, len(data) + 1) * ones, 0 * ones)


@pytest.fixture
def scores():
    train = labeled(3, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    test = labeled(4, torch.arange(4, dtype=torch.float64))
    silver = from_ase(Atoms("Ag2", [(0, 0, 0), (2.4, 0, 0)]))
    sets = [
        HeldOutSet("near", train, test),
        HeldOutSet("scan", train, test, 4),
        HeldOutSet("silver", train, silver),
    ]
    method = Mean()
    lines = []
    found = score_held_out({"mean": method}, sets, lines.append)
    assert method.n_fits == 1, "once for shared training data"
    assert lines == ["mean: near", "mean: scan", "mean: silver"]
    return found


def test_a_refusal_is_a_sentence(scores):
    assert [row.kind for row in scores] == ["near", "scan", "silver"]
    assert scores[1].rising == 1.0
    assert scores[1].max_abs_z == pytest.approx(2.0)
    assert scores[2] == HeldOutScores("silver", "mean", 3, 1, failure="silver is unknown")
    out = io.StringIO()
    Console(file=out, width=150).print(held_out_table(scores))
    assert "mean, silver: silver is unknown" in out.getvalue()
    assert "100%" in out.getvalue()


def test_files(scores, tmp_path):
    write_held_out(scores, tmp_path / "new")
    data = json.loads((tmp_path / "new" / "held_out.json").read_text())
    assert [row["kind"] for row in data["scores"]] == ["near", "scan", "silver"]
    assert data["scores"][2]["failure"] == "silver is unknown"
    with (tmp_path / "new" / "held_out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["energy_mae"]) == scores[0].energy_mae
    text = (tmp_path / "new" / "held_out.md").read_text()
    assert text.startswith("| kind | method | n |")
    assert len(text.splitlines()[0].split("|")) == len(text.splitlines()[2].split("|"))
