import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import fcc111
from ase.calculators.lj import LennardJones
from ase.collections import g2

from bostruct.campaign import Campaign, stop
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.planning import radius_correction, step_planner
from bostruct.campaign.planning.feasibility import structure_features
from bostruct.campaign.planning.radius_correction import (
    CONTACT_RANGE,
    FACTOR_RANGE,
    correct_radii,
    element_radii,
    logged_radius_factors,
    nearest_contacts,
    with_radius_factors,
)
from bostruct.campaign.records import Step, Trial
from bostruct.campaign.report.summary import summarize
from bostruct.campaign.report.text import final_text, summary_text
from bostruct.candidates import BasinHopping
from bostruct.evaluators import Calculator
from bostruct.spaces import Cluster, Surface
from bostruct.structures import from_ase

MOLECULES = [name for name in g2.names if len(g2[name]) > 1]


def trials(space, *images, energies=None):
    X = space.encode(from_ase(list(images)))
    energies = range(len(images)) if energies is None else energies
    return [
        Trial(k, k, f"{k}", 1, "done", "random", x, energy=float(energy))
        for k, (x, energy) in enumerate(zip(X, energies, strict=True))
    ]


def tetrahedron(symbols, bond):
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return Atoms(symbols, bond / np.sqrt(8) * corners)


def correct(space, *images, factors=None, **arguments):
    return correct_radii(space, trials(space, *images, **arguments), factors or {})


def test_radii_of_molecules_fit():
    """With covalent radii, in their experimental geometries, for every element."""
    for name in MOLECULES:
        atoms = g2[name]
        space = Cluster(atoms.get_chemical_formula())
        assert correct(space, atoms, atoms, atoms) == {}, name


def test_the_sets_of_many_wrong_elements_are_not_all_tried(monkeypatch):
    symbols, fits = "AgAlAuCoCrCuFeIrNiPdPtRh", []
    space = Cluster(symbols, atomic_radii=dict.fromkeys(re.findall("[A-Z][a-z]", symbols), 0.3))
    X = 4 * space.sample(3, torch.Generator().manual_seed(0))
    known = [Trial(k, k, f"{k}", 1, "done", "random", x, energy=0.0) for k, x in enumerate(X)]
    fit = radius_correction._fit_radii
    monkeypatch.setattr(radius_correction, "_fit_radii", lambda *a: fits.append(a) or fit(*a))
    assert len(correct_radii(space, known, {})) > 8
    assert len(fits) <= radius_correction.MAX_SUBSETS + 1


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.6, 2.5])
def test_contacts_of_the_lowest_structures_correct_a_radius(factor):
    space = Cluster("Ar4")
    radius = element_radii(space)["Ar"]
    bond = factor * 2 * radius
    factors = correct(space, *(tetrahedron("Ar4", s * bond) for s in (1, 1.02, 0.98)))
    assert factors == {"Ar": pytest.approx(factor, rel=0.01)}
    corrected = with_radius_factors(space, factors)
    X = space.encode(from_ase([tetrahedron("Ar4", bond)]))
    assert corrected.contains(X).all()
    assert nearest_contacts(corrected, X, element_radii(corrected)).ratios()["Ar"] == pytest.approx(
        1, rel=0.01
    )


def test_atoms_out_of_reach_are_no_contacts():
    """The lowest structures of a search may be dissociated ones: no force acts on these."""
    space = Cluster("C4")
    apart = trials(space, *(tetrahedron("C4", d) for d in (4.0, 5.0, 6.0)))
    assert correct_radii(space, apart, {}) != {}
    rounding = torch.full((4, 3), 4e-15, dtype=torch.float64)
    free = [replace(trial, forces=rounding) for trial in apart]
    assert correct_radii(space, free, {}) == {}
    bonded = trials(space, *(tetrahedron("C4", d) for d in (1.5, 1.6, 1.4)))
    assert correct_radii(space, free + [replace(t, energy=9.0) for t in bonded], {}) == {}


def test_lengths_have_no_unit():
    """Radii and structures scaled alike have equal factors."""
    factors = []
    for scale in (1.0, 0.01, 40.0):
        space = Cluster("Au2Cu2", atomic_radii={"Au": 1.36 * scale, "Cu": 1.32 * scale})
        images = [tetrahedron("Au2Cu2", s * scale) for s in (1.8, 1.85, 1.75)]
        factors.append(correct(space, *images))
    assert set(factors[0]) == {"Au", "Cu"}
    for other in factors[1:]:
        assert other == {name: pytest.approx(value) for name, value in factors[0].items()}


def test_only_the_radius_that_does_not_fit_changes():
    space = Cluster("Ar2Cu2", atomic_radii={"Ar": 4.0})
    positions = [[0, 0, 0], [2.6, 0, 0], [-2.5, 2, 0], [5.1, -2, 0]]
    image = Atoms("Cu2Ar2", positions)
    factors = correct(space, image, image, image)
    argon = float(np.hypot(2.5, 2)) - 1.32
    assert factors == {"Ar": pytest.approx(argon / 4.0, rel=0.01)}


def test_one_strange_structure_is_no_evidence():
    space = Cluster("Cu4")
    fit, tight = tetrahedron("Cu4", 2.5), tetrahedron("Cu4", 1.6)
    assert correct(space, tight, fit, fit) == {}
    assert correct(space, tight, tight) == {}
    assert set(correct(space, tight, tight, fit)) == {"Cu"}
    assert correct(space, fit, fit, fit, tight, tight, tight) == {}
    doubted = trials(space, tight, tight, fit, fit, fit)
    doubted[:2] = [Trial(**{**vars(t), "doubt": "too low"}) for t in doubted[:2]]
    assert correct_radii(space, doubted, {}) == {}


