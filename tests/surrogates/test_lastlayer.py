"""The last layer against Bayesian linear regression on explicit rows."""

from dataclasses import replace

import pytest
import torch

from bostruct.errors import InputError
from bostruct.surrogates import LastLayer
from bostruct.surrogates.lastlayer import statistics
from bostruct.surrogates.lesson import prepare
from bostruct.uncertainty import Metric
from tests.surrogates.small import SMALL


@pytest.fixture(scope="module")
def fitted(mixed, alloy):
    return LastLayer(SMALL, members=64).fit(mixed[:8], alloy)


def explicit(model, structures):
    """Return the features `[b, h + s]` and their slopes `[b, h + s, n, 3]`."""
    laplace = model.believer
    moving = structures.positions.clone().requires_grad_()
    x, place = laplace.encoder(replace(structures, positions=moving))
    hidden = laplace.weights.hidden(x, place).second[0]
    hot = torch.nn.functional.one_hot(place, 2).to(x)
    b = len(structures)
    total = torch.cat((hidden, hot), -1).view(b, -1, hidden.shape[1] + 2).sum(1)
    rows = [
        torch.autograd.grad(value, moving, retain_graph=True)[0]
        for value in total[:, : hidden.shape[1]].sum(0)
    ]
    slopes = torch.stack(rows + 2 * [torch.zeros_like(moving)])  # [h + s, n, 3]
    return total.detach(), -slopes.flatten(1).T


def test_rows_are_sums_and_minus_their_slopes(fitted, mixed):
    encoder, lesson = prepare(SMALL, mixed[:8], None)
    energies, forces = statistics(encoder, fitted.believer.weights, lesson)
    total, slopes = explicit(fitted, mixed[:8])
    root = (lesson.trust * lesson.counts.sqrt()).unsqueeze(-1)
    torch.testing.assert_close(energies.gram, (total / root).T @ (total / root))
    each = lesson.trust[lesson.index].repeat_interleave(3).unsqueeze(-1)
    torch.testing.assert_close(forces.gram, (slopes / each).T @ (slopes / each))
    assert forces.count == 8 * 6 * 3


def test_mean_and_variance_are_those_of_the_metric(fitted, mixed):
    """U7 by U1: rows over their deviations, z2 = 1 / sigma², a2 = 1."""
    readout, encoder = fitted.believer.readout, fitted.believer.encoder
    _, lesson = prepare(SMALL, mixed[:8], None)
    total, slopes = explicit(fitted, mixed[:8])
    trust, scale = lesson.trust, encoder.scale
    e = readout.energy_noise * trust * lesson.counts.sqrt()
    f = readout.force_noise * trust[lesson.index].repeat_interleave(3)
    rows = torch.cat((total / e.unsqueeze(-1), slopes / f.unsqueeze(-1)))
    y = torch.cat((scale * lesson.energy / e, scale * lesson.forces.flatten() / f))
    metric = Metric.fit(rows, y, ridge=float(1 / readout.signal**2))
    asked = mixed[8:12]
    features, _ = explicit(fitted, asked)
    found = fitted.predict(asked, covariance=True)
    prior = encoder.prior(asked, encoder.soap.place(asked.numbers))
    torch.testing.assert_close(found.mean, prior + metric.mean(features))
    torch.testing.assert_close(
        found.covariance, metric.covariance(features), rtol=1e-6, atol=2e-8
    )


def test_members_are_drawn_around_the_mean(fitted, mixed):
    """64 draws: the variance is known to 18 %; here the mean over 10 structures."""
    found = fitted.predict(mixed[8:18])
    torch.testing.assert_close(found.members.mean(0), found.mean)
    ratio = (found.members.var(0) / found.variance).mean()
    assert 0.5 < ratio < 1.7


def test_noise_grows_with_the_atoms(fitted, mixed):
    found = fitted.predict(mixed[:2])
    expected = 6 * fitted.believer.readout.energy_noise**2
    torch.testing.assert_close(found.noise, expected.expand(2))


def test_force_variances_are_those_of_the_rows(fitted, mixed):
    one = mixed[9]
    found = fitted.predict(one, force_variance=True).force_variance
    _, slopes = explicit(fitted, one)
    root = torch.linalg.solve_triangular(
        fitted.believer.readout.factor, slopes.T, upper=False
    )
    torch.testing.assert_close(found.flatten(), root.square().sum(0))


def test_energies_alone_are_enough(data):
    model = LastLayer(SMALL).fit(replace(data[:6], forces=None))
    found = model.predict(data[:3])
    assert found.members is None
    assert found.variance.min() > 0


@pytest.mark.parametrize("members", [1, -1, 2.0, True])
def test_refusals(members):
    with pytest.raises(InputError, match="`members` must be 0, or an integer of"):
        LastLayer(members=members)
