"""Stresses against a model of energies and forces alone."""

from dataclasses import replace

import pytest
import torch

from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp.stress_consistency import structures_with_stress
from tests.surrogates.crystals import crystals

GP = LocalGP(max_inducing=40)


@pytest.fixture(scope="module")
def known():
    return crystals(["Cu", "Cu", "Au"], 4)


def scaled(structures, factor):
    return replace(structures, stress=factor * structures.stress)


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize("factor", [-1.0, 160.2])
def test_a_factor_is_found(known, n, factor):
    """Right stresses agree; a factor on them is told up to its own error, which stays."""
    right = GP.stress_consistency(known[:n])
    assert right.sentence() == ""
    assert right.correlation > 0.95
    wrong = GP.stress_consistency(scaled(known[:n], factor))
    assert wrong.is_contradiction
    assert wrong.factor == pytest.approx(right.factor / factor)
    assert abs(wrong.correlation) == pytest.approx(right.correlation)


def test_nothing_is_told_of_too_few_or_of_zeros(known):
    assert GP.stress_consistency(known[:1]) is None
    assert GP.stress_consistency(replace(known, stress=None)) is None
    assert GP.stress_consistency(replace(known, forces=None)) is None
    assert GP.stress_consistency(scaled(known, 0.0)).sentence() == ""


def test_structures_that_lack_something_are_left_out(known):
    stress, forces = known.stress.clone(), known.forces.clone()
    stress[0, 3] = torch.nan
    forces[3] = torch.nan
    kept = structures_with_stress(replace(known, stress=stress, forces=forces))
    assert torch.equal(kept.energy, known.energy[2:])
