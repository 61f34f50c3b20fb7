import sys
from dataclasses import replace

import ase.optimize
import numpy as np
import pytest
import torch
from ase.build import fcc100
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.units import GPa

from bostruct.campaign.enthalpy import with_pressure_energy
from bostruct.campaign.records import Trial
from bostruct.campaign.relaxation.optimizer_replay import next_geometry
from bostruct.evaluators import Calculator
from bostruct.spaces import Cluster, Crystal, Surface
from bostruct.structures import from_ase, to_ase

EVALUATOR = Calculator(EMT)


def evaluated(space, X, number=0):
    found = EVALUATOR(space.decode(X))
    trial = Trial(number, number, f"k{number}-1", 1, "done", "relaxation", X)
    return replace(trial, energy=found.energy, forces=found.forces)


def relaxed(space, x, tolerance, most=60):
    """Return the trials of a relaxation that starts anew at each step."""
    known = [evaluated(space, x)]
    while len(known) < most:
        X = next_geometry(space, known, tolerance)
        if X is None:
            break
        known.append(evaluated(space, X, len(known)))
    return known


SLAB = Surface(fcc100("Au", (2, 2, 2), vacuum=7.0), "Ni2")


@pytest.fixture(scope="module", params=[Cluster("Cu4Au"), SLAB], ids=["cluster", "slab"])
def chain(request):
    space = request.param
    x = space.sample(1, torch.Generator().manual_seed(1))[0]
    return space, relaxed(space, x, 0.02)


def test_it_ends_where_ase_does(chain):
    """Replayed step by step it makes the calls of one uninterrupted relaxation."""
    space, known = chain
    atoms = to_ase(space.decode(known[0].X))[0]
    atoms.calc = Calls()
    ase.optimize.BFGSLineSearch(atoms, logfile=None).run(fmax=0.02)
    assert len(known) == len(atoms.calc.energies)
    mine = [trial.energy for trial in known]
    assert np.allclose(mine, atoms.calc.energies, atol=1e-8)


class Calls:
    """EMT; keeps the energies in the order asked for."""

    def __init__(self):
        self.energies, self.last = [], None

    def get_potential_energy(self, atoms, force_consistent=False):
        return self.results(atoms)[0]

    def get_forces(self, atoms):
        return self.results(atoms)[1].copy()

    def results(self, atoms):
        if self.last is None or not np.array_equal(self.last[0], atoms.positions):
            free = atoms.copy()
            free.set_constraint()
            free.calc = EMT()
            found = free.get_potential_energy(), free.get_forces()
            self.energies.append(found[0])
            self.last = (atoms.positions.copy(), found)
        return self.last[1]


def test_it_goes_down_to_rest_and_fixed_atoms_stay(chain):
    space, known = chain
    assert known[-1].energy < known[0].energy
    made = space.decode(known[-1].X)
    size = known[-1].forces.norm(dim=-1).masked_fill(made.fixed, 0.0)
    assert float(size.max()) < 0.02
    before = space.decode(known[0].X).positions
    assert torch.equal(made.positions[made.fixed], before[made.fixed])


def test_equal_logs_give_equal_bits(chain):
    space, known = chain
    again = next_geometry(space, known[:4], 0.02)
    assert torch.equal(again, known[4].X)


def test_it_starts_anew_where_the_log_has_other_structures(chain):
    """As if another version of the optimizer had chosen them."""
    space, known = chain
    other = evaluated(space, known[0].X + 0.01 * torch.randn(known[0].X.shape).double())
    found = next_geometry(space, [known[0], known[1], other, known[3]], 0.02)
    assert torch.equal(found, next_geometry(space, [known[3]], 0.02))


def test_at_rest_there_is_no_next_one(chain):
    space, known = chain
    assert next_geometry(space, known[-1:], 0.02) is None


def test_a_line_search_that_fails_ends_it(chain, monkeypatch, capsys):
    """What ASE prints of it is not for the terminal."""
    space, known = chain

    def failing(self, fmax):
        sys.stdout.write("skip update")
        raise RuntimeError("LineSearch failed!")

    monkeypatch.setattr(ase.optimize.BFGSLineSearch, "run", failing)
    assert next_geometry(space, known[:2], 0.02) is None
    assert capsys.readouterr() == ("", "")


def test_forces_that_lead_out_of_the_numbers_end_it():
    space = Cluster("Cu2")
    x = space.sample(1, torch.Generator().manual_seed(1))[0]
    lost = replace(evaluated(space, x), forces=torch.full((2, 3), torch.nan).double())
    assert next_geometry(space, [lost], 0.02) is None


CRYSTAL = Crystal("Cu3Au", pressure=20 * GPa)


def evaluated_crystal(X, number=0, stress=True, space=CRYSTAL):
    found = with_pressure_energy(EVALUATOR(space.decode(X)), space, X)
    trial = Trial(number, number, f"k{number}-1", 1, "done", "relaxation", X)
    return replace(
        trial,
        energy=found.energy,
        forces=found.forces,
        stress=found.stress if stress else None,
        properties=found.properties,
    )