def test_a_factor_stays_until_it_no_longer_fits():
    space = Cluster("Cu4")
    near = [tetrahedron("Cu4", bond) for bond in (2.1, 2.15, 2.05)]
    assert correct(space, *near) == {}
    assert correct(space, *near, factors={"Cu": 0.75}) == {"Cu": 0.75}
    far = [tetrahedron("Cu4", 1.4)] * 3
    again = correct(space, *far, factors={"Cu": 0.75})
    assert again == {"Cu": pytest.approx(1.4 / 2.64, rel=0.01)}


def test_a_collapse_has_an_end():
    space = Cluster("Cu4")
    tiny = [tetrahedron("Cu4", 0.1)] * 3
    assert correct(space, *tiny) == {"Cu": FACTOR_RANGE[0]}


def test_a_sphere_that_was_given_has_no_room_for_larger_atoms():
    space = Cluster("Cu4", radius=1.7)
    assert correct(space, *[tetrahedron("Cu4", 3.9)] * 3) == {}
    assert set(correct(Cluster("Cu4"), *[tetrahedron("Cu4", 3.9)] * 3)) == {"Cu"}


def test_spaces_without_such_radii_stay():
    space = Surface(fcc111("Cu", (2, 2, 2), vacuum=8.0), "Ni")
    X = space.sample(3, torch.Generator().manual_seed(0))
    known = [Trial(k, k, f"{k}", 1, "done", "random", x, energy=0.0) for k, x in enumerate(X)]
    assert correct_radii(space, known, {}) == {}
    assert with_radius_factors(space, {"Ni": 2.0}) is space


def test_factors_are_read_from_the_last_model_step():
    model = Step(3, "model", (), {"noise": 1.0, "radius_factor_Cu": 0.7}, {})
    relaxation = Step(4, "relaxation", (), {}, {})
    assert logged_radius_factors([model, relaxation]) == {"Cu": 0.7}
    assert logged_radius_factors([relaxation]) == {}
    assert logged_radius_factors([model, Step(5, "model", (), {"noise": 1.0}, {})]) == {}


BOND = 2 * 1.32


def lennard_jones(factor):
    """Return the potential whose bonds are a multiple of the sum of covalent radii of copper."""
    sigma = factor * BOND / 2 ** (1 / 6)
    return LennardJones(sigma=sigma, epsilon=1.0, rc=1000.0, smooth=False)


def campaign(factor, n):
    return Campaign(
        Cluster("Cu7"),
        Calculator(lennard_jones, factor=factor),
        # The effort, else, follows the wall time of evaluations, another one in another run.
        search=BasinHopping(n_candidates=16, n_rounds=2, max_steps=40, max_time_fraction=1e-9),
        stop=stop.Evaluations(n),
    )


@pytest.mark.slow
def test_atoms_much_smaller_than_their_radii(tmp_path):
    """Bonds at the minimum distance: the minimum is found beyond it, and the log says so."""
    log = campaign(0.7, 8).run(tmp_path / "run", progress=False)
    factors = logged_radius_factors(log.steps())
    assert 0.6 < factors["Cu"] < CONTACT_RANGE[1]
    best = min(log.trials("done"), key=lambda trial: trial.energy)
    assert best.energy == pytest.approx(-16.505384, abs=0.1)
    assert not log.space.contains(best.X)
    assert with_radius_factors(log.space, factors).contains(best.X)
    read = open_log(tmp_path / "run")
    assert verify_log(read).is_valid
    (sentence,) = summarize(read).diagnoses
    assert f'`atomic_radii={{"Cu": {1.32 * factors["Cu"]:.3g}}}`' in sentence
    assert f"warning      {sentence}" in summary_text(summarize(read))
    assert f"Warning: {sentence}" in final_text(summarize(read))
    assert summarize(read).to_json()["diagnoses"] == [sentence]

    (lowest,) = campaign(0.7, 8).relax_minima(tmp_path / "run", 1e-3, progress=False).minima
    assert lowest.is_relaxed
    assert lowest.energy == pytest.approx(-16.505384, abs=1e-3)
    assert lowest.energy_above == 0.0
    for n in (5, 8):  # interrupted in between
        again = campaign(0.7, n).run(tmp_path / "again", progress=False)
    for one, other in zip(log.trials(), again.trials(), strict=True):
        assert torch.equal(one.X, other.X)
    assert logged_radius_factors(again.steps()) == factors


def test_features_of_earlier_structures_follow_the_radii(tmp_path, monkeypatch):
    """As after an interruption, where they are computed anew."""
    plan_step, radii = step_planner.plan_step, []

    def planned(step, trials):
        space = step.components.space
        if trials:
            kept = step.columns.each(
                "features", trials, lambda trial: structure_features(space, trial.X[None])[0]
            )
            new = [structure_features(space, trial.X[None])[0] for trial in trials]
            assert torch.equal(torch.stack(kept), torch.stack(new))
        radii.append(float(space.atomic_radii[0]))
        return plan_step(step, trials)

    monkeypatch.setattr(step_planner, "plan_step", planned)
    campaign(0.7, 8).run(tmp_path / "run", progress=False)
    assert len(set(radii)) > 1


@pytest.mark.slow
def test_atoms_much_larger_than_their_radii(tmp_path):
    log = campaign(1.6, 25).run(tmp_path / "run", progress=False)
    factors = logged_radius_factors(log.steps())
    assert 1.35 < factors["Cu"] < 1.7
    best = min(trial.energy for trial in log.trials("done"))
    assert best == pytest.approx(-16.505384, abs=0.1)
