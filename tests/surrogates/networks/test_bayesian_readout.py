"""Last layers against Bayesian linear regression on explicit rows."""

from dataclasses import replace

import pytest
import torch

from bostruct.surrogates import LastLayer
from bostruct.surrogates.networks import bayesian_readout
from bostruct.surrogates.networks.bayesian_readout import (
    PRIOR_WEIGHT,
    PRIOR_Z,
    calibration_factor,
    readout_statistics,
)
from bostruct.surrogates.networks.dataset import prepare_training_set
from bostruct.uncertainty import BayesianLinearModel
from tests.surrogates.rows import explicit, rows
from tests.surrogates.small import SMALL


@pytest.fixture(scope="module")
def laplace(mixed):
    return LastLayer(SMALL, n_inputs=5).fit(mixed[:8]).predictor


def test_rows_are_sums_and_minus_their_slopes(laplace, mixed):
    encoder, lesson = prepare_training_set(SMALL, mixed[:8], None)
    energies, forces = readout_statistics(encoder, laplace.weights, lesson, 5)
    total, slopes = explicit(laplace, mixed[:8])
    assert total.shape == (8, 8 + 5 + 2)
    root = (lesson.noise_factor * lesson.counts.sqrt()).unsqueeze(-1)
    torch.testing.assert_close(energies.gram, (total / root).T @ (total / root))
    each = lesson.noise_factor[lesson.index].repeat_interleave(3).unsqueeze(-1)
    torch.testing.assert_close(forces.gram, (slopes / each).T @ (slopes / each))
    assert forces.n_rows == 8 * 6 * 3


def test_it_is_stretched_by_structures_left_out(laplace, mixed):
    """alpha against fits without one structure each, at the same deviations."""
    known = mixed[:8]
    _, lesson = prepare_training_set(SMALL, known, None)
    f, _ = explicit(laplace, known)
    F, y = rows(laplace, known)
    atoms = lesson.index.repeat_interleave(3)
    whose = torch.cat((torch.arange(8), atoms))
    ridge = float(1 / laplace.readout.signal_std**2)
    total = PRIOR_WEIGHT * PRIOR_Z**2
    for k in range(8):
        rest = BayesianLinearModel.fit(F[whose != k], y[whose != k], ridge=ridge)
        missed = laplace.featurizer.energy_scale * lesson.energy[k] - rest.mean(f[k : k + 1])
        variance = rest.variance(f[k : k + 1]) * lesson.noise_factor[k] ** 2
        total = total + float(missed.square() / variance)
    expected = (total / (PRIOR_WEIGHT + 8)) ** 0.5
    assert float(laplace.alpha) == pytest.approx(expected, rel=1e-6)
    found = calibration_factor(laplace.featurizer, laplace.weights, lesson, laplace.readout, 5)
    assert float(found) == float(laplace.alpha)


def test_a_structure_that_exploded_does_not_stretch_it(mixed):
    """It is trusted so little that its error counts for little."""
    known = mixed[:8]
    burst = known.energy.clone()
    burst[3] += 1e4
    forces = known.forces.clone()
    forces[known.index == 3] *= 1e4
    spoilt = LastLayer(SMALL).fit(replace(known, energy=burst, forces=forces))
    alone = LastLayer(SMALL).fit(known)
    assert float(spoilt.predictor.alpha) < 3 * float(alone.predictor.alpha)


def test_at_most_some_structures_are_left_out(laplace, mixed, monkeypatch):
    """Every third of eight, where three may be."""
    _, lesson = prepare_training_set(SMALL, mixed[:8], None)
    seen = []
    taken = type(lesson).subset
    monkeypatch.setattr(bayesian_readout, "MAX_HELD_OUT", 3)
    monkeypatch.setattr(
        type(lesson), "subset", lambda self, rows: seen.append(rows) or taken(self, rows)
    )
    calibration_factor(laplace.featurizer, laplace.weights, lesson, laplace.readout, 5)
    assert {0, 3, 6} == {int(rows[0]) for rows in seen if len(rows) == 1}