def relaxed_crystal(x, n, stress=True, space=CRYSTAL):
    known = [evaluated_crystal(x, stress=stress, space=space)]
    while len(known) < n:
        X = next_geometry(space, known, 0.0)
        known.append(evaluated_crystal(X, len(known), stress=stress, space=space))
    return known


def test_atoms_and_cell_relax_together_to_the_pressure():
    (x,) = CRYSTAL.sample(1, torch.Generator().manual_seed(3))
    known = relaxed_crystal(x, 24)
    enthalpies = [trial.enthalpy for trial in known]
    assert min(enthalpies) == enthalpies[-1]
    atoms = to_ase(CRYSTAL.decode(x))[0]
    atoms.calc = EMT()
    filtered = FrechetCellFilter(atoms, scalar_pressure=20 * GPa)
    ase.optimize.BFGSLineSearch(filtered, logfile=None).run(fmax=0.01, steps=99)
    expected = atoms.get_potential_energy() + 20 * GPa * atoms.get_volume()
    assert known[-1].enthalpy == pytest.approx(expected, abs=2e-3)
    assert np.allclose(known[-1].stress[:3], -20 * GPa, atol=2e-3)
    assert known[-1].forces.norm(dim=-1).max() < 0.05


def test_without_stress_the_cell_stays():
    (x,) = CRYSTAL.sample(1, torch.Generator().manual_seed(0))
    known = relaxed_crystal(x, 12, stress=False)
    cells = CRYSTAL.decode(torch.stack([trial.X for trial in known])).cell
    assert (cells - cells[0]).abs().max() < 1e-9
    assert known[-1].forces.norm(dim=-1).max() < 0.2 * known[0].forces.norm(dim=-1).max()


OBLIQUE = np.array([[4.2, 0.3, 0.1], [1.1, 4.0, -0.2], [0.4, 0.8, 4.1]])


def test_only_what_varies_of_a_cell_relaxes():
    """As ASE's filters with `hydrostatic_strain` and with a mask do, and to the same minima."""
    swelling = Crystal("Cu3Au", cell=OBLIQUE, variable="volume")
    layer = Crystal("Cu3Au", periodic=(True, True, False), area=6.0, thickness=4.0)
    cases = (
        (Crystal("Cu3Au", cell=OBLIQUE), None),
        (swelling, {"hydrostatic_strain": True}),
        (layer, {"mask": [1, 1, 0, 0, 0, 1]}),
    )
    for space, arguments in cases:
        (x,) = space.sample(1, torch.Generator().manual_seed(3))
        atoms = to_ase(space.decode(x))[0]
        atoms.calc = EMT()
        moved = atoms if arguments is None else FrechetCellFilter(atoms, **arguments)
        ase.optimize.BFGSLineSearch(moved, logfile=None).run(fmax=0.005, steps=200)
        (end,) = space.encode(from_ase([atoms]))
        noise = torch.randn(len(end), generator=torch.Generator().manual_seed(0)).to(end)
        known = relaxed_crystal(end + 0.05 * noise, 15, space=space)
        assert known[-1].energy == pytest.approx(atoms.get_potential_energy(), abs=1e-3)
        first, last = (space.decode(trial.X).cell[0] for trial in (known[0], known[-1]))
        if space is layer:
            assert torch.equal(first[2], last[2])
            assert np.allclose(known[-1].stress[[0, 1, 5]], 0, atol=2e-3)
        else:
            scale = (torch.linalg.det(last) / torch.linalg.det(first)) ** (1 / 3)
            assert torch.allclose(last, scale * first)
            assert (space is swelling) == (abs(float(scale) - 1) > 1e-4)


def test_layers_relax_on_the_bound_of_their_thickness():
    """Copper that would be thicker comes to one minimum, where nothing within lowers the energy."""
    space = Crystal("Cu4", periodic=(True, True, False), area=3.6, thickness=1.6)
    energies = []
    for seed, n in ((1, 9), (0, 24)):
        (x,) = space.sample(1, torch.Generator().manual_seed(seed))
        known = relaxed_crystal(x, n, space=space)
        assert all(bool(space.contains(trial.X)) for trial in known)
        assert torch.equal(next_geometry(space, known[:-1], 0.0), known[-1].X)
        last = known[-1]
        window = space.thickness_window(last.X)
        z = window.heights(last.X)
        assert float(z.max() - z.min()) == pytest.approx(1.6)
        assert last.forces.norm(dim=-1).max() > 0.5
        assert window.resting_forces(last.X, last.forces).norm(dim=-1).max() < 0.02
        assert np.allclose(last.stress[[0, 1, 5]], 0, atol=2e-3)
        energies.append(last.energy)
    assert energies[0] == pytest.approx(energies[1], abs=1e-3)
