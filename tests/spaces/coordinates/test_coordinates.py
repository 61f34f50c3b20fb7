"""Structures as a function of a few coordinates."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from numpy.typing import NDArray

import bostruct as bo
from bostruct.campaign import Log
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.report.export import images_to_export
from bostruct.campaign.report.summary import summarize
from bostruct.campaign.report.text import summary_text
from bostruct.errors import InputError, SpaceError
from bostruct.spaces import Coordinates
from bostruct.spaces.coordinates.coordinates import Coordinates as CoordinatesClass
from bostruct.testing import SpaceContract

BOUNDS = {"distance": (1.2, 2.4), "angle": (0.0, 360.0)}
SPRING_BOUNDS = {"distance": (1.0, 2.0), "angle": (0.0, 360.0)}


def bent_trimer(x: NDArray[np.float64]) -> Atoms:
    """Return three nitrogen atoms, the third turning about the second at a distance."""
    distance, angle = x
    turned = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle)), 0.0])
    return Atoms("N2O", [(0, 0, 0), (1.1, 0, 0), 1.1 * np.array([1, 0, 0]) + distance * turned])


def bent_positions(x: torch.Tensor) -> torch.Tensor:
    """Return the positions of `bent_trimer` by torch."""
    angle = torch.deg2rad(x[1])
    zero = torch.zeros_like(angle)
    second = torch.tensor([1.1, 0.0, 0.0], dtype=x.dtype)
    third = second + x[0] * torch.stack((angle.cos(), angle.sin(), zero))
    return torch.stack((torch.zeros(3, dtype=x.dtype), second, third))


def strained_copper(x: NDArray[np.float64]) -> Atoms:
    """Return a copper crystal with a variable cell."""
    return Atoms("Cu", [(0, 0, 0)], cell=np.eye(3) * x[0] + np.eye(3, k=1) * x[1], pbc=True)


class TestOfAtoms(SpaceContract):
    @pytest.fixture
    def space(self) -> Coordinates:
        return Coordinates(bent_trimer, BOUNDS, periodic=["angle"])


class TestOfPositions(SpaceContract):
    @pytest.fixture
    def space(self) -> Coordinates:
        atoms = bent_trimer(np.array([2.0, 90.0]))
        return Coordinates(bent_positions, BOUNDS, periodic="angle", atoms=atoms)


class TestOfCells(SpaceContract):
    @pytest.fixture
    def space(self) -> Coordinates:
        return Coordinates(strained_copper, {"a": (2.2, 2.8), "shear": (0.0, 0.4)})


def test_both_kinds_of_functions_agree() -> None:
    """A function of torch and one of numpy give the same positions and gradients."""
    atoms = bent_trimer(np.array([2.0, 90.0]))
    first = Coordinates(bent_trimer, BOUNDS, periodic=["angle"])
    second = Coordinates(bent_positions, BOUNDS, periodic=["angle"], atoms=atoms)
    gradients = []
    for space in (first, second):
        X = torch.tensor([[1.2, 30.0], [2.4, 359.0]], dtype=torch.float64, requires_grad=True)
        P = space.decode(X).positions
        (g,) = torch.autograd.grad((P * torch.arange(18).reshape(6, 3)).sum(), X)
        gradients.append((P.detach(), g))
    torch.testing.assert_close(gradients[0][0], gradients[1][0])
    torch.testing.assert_close(gradients[0][1], gradients[1][1], rtol=1e-8, atol=1e-8)


def test_a_period_changes_nothing() -> None:
    """X and X plus a period are one structure, and outside of no bound."""
    space = Coordinates(bent_trimer, BOUNDS, periodic=["angle"])
    X = space.sample(4, torch.Generator().manual_seed(0))
    around = X + torch.tensor([0.0, 360.0])
    assert space.contains(around).all()
    assert space.is_duplicate(X, around).all()
    torch.testing.assert_close(space.project(around), X)


def test_mirror_images_are_duplicates() -> None:
    """Two points with structures of one shape are one structure."""
    space = Coordinates(bent_trimer, BOUNDS, periodic=["angle"])
    X = torch.tensor([[1.5, 80.0], [1.5, 280.0], [1.5, 200.0]], dtype=torch.float64)
    assert space.is_duplicate(X[0], X).tolist() == [True, True, False]


def test_no_points_have_no_duplicates() -> None:
    """An empty batch compares to an empty answer."""
    space = Coordinates(bent_trimer, BOUNDS, periodic=["angle"])
    X = space.sample(3, torch.Generator().manual_seed(0))
    assert space.is_duplicate(X[:0].unsqueeze(1), X).shape == (0, 3)


def test_close_atoms_are_outside() -> None:
    """Points where atoms overlap are outside, and are not sampled."""
    space = Coordinates(bent_trimer, BOUNDS, periodic=["angle"])
    assert space.contains(torch.tensor([1.2, 180.0])).logical_not()
    any_distance = Coordinates(bent_trimer, BOUNDS, periodic=["angle"], min_distance_factor=0.0)
    assert any_distance.contains(torch.tensor([1.2, 180.0]))


@pytest.mark.parametrize("factor", [0.0, 0.7])
def test_structures_that_are_not_finite_are_outside(factor: float) -> None:
    """Where the function has no structure, no energy is asked for, whatever atoms may come near."""

    def make(x: NDArray[np.float64]) -> Atoms:
        return Atoms("N2", [(0, 0, 0), (np.sqrt(x[0]), 0, 0)])

    with np.errstate(invalid="ignore"):
        space = Coordinates(make, {"x": (-2.0, 4.0)}, min_distance_factor=factor)
        assert (space.sample(8, torch.Generator().manual_seed(0)) > 0).all()
        X = torch.tensor([[-1.0], [2.0]], dtype=torch.float64)
        assert space.contains(X).tolist() == [False, True]


def test_coordinates_that_change_the_cell() -> None:
    """A cell that the function never changes needs no stress."""
    assert Coordinates(strained_copper, {"a": (2.2, 2.8), "s": (0.0, 0.4)}).has_variable_cell
    assert not Coordinates(bent_trimer, BOUNDS).has_variable_cell

    def shifted(x: NDArray[np.float64]) -> Atoms:
        return Atoms("Cu2", [(0, 0, 0), (2.0, x[0], 0)], cell=[4, 4, 4], pbc=True)

    assert not Coordinates(shifted, {"x": (0.0, 2.0)}).has_variable_cell


def cubic_copper(x: NDArray[np.float64]) -> Atoms:
    """Return an fcc crystal of copper with a variable lattice constant."""
    return Atoms("Cu", cell=x[0] / 2 * (1 - np.eye(3)), pbc=True)


@pytest.mark.parametrize("with_stress", [True, False])
def test_cells_are_relaxed_by_the_stress(tmp_path: Path, with_stress: bool) -> None:
    """A final relaxation follows the stress; without one it does not claim to have converged."""
    log = bo.Campaign(
        space=Coordinates(cubic_copper, {"a": (3.3, 4.1)}),
        evaluator=bo.evaluators.Calculator(EMT, with_stress=with_stress),
        n_initial=1,
        stop=bo.stop.EnergyReached(1.0),
        final_relaxation=bo.FinalRelaxation(n_structures=1, fmax=0.01, max_steps=20),
    ).run(tmp_path, seed=0)
    (report,) = log.relaxations()
    assert report.converged is with_stress
    if with_stress:
        assert report.relaxed_energy == pytest.approx(-0.0070365, abs=1e-4)  # at 3.5898 Å
    else:
        assert "coordinates change the cell" in report.state
        assert report.max_force is None
        assert report.n_evaluations == 0


def test_log_keeps_the_order_of_coordinates() -> None:
    """A log sorts the keys of a description, not the coordinates."""
    space = Coordinates(bent_trimer, BOUNDS, periodic=["angle"])
    logged = json.loads(json.dumps(space.description(), sort_keys=True))
    read = CoordinatesClass.from_description(logged, space.stored_structures())
    assert read.domain.names == space.domain.names
    assert torch.equal(read.domain.upper, space.domain.upper)
    assert read.description() == space.description()


def test_log_without_the_function() -> None:
    """A space from its description compares and contains X, and says what it lacks."""
    space = Coordinates(bent_trimer, BOUNDS, periodic=["angle"])
    read = CoordinatesClass.from_description(space.description(), space.stored_structures())
    assert read.description() == space.description()
    X = space.sample(3, torch.Generator().manual_seed(0))
    assert read.contains(X).all()
    assert read.is_duplicate(X, X).all()
    with pytest.raises(SpaceError, match="`function` must be known to make structures"):
        read.decode(X)
    with pytest.raises(InputError, match="`stored` must hold a structure"):
        CoordinatesClass.from_description(space.description())


def test_another_function_is_another_space() -> None:
    """The description tells functions of one name apart by what they make."""

    def make(x: NDArray[np.float64], length: float = 1.1) -> Atoms:
        return Atoms("N2", [(0, 0, 0), (x[0] * length, 0, 0)])

    spaces = [
        Coordinates(make, {"x": (1.0, 2.0)}, arguments=arguments)
        for arguments in ({}, {"length": 1.2})
    ]
    first, second = (space.description() for space in spaces)
    assert first["function"] == second["function"]
    assert first["sha256"] != second["sha256"]


def test_refuses_structures_it_does_not_make() -> None:
    """A structure off the map, or of other atoms, is refused."""
    space = Coordinates(bent_trimer, BOUNDS, periodic=["angle"])
    structure = space.decode(torch.tensor([[1.5, 40.0]], dtype=torch.float64))
    structure.positions[0, 2] += 0.3
    with pytest.raises(InputError, match="be structures that the function makes"):
        space.encode(structure)
    other = Coordinates(strained_copper, {"a": (2.2, 2.8), "shear": (0.0, 0.4)})
    with pytest.raises(InputError, match="hold the atoms of"):
        space.encode(other.decode(torch.tensor([[2.4, 0.1]], dtype=torch.float64)))


def _fails(x: NDArray[np.float64]) -> Atoms:
    raise ZeroDivisionError("no such structure")


def fails_where_short(x: NDArray[np.float64]) -> Atoms:
    """Return `bent_trimer`, or raise an error in a part of the bounds."""
    if x[0] < 1.7 and x[1] < 180.0:
        raise ValueError("too short")
    return bent_trimer(x)


@pytest.mark.parametrize("surrogate", [None, bo.surrogates.LocalGP()])
def test_a_function_may_fail_in_a_part_of_its_bounds(
    surrogate: bo.surrogates.Surrogate | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Such points are outside, which is said once; the search goes on elsewhere."""
    space = Coordinates(fails_where_short, BOUNDS)
    bad, good = torch.tensor([[1.5, 90.0], [1.5, 270.0]], dtype=torch.float64)
    assert not space.contains(bad)
    assert space.contains(good)
    assert space.decode(bad.requires_grad_()).positions.isfinite().all()
    (gradient,) = torch.autograd.grad(space.decode(bad).positions.sum(), bad)
    assert gradient.isfinite().all()
    log = bo.Campaign(
        space=space,
        evaluator=bo.evaluators.Calculator(EMT),
        surrogate=surrogate,
        search=bo.candidates.BasinHopping(n_candidates=8, n_rounds=1, max_time_fraction=1e-9),
        stop=bo.stop.Evaluations(4),
    ).run(tmp_path, progress=False)
    assert all(trial.energy is not None for trial in log.trials())
    (told,) = [record.getMessage() for record in caplog.records if "outside" in record.message]
    assert "ValueError: too short at {'distance': " in told


