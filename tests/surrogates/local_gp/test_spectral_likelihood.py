"""The marginal likelihood in the eigenbasis against that of dense factors."""

from dataclasses import replace

import pytest
import torch

from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp.marginal_likelihood import (
    Rows,
    RowStatistics,
    StandardDeviations,
    value_and_gradient,
)
from bostruct.surrogates.local_gp.spectral_likelihood import MIN_ENVIRONMENTS, SpectralLikelihood

ROUNDING = 1e-8  # relative; two ways of adding up
NOISES = 0.002, 0.01  # of values of 1, so that squares of some 1e7 nearly cancel


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def statistics(n_energies, n_forces, m=9, scale=1.0):
    """Rows of random features, the last of which are larger by `scale`; a third are copies."""
    rows = []
    for seed, n in enumerate((n_energies, n_forces)):
        F, y = random(n, m, seed=seed), random(n, seed=seed + 2)
        F[:, -2:] *= scale
        F[: n // 3] = F[n // 3 : 2 * (n // 3)]
        empty = RowStatistics.empty(m, F)
        rows.append(empty.add_rows(F, y, 1 + random(n, seed=seed + 4).abs()))
    return Rows(*rows)


def arguments(m, t):
    """Hyperparameters, the first terms with amplitudes of their own, the last with a given one."""
    s, e, f = (torch.tensor(x).double() for x in (1.7, *NOISES))
    std = torch.cat(
        [s.expand(m), *(torch.full((n,), x) for n, x in zip(t, (0.4, 3.0, 90.0), strict=True))]
    )
    blocks = [slice(m, m + t[0]), slice(m + t[0], m + t[0] + t[1])]
    return StandardDeviations(s, e, f, std.double()), blocks


@pytest.mark.parametrize("residual", [0.0, 0.02])
@pytest.mark.parametrize("terms", [(2, 1, 1), (0, 0, 0)])
@pytest.mark.parametrize(("energies", "forces"), [(4, 60), (30, 60), (5, 0), (0, 9), (1, 2)])
def test_value_and_slopes_are_those_of_the_dense_factor(energies, forces, terms, residual):
    m = 9 - sum(terms)
    rows = statistics(energies, forces, scale=20.0)
    residual = torch.tensor(residual).double()
    rows = Rows(*(replace(one, mean_residual_variance=residual) for one in rows))
    values, blocks = arguments(m, terms)
    expected = value_and_gradient(rows, values, blocks, m)
    found = SpectralLikelihood.decompose(rows, m).value_and_gradient(values, blocks)
    size = float(sum(row.sum_of_squares for row in rows)) / NOISES[0] ** 2
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=ROUNDING, atol=1e-12 * size)


def test_is_left_where_a_dense_factor_is_as_fast():
    few, many = statistics(4, 60), statistics(200, 400, m=MIN_ENVIRONMENTS)
    assert SpectralLikelihood.of(few, 7) is None
    assert SpectralLikelihood.of(many, MIN_ENVIRONMENTS) is None
    enough = statistics(10, 400, m=MIN_ENVIRONMENTS + 5)
    assert SpectralLikelihood.of(enough, MIN_ENVIRONMENTS) is not None


def test_optimum_is_that_of_the_dense_factor(data, monkeypatch):
    """Signal, noises and amplitudes of a fit agree to what the optimizer resolves."""
    of, made = SpectralLikelihood.of, []
    record = classmethod(lambda cls, *rows: made.append(of(*rows)) or made[-1])
    monkeypatch.setattr(SpectralLikelihood, "of", record)
    found = LocalGP(pair_term=None).fit(data[:24])
    assert made
    assert None not in made
    monkeypatch.setattr(SpectralLikelihood, "of", classmethod(lambda cls, *rows: None))
    expected = LocalGP(pair_term=None).fit(data[:24])
    names = "signal_std", "energy_noise_std", "force_noise_std", "log_marginal_likelihood"
    for name in names:
        one, other = getattr(found.fitted, name), getattr(expected.fitted, name)
        torch.testing.assert_close(one, other, rtol=1e-3, atol=0.0)
    torch.testing.assert_close(
        found.terms.amplitudes, expected.terms.amplitudes, rtol=1e-3, atol=0.0
    )
    one, other = found.predict(data[30:]), expected.predict(data[30:])
    torch.testing.assert_close(one.mean, other.mean, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(one.variance, other.variance, rtol=1e-3, atol=0.0)
