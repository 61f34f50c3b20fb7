"""One scale from the data: in other units a campaign asks for the same structures.

Factors are powers of two, so that floating point is exact and structures are equal to the last bit;
for a shift of the zero of energies they are so to rounding.
"""

from types import SimpleNamespace

import pytest
import torch
from ase.build import fcc100
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from bostruct import Constraint
from bostruct.acquisition import LogExpectedImprovement, LowerConfidenceBound
from bostruct.campaign import Campaign, stop
from bostruct.campaign.planning.search_scale import scaled_search
from bostruct.candidates import BasinHopping, EvolutionarySearch
from bostruct.evaluators import Function
from bostruct.spaces import Cluster, Surface
from bostruct.structures.problem_scale import ProblemScale
from tests.campaign import alloys

RADII = {"Ar": 0.56, "Kr": 0.62, "Au": 1.36, "Ni": 1.24}
N_EVALUATIONS = 4
SMALL = BasinHopping(n_candidates=6, n_rounds=2, max_steps=8)


def energy_and_forces(atoms, kind, c, s, constants):
    """Return c E(R / s) + sum of constants n, and the forces."""
    atoms = atoms.copy()
    numbers = atoms.get_chemical_symbols()
    atoms.set_cell(atoms.cell.array / s, scale_atoms=False)
    atoms.set_positions(atoms.positions / s, apply_constraint=False)
    atoms.set_constraint()
    if kind == "emt":
        atoms.calc = EMT()
    else:
        atoms.calc = LennardJones(sigma=1.0, epsilon=1.0, rc=100.0, smooth=False)
    shift = sum(constants.get(symbol, 0.0) for symbol in numbers)
    return c * atoms.get_potential_energy() + shift, c / s * atoms.get_forces()


def cluster(formula, kind, s):
    radii = {symbol: s * radius for symbol, radius in RADII.items() if symbol in formula}
    return Cluster(formula, atomic_radii=radii)


def surface(adsorbate, kind, s):
    slab = fcc100("Au", (2, 2, 2), vacuum=6.0)
    slab.set_cell(s * slab.cell.array, scale_atoms=False)
    slab.positions *= s
    return Surface(slab, adsorbate, atomic_radii={k: s * RADII[k] for k in ("Au", "Ni")})


CASES = {
    "rare gas": (cluster, "Ar6", "lj"),
    "two species": (cluster, "Ni2Au3", "emt"),
    "surface": (surface, "Ni2", "emt"),
}


def campaign(folder, case, c=1.0, s=1.0, constants=None, n=N_EVALUATIONS):
    """Return the trials of a campaign with all defaults but a small search."""
    make, formula, kind = CASES[case]
    arguments = {"kind": kind, "c": c, "s": s, "constants": constants or {}}
    mine = Campaign(
        make(formula, kind, s),
        Function(energy_and_forces, arguments),
        search=SMALL,
        stop=stop.Evaluations(n),
    )
    return mine.run(folder / f"{case}-{c}-{s}-{constants}", seed=1, device="cpu").trials()


