"""Variances of derivatives beside those of differences of energies."""

import pytest
import torch

from bostruct.structures import Structures
from bostruct.structures.strain import VOIGT
from bostruct.surrogates import LocalGP
from tests.surrogates.crystals import crystals, strained

STEP = 1e-2


@pytest.mark.parametrize("approximation", ["sor", "averaged_fitc"])
def test_variances_are_those_of_energy_differences(approximation):
    """Of a structure and one that is moved or strained a little, from their joint covariance."""
    train = crystals(["Cu", "Au"], 5)
    model = LocalGP(max_inducing=15, approximation=approximation, label_noise=None).fit(train)
    one = crystals(["Cu", "Au"], 1, seed=7).without_results()
    variances = model._derivative_variances
    found = torch.cat((variances.forces(one).flatten(), variances.virial(one).flatten()))
    pairs = []
    for k in range(6):
        moved = [one.positions.clone(), one.positions.clone()]
        for x, sign in zip(moved, (1, -1), strict=True):
            x.view(-1)[k] += sign * STEP / 2
        pairs.append([Structures.unchecked(**one.given_fields() | {"positions": x}) for x in moved])
    for i, j in VOIGT:
        e = torch.zeros(3, 3, dtype=torch.float64)
        e[i, j] += STEP / 4
        e[j, i] += STEP / 4
        pairs.append([strained(one, e), strained(one, -e)])
    expected = []
    for pair in pairs:
        C = model.predict(Structures.cat(pair), covariance=True).covariance
        expected.append((C[0, 0] + C[1, 1] - 2 * C[0, 1]) / STEP**2)
    size = float(found.max())
    torch.testing.assert_close(found, torch.stack(expected), rtol=2e-2, atol=2e-3 * size)
