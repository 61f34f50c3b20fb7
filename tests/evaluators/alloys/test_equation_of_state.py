import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import birchmurnaghan

from bostruct.evaluators.alloys.equation_of_state import (
    N_VOLUMES,
    compute_equation_of_state,
    fit_birch_murnaghan,
)
from bostruct.evaluators.alloys.relaxation import (
    apply_strain,
    move_off_cell_faces,
    relax_crystal,
)

VOLUMES = np.linspace(44, 50, N_VOLUMES)


def test_the_fit_recovers_the_parameters_of_its_energies():
    found = fit_birch_murnaghan(VOLUMES, birchmurnaghan(VOLUMES, -9876.5, 0.9, 4.7, 47.1))
    assert found.volume == pytest.approx(47.1)
    assert found.energy == pytest.approx(-9876.5)
    assert found.bulk_modulus == pytest.approx(0.9, rel=1e-5)
    assert found.bulk_modulus_error < 1e-5
    assert found.reason == ""


def test_the_error_is_the_scatter_of_the_modulus():
    """The standard error of one fit, against the scatter of many."""
    rng = np.random.default_rng(0)
    truth = birchmurnaghan(VOLUMES, 0.0, 0.9, 4.7, 47.1)
    fits = [
        fit_birch_murnaghan(VOLUMES, truth + 1e-4 * rng.standard_normal(N_VOLUMES))
        for _ in range(80)
    ]
    scatter = np.std([one.bulk_modulus for one in fits])
    mean = np.sqrt(np.mean([one.bulk_modulus_error**2 for one in fits]))
    assert mean == pytest.approx(scatter, rel=0.3)


def test_a_minimum_outside_the_volumes_has_a_reason():
    found = fit_birch_murnaghan(VOLUMES + 5, birchmurnaghan(VOLUMES + 5, 0.0, 0.9, 4.7, 47.1))
    assert "not between the volumes" in found.reason


def test_energies_that_are_not_finite_have_a_reason():
    energies = birchmurnaghan(VOLUMES, 0.0, 0.9, 4.7, 47.1)
    energies[3] = np.nan
    assert "not finite" in fit_birch_murnaghan(VOLUMES, energies).reason


def test_random_energies_have_a_reason_or_a_large_error():
    rng = np.random.default_rng(1)
    for _ in range(20):
        found = fit_birch_murnaghan(VOLUMES, 100 * rng.standard_normal(N_VOLUMES))
        assert found.reason or not found.bulk_modulus_error < 0.1 * abs(found.bulk_modulus)


def test_a_failed_fit_has_a_reason(monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("Optimal parameters not found")

    monkeypatch.setattr("scipy.optimize.curve_fit", fails)
    reason = fit_birch_murnaghan(VOLUMES, birchmurnaghan(VOLUMES, 0.0, 0.9, 4.7, 47.1)).reason
    assert reason == ("the equation of state cannot be fitted: Optimal parameters not found")


@pytest.mark.parametrize("symbol", ["Cu", "Al", "Pt"])
def test_the_modulus_is_the_slope_of_the_pressure(symbol):
    atoms = move_off_cell_faces(bulk(symbol))
    atoms.calc = EMT()
    relax_crystal(atoms, "cell", 1e-4, 100)
    found = compute_equation_of_state(atoms)
    pressures, volumes = [], []
    for strain in (-0.001, 0.001):
        moved = apply_strain(atoms, strain * np.eye(3))
        pressures.append(-moved.get_stress()[:3].mean())
        volumes.append(moved.get_volume())
    slope = (pressures[1] - pressures[0]) / (volumes[1] - volumes[0])
    assert found.bulk_modulus == pytest.approx(-atoms.get_volume() * slope, rel=0.02)
    assert found.volume == pytest.approx(atoms.get_volume(), rel=2e-3)


def test_relaxed_ions_make_a_disordered_crystal_softer():
    atoms = bulk("Cu", cubic=True, a=3.9).repeat((2, 1, 1))
    atoms.set_chemical_symbols(["Cu", "Cu", "Au", "Au", "Au", "Cu", "Cu", "Cu"])
    atoms = move_off_cell_faces(atoms)
    atoms.calc = EMT()
    assert relax_crystal(atoms, "cell", 0.002, 300).reason == ""
    clamped, relaxed = (
        compute_equation_of_state(atoms),
        compute_equation_of_state(atoms, ion_fmax=0.002, max_steps=100),
    )
    assert relaxed.bulk_modulus < clamped.bulk_modulus
    assert relaxed.reason == ""
    assert "left with" in compute_equation_of_state(atoms, ion_fmax=1e-9, max_steps=1).reason