def test_says_why_no_structure_can_be_made() -> None:
    """Where it fails nearly everywhere, its own error is part of the message."""

    def middle_alone(x: NDArray[np.float64]) -> Atoms:
        if abs(x[0] - 1.8) > 1e-9:
            raise ValueError("elsewhere")
        return bent_trimer(x)

    with pytest.raises(SpaceError, match=r"0 of 1 random ones.*ValueError: elsewhere"):
        Coordinates(middle_alone, BOUNDS)


def _changes(x: NDArray[np.float64]) -> Atoms:
    return Atoms("N2" if x[0] > 1.4 else "O2", [(0, 0, 0), (x[0], 0, 0)])


def _reorders(x: NDArray[np.float64]) -> Atoms:
    return Atoms("NO" if x[0] > 1.4 else "ON", [(0, 0, 0), (x[0], 0, 0)])


PAIR = Atoms("N2", [(0, 0, 0), (1.1, 0, 0)])


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("phi", {}, "`function` must be a function of coordinates"),
        (_fails, {}, "`function` must make a structure, got ZeroDivisionError"),
        (_changes, {}, "make the same atoms in the same order everywhere"),
        (_reorders, {}, "got ON at .* and NO in the middle"),
        (len, {}, "return ase.Atoms, got int"),
        (len, {"atoms": "N2"}, "`atoms` must be ase.Atoms, got 'N2'"),
        (_changes, {"atoms": PAIR}, "return the positions of `atoms`.*got Atoms. Leave out"),
        (_changes, {"arguments": [1]}, "`arguments` must be keyword arguments by name"),
        (_changes, {"bounds": {"x": "12"}}, "be a lower and an upper bound, got '12'"),
        (_changes, {"periodic": True}, "`periodic` must be names of coordinates, got True"),
        (bent_trimer, {"bounds": [(0, 1)]}, "`bounds` must map names"),
        (bent_trimer, {"bounds": {"x": 1.0}}, "be a lower and an upper bound"),
        (bent_trimer, {"bounds": {"x": (2.0, 1.0)}}, "be a finite lower bound below"),
        (bent_trimer, {"bounds": {}}, "`bounds` must name different coordinates"),
        (bent_trimer, {"periodic": ["psi"]}, "`periodic` must name coordinates of `bounds`"),
        (
            bent_trimer,
            {"bounds": {"distance": (1.8, 2.4), "angle": (0.0, 90.0)}, "periodic": ["angle"]},
            "bounds are one period apart, got angle, with different structures at 0.0 and 90.0",
        ),
        (bent_trimer, {"min_distance_factor": -1.0}, "`min_distance_factor` must be between 0"),
        (bent_trimer, {"bounds": {"distance": (0.1, 0.2), "angle": (0, 360)}}, "atoms that are"),
    ],
)
def test_refuses_invalid_arguments(function: object, options: dict, message: str) -> None:
    """Errors name the argument and the way out."""
    arguments = {"bounds": BOUNDS if function is bent_trimer else {"x": (1.0, 2.0)}} | options
    with pytest.raises((InputError, SpaceError), match=message):
        Coordinates(function, **arguments)
    space = Coordinates(bent_trimer, BOUNDS, periodic=["angle"])
    X = space.sample(1, torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="`tolerance_scale` must be positive"):
        space.is_duplicate(X, X, 0.0)