class Unscaled(dict):
    """Trials of the campaigns in eV and Å, each made when a test needs it."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def __missing__(self, case):
        self[case] = campaign(self.folder, case)
        return self[case]


@pytest.fixture(scope="module")
def unscaled(tmp_path_factory):
    return Unscaled(tmp_path_factory.mktemp("unscaled"))


@pytest.mark.parametrize(
    ("case", "power"),
    [
        ("rare gas", 7),
        pytest.param("rare gas", -7, marks=pytest.mark.slow),
        pytest.param("surface", 7, marks=pytest.mark.slow),
    ],
)
def test_energies_in_another_unit_lead_to_the_same_structures(tmp_path, unscaled, case, power):
    c = 2.0**power
    found = campaign(tmp_path, case, c=c)
    for mine, other in zip(unscaled[case], found, strict=True):
        assert torch.equal(mine.X, other.X)
        if mine.mean is not None:
            assert other.mean == c * mine.mean
            assert other.predictive_variance == c**2 * mine.predictive_variance


@pytest.mark.parametrize(
    "case", ["rare gas", "two species", pytest.param("surface", marks=pytest.mark.slow)]
)
def test_lengths_in_another_unit_lead_to_the_same_structures(tmp_path, unscaled, case):
    found = campaign(tmp_path, case, s=4.0)
    for mine, other in zip(unscaled[case], found, strict=True):
        assert torch.equal(4.0 * mine.X, other.X)
        assert other.mean == mine.mean


@pytest.mark.parametrize("c", [0.01, 100.0])
def test_units_that_round_lead_to_the_same_structures(tmp_path, unscaled, c):
    """One step: searches amplify rounding, as trajectories do."""
    found = campaign(tmp_path, "rare gas", c=c, n=3)
    for mine, other in zip(unscaled["rare gas"], found, strict=False):
        torch.testing.assert_close(mine.X, other.X, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("case", "constants"),
    [
        ("rare gas", {"Ar": -1e6 / 6}),
        ("two species", {"Ni": -1300.0, "Au": -900.0}),
        pytest.param("surface", {"Ni": -1300.0, "Au": -900.0}, marks=pytest.mark.slow),
    ],
)
def test_another_zero_of_energies_leads_to_the_same_structures(tmp_path, unscaled, case, constants):
    """Energies of atoms as codes of all electrons have them, and totals of -10⁶ eV; one step."""
    found = campaign(tmp_path, case, constants=constants, n=3)
    shift = found[0].energy - unscaled[case][0].energy
    for mine, other in zip(unscaled[case], found, strict=False):
        torch.testing.assert_close(mine.X, other.X, rtol=0, atol=1e-4)
        if other.mean is not None:
            assert other.mean - shift == pytest.approx(mine.mean, abs=1e-5)


class Scaled(alloys.Alloy):
    """Alloy with another unit of energy."""

    def __init__(self, c):
        super().__init__()
        self.c = c

    def __call__(self, structures):
        found = super().__call__(structures)
        found.properties["enthalpy"] *= self.c
        return found


@pytest.mark.parametrize("c", [2.0**-7, 2.0**7])
def test_an_objective_in_another_unit_leads_to_the_same_members(tmp_path, c):
    found = []
    for unit in (1.0, c):
        mine = alloys.campaign(
            evaluator=Scaled(unit),
            constraints=(Constraint("enthalpy", upper=-0.01 * unit),),
            stop=stop.Evaluations(7),
        )
        log = mine.run(tmp_path / str(unit), seed=2, device="cpu")
        found.append(torch.stack([trial.X for trial in log.trials()]))
    assert torch.equal(*found)


def step_with(search, acquisition, radius=1.5):
    space = SimpleNamespace(atomic_radii=torch.full((3,), radius, dtype=torch.float64))
    components = SimpleNamespace(space=space)
    return SimpleNamespace(search=search, acquisition=acquisition, components=components)


def test_tolerances_are_in_the_scale_of_the_values():
    scale = ProblemScale(energy=20.0, length=2.0)
    energies = scaled_search(step_with(BasinHopping(), LowerConfidenceBound()), scale)
    assert energies == BasinHopping().with_scale(20.0, 2.0)
    logarithms = scaled_search(step_with(BasinHopping(), LogExpectedImprovement()), scale)
    assert logarithms == BasinHopping().with_scale(1.0, 2.0)
    ranks = scaled_search(step_with(EvolutionarySearch(), LogExpectedImprovement()), None)
    assert ranks == EvolutionarySearch().with_scale(1.0, 3.0)


def test_a_search_without_a_scale_stays_as_it_is():
    other = object()
    assert scaled_search(step_with(other, LowerConfidenceBound()), ProblemScale(1.0, 1.0)) is other
