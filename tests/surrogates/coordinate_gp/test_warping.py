"""Warping of high energies."""

from __future__ import annotations

import torch

from bostruct.surrogates.coordinate_gp.warping import LogWarping
from bostruct.testing.central_differences import assert_gradient

ENERGIES = torch.tensor([-7.0, -6.8, -6.9, -2.0, 30.0], dtype=torch.float64)


def test_low_energies_stay_and_high_ones_come_back() -> None:
    """Up to the median nothing changes; the inverse is one, with the inverse slope."""
    warping = LogWarping.of(ENERGIES)
    warped, slope = warping.warp(ENERGIES)
    assert torch.equal(warped[:3], ENERGIES[:3])
    assert (warped[3:] < ENERGIES[3:]).all()
    assert (warped.argsort() == ENERGIES.argsort()).all()
    back, inverse = warping.unwarp(warped)
    torch.testing.assert_close(back, ENERGIES)
    torch.testing.assert_close(inverse * slope, torch.ones(5, dtype=torch.float64))


def test_slopes_are_derivatives() -> None:
    """On both sides of the threshold, and about it."""
    warping = LogWarping.of(ENERGIES)
    at = torch.tensor([-6.95, -6.5, 3.0], dtype=torch.float64)
    for function in (warping.warp, warping.unwarp):
        for energy in at:
            assert_gradient(lambda e, f=function: f(e)[0], energy, function(energy)[1])
    T = warping.lowest + warping.threshold
    ends = warping.warp(torch.stack((T - 1e-9, T + 1e-9)))
    torch.testing.assert_close(ends[0][0], ends[0][1])
    torch.testing.assert_close(ends[1][0], ends[1][1])


def test_equal_energies_are_not_warped() -> None:
    """Without a spread there is no threshold."""
    same = torch.full((3,), -2.0, dtype=torch.float64)
    warping = LogWarping.of(same)
    assert torch.equal(warping.warp(same)[0], same)
    assert torch.equal(warping.unwarp(same + 1)[0], same + 1)
    assert torch.equal(warping.unwarp(same)[1], torch.ones(3, dtype=torch.float64))