class Springs(AseCalculator):
    """Harmonic energies of the two distances from the oxygen atom, lowest where both are met."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        P, energy, forces = self.atoms.positions, 0.0, np.zeros((3, 3))
        for i, length in ((1, 1.3), (0, 2.1)):
            v = P[2] - P[i]
            r = np.linalg.norm(v)
            energy += 0.5 * (r - length) ** 2
            forces[2] -= (r - length) * v / r
            forces[i] += (r - length) * v / r
        self.results = {"energy": energy, "forces": forces}


def campaign(n: int = 10, **options: object) -> bo.Campaign:
    return bo.Campaign(
        space=Coordinates(bent_trimer, SPRING_BOUNDS, periodic=["angle"]),
        evaluator=bo.evaluators.Calculator(Springs),
        stop=bo.stop.Evaluations(n),
        search=bo.candidates.BasinHopping(n_candidates=8, n_rounds=2, max_time_fraction=1e-9),
        **options,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    campaign(24, final_relaxation=bo.FinalRelaxation(fmax=0.01, max_steps=6)).run(
        path, seed=1, progress=False
    )
    return path


def test_finds_the_minimum(folder: Path) -> None:
    """The lowest energy is that of both springs, reached by the search and a relaxation of X."""
    best = min(Log(folder).trial_records("done"), key=lambda trial: trial.energy)
    assert best.energy < 1e-3
    assert best.X[0] == pytest.approx(1.3, abs=0.05)
    angle = math.degrees(math.acos((2.1**2 - 1.1**2 - 1.3**2) / (2 * 1.1 * 1.3)))
    assert min(abs(float(best.X[1]) - a) for a in (angle, 360 - angle)) < 4.0


def test_log_alone_tells_all(folder: Path) -> None:
    """Without the function the log is shown, exported and its posteriors rebuilt."""
    log = open_log(folder)
    assert isinstance(log.space, Coordinates)
    assert not log.space.is_decodable
    assert "eV" in summary_text(summarize(log))
    structures = log.structures()
    live = Log(folder, Coordinates(bent_trimer, SPRING_BOUNDS, periodic=["angle"])).structures()
    torch.testing.assert_close(structures.positions, live.positions)
    assert [len(atoms) for atoms in images_to_export(log)] == [3]
    report = verify_log(log)
    assert not report.problems
    assert report.n_rebuilt == report.n_posteriors > 0
    assert any("no function of coordinates" in line for line in report.skipped)


def test_interrupted_is_uninterrupted(tmp_path: Path) -> None:
    """A campaign that is opened again at every step has the log of one that is not."""
    campaign(6).run(tmp_path / "once", seed=2, progress=False)
    for n in (2, 4, 6):
        campaign(n).run(tmp_path / "often", seed=2, progress=False)
    first, second = (Log(tmp_path / name).trial_records() for name in ("once", "often"))
    assert [trial.energy for trial in first] == [trial.energy for trial in second]
    assert all(torch.equal(a.X, b.X) for a, b in zip(first, second, strict=True))


def test_batches_and_ask_tell(tmp_path: Path) -> None:
    """Two candidates at a time are different structures."""
    campaign(7, batch_size=2).run(tmp_path, seed=0, progress=False)
    X = torch.stack([trial.X for trial in Log(tmp_path).trial_records()])
    space = Coordinates(bent_trimer, SPRING_BOUNDS, periodic=["angle"])
    same = space.is_duplicate(X.unsqueeze(1), X, tolerance_scale=1e-3)
    assert int(same.sum()) == len(X)
