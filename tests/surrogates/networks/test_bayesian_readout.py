"""Last layers against Bayesian linear regression on explicit rows."""

from dataclasses import replace

import pytest
import torch

from bostruct.surrogates import LastLayer
from bostruct.surrogates.networks import bayesian_readout
from bostruct.surrogates.networks.bayesian_readout import (
    BELIEF,
    USUAL,
    statistics,
    stretch,
)
from bostruct.surrogates.networks.dataset import prepare
from bostruct.uncertainty import Metric
from tests.surrogates.rows import explicit, rows
from tests.surrogates.small import SMALL


@pytest.fixture(scope="module")
def laplace(mixed):
    return LastLayer(SMALL, inputs=5).fit(mixed[:8]).believer


def test_rows_are_sums_and_minus_their_slopes(laplace, mixed):
    encoder, lesson = prepare(SMALL, mixed[:8], None)
    energies, forces = statistics(encoder, laplace.weights, lesson, 5)
    total, slopes = explicit(laplace, mixed[:8])
    assert total.shape == (8, 8 + 5 + 2)
    root = (lesson.trust * lesson.counts.sqrt()).unsqueeze(-1)
    torch.testing.assert_close(energies.gram, (total / root).T @ (total / root))
    each = lesson.trust[lesson.index].repeat_interleave(3).unsqueeze(-1)
    torch.testing.assert_close(forces.gram, (slopes / each).T @ (slopes / each))
    assert forces.count == 8 * 6 * 3


def test_it_is_stretched_by_structures_left_out(laplace, mixed):
    """alpha against fits without one structure each, at the same deviations."""
    known = mixed[:8]
    _, lesson = prepare(SMALL, known, None)
    f, _ = explicit(laplace, known)
    F, y = rows(laplace, known)
    atoms = lesson.index.repeat_interleave(3)
    whose = torch.cat((torch.arange(8), atoms))
    ridge = float(1 / laplace.readout.signal**2)
    total = BELIEF * USUAL**2
    for k in range(8):
        rest = Metric.fit(F[whose != k], y[whose != k], ridge=ridge)
        missed = laplace.encoder.scale * lesson.energy[k] - rest.mean(f[k : k + 1])
        variance = rest.variance(f[k : k + 1]) * lesson.trust[k] ** 2
        total = total + float(missed.square() / variance)
    expected = (total / (BELIEF + 8)) ** 0.5
    assert float(laplace.alpha) == pytest.approx(expected, rel=1e-6)
    found = stretch(laplace.encoder, laplace.weights, lesson, laplace.readout, 5)
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
    assert float(spoilt.believer.alpha) < 3 * float(alone.believer.alpha)


def test_at_most_some_structures_are_left_out(laplace, mixed, monkeypatch):
    """Every third of eight, where three may be."""
    _, lesson = prepare(SMALL, mixed[:8], None)
    seen = []
    taken = type(lesson).take
    monkeypatch.setattr(bayesian_readout, "WITNESSES", 3)
    monkeypatch.setattr(
        type(lesson), "take", lambda self, rows: seen.append(rows) or taken(self, rows)
    )
    stretch(laplace.encoder, laplace.weights, lesson, laplace.readout, 5)
    assert {0, 3, 6} == {int(rows[0]) for rows in seen if len(rows) == 1}
