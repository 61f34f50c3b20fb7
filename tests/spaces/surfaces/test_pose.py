"""Poses of a molecule on a slab."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ase import Atoms
from ase.build import fcc111, molecule
from ase.calculators.emt import EMT
from torch import Tensor

import bostruct as bo
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.report.landscape import Landscape
from bostruct.errors import InputError, SpaceError
from bostruct.spaces import Pose
from bostruct.spaces.coordinates.rotation_vectors import from_quaternions
from bostruct.spaces.molecules.rotations import rotation_matrices
from bostruct.spaces.molecules.superposition import optimal_quaternions
from bostruct.structures import from_ase, to_ase
from bostruct.surrogates import CoordinateGP
from bostruct.surrogates.coordinate_gp.projected_forces import energy_gradients
from bostruct.testing import SpaceContract, SurrogateContract, seeded_generator
from bostruct.testing.central_differences import assert_gradient


def copper(*size: int, vacuum: float = 8.0) -> Atoms:
    """Return Cu(111) in its hexagonal, oblique cell."""
    return fcc111("Cu", size, vacuum=vacuum)


CO = Pose("CO", on=copper(2, 2, 2))
WATER = Pose("H2O", on=copper(2, 2, 2))
METHANOL = Pose("CH3OH", on=copper(3, 3, 2), torsions="all")
ATOM = Pose("N", on=copper(1, 1, 3))


class TestOfWater(SpaceContract):
    @pytest.fixture
    def space(self) -> Pose:
        return WATER


class TestOfCarbonMonoxide(SpaceContract):
    @pytest.fixture
    def space(self) -> Pose:
        return CO


class TestOfMethanol(SpaceContract):
    @pytest.fixture
    def space(self) -> Pose:
        return METHANOL


class TestOfAnAtom(SpaceContract):
    @pytest.fixture
    def space(self) -> Pose:
        return ATOM


def energy(space: Pose, X: Tensor) -> Tensor:
    """Return an energy of the positions that depends on all of them, `[n]` eV."""
    a = len(space.numbers)
    P = space.decode(X).positions.reshape(len(X), a, 3)[:, -len(space.molecule) :]
    L = space.slab.cell[0]
    phase = 2 * math.pi * P @ torch.linalg.inv(L)
    waves = (phase[..., 0].cos() + (phase[..., 1] - 0.4).sin()) * 0.1
    weight = torch.linspace(1, 2, P.shape[1], dtype=torch.float64)
    return ((waves + 0.02 * (P[..., 2] - 12).square()) * weight).sum(-1)


def labelled(space: Pose, X: Tensor):
    """Return structures with this energy and its forces."""
    structures = space.decode(X)
    leaf = structures.positions.clone().requires_grad_()
    a, f = len(space.numbers), len(space.molecule)
    phase = 2 * math.pi * leaf @ torch.linalg.inv(space.slab.cell[0])
    waves = (phase[:, 0].cos() + (phase[:, 1] - 0.4).sin()) * 0.1
    weight = torch.cat((torch.zeros(a - f), torch.linspace(1, 2, f, dtype=torch.float64)))
    total = ((waves + 0.02 * (leaf[:, 2] - 12).square()).reshape(-1, a) * weight).sum(-1)
    (slope,) = torch.autograd.grad(total.sum(), leaf)
    return replace(structures, energy=total.detach(), forces=-slope)


class TestSurrogateOfWater(SurrogateContract):
    symmetric = False

    @pytest.fixture
    def surrogate(self) -> CoordinateGP:
        return CoordinateGP()

    @pytest.fixture
    def space(self) -> Pose:
        return WATER

    @pytest.fixture
    def data(self):
        return labelled(WATER, WATER.sample(6, seeded_generator(0)))


def equal_poses(space: Pose, X: Tensor) -> Tensor:
    """Return other coordinates of the same structures."""
    other = X.clone()
    other[:, 0] += 1
    other[:, 1] -= 2
    v = X[:, 3:6]
    other[:, 3:6] = v * (1 - 2 * math.pi / torch.linalg.vector_norm(v, dim=-1, keepdim=True))
    return other


@pytest.mark.parametrize("space", [WATER, CO, METHANOL])
def test_equal_poses_are_one(space: Pose) -> None:
    """They are duplicates, projected onto each other, and have equal posteriors."""
    X = space.sample(6, seeded_generator(2))
    other = equal_poses(space, X)
    assert space.is_duplicate(X, other, 1e-3).all()
    torch.testing.assert_close(space.project(other), X, rtol=0, atol=1e-9)
    assert space.domain.difference(other, X).abs().max() < 1e-9
    model = CoordinateGP().fit(labelled(space, space.sample(5, seeded_generator(0))), space)
    first, second = (model.posterior(x.unsqueeze(-2)) for x in (X, other))
    torch.testing.assert_close(first.mean, second.mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(first.variance, second.variance, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("length", [0.0, 1e-4, 1.0, math.pi - 1e-5, math.pi, math.pi + 0.3])
@pytest.mark.parametrize("space", [WATER, METHANOL])
def test_forces_are_projected_exactly(space: Pose, length: float) -> None:
    """dE/dX is that of central differences, at no rotation and about π too."""
    X = space.sample(2, seeded_generator(1))
    X[:, 3:6] = length * torch.nn.functional.normalize(X[:, 3:6], dim=-1)
    found = energy_gradients(space, X, labelled(space, X))
    assert_gradient(lambda X: energy(space, X).sum(), X, found)


def test_turn_about_the_axis_of_a_linear_molecule_is_none() -> None:
    """CO turned about C-O is the same structure, of one point and one posterior."""
    X = CO.sample(5, seeded_generator(0))
    axis = CO.domain.rotation.directions[:, 0]
    R = rotation_matrices(CO.domain.rotation.of(X))
    spun = R @ rotation_matrices(1.3 * axis)
    q = optimal_quaternions(torch.eye(3).double().expand(5, 3, 3), spun.transpose(-1, -2))
    other = CO.domain.rotation.put(X, from_quaternions(q[:, 0], q[:, 1:]))
    assert (other - X).abs().max() > 0.3
    torch.testing.assert_close(
        CO.decode(other).positions, CO.decode(X).positions, rtol=0, atol=1e-9
    )
    torch.testing.assert_close(CO.project(other), X, rtol=0, atol=1e-9)
    assert CO.is_duplicate(other, X, 1e-3).all()
    model = CoordinateGP().fit(labelled(CO, CO.sample(5, seeded_generator(3))), CO)
    first, second = (model.posterior(x.unsqueeze(-2)).mean for x in (X, other))
    torch.testing.assert_close(first, second, rtol=1e-8, atol=1e-8)


def test_place_height_and_orientation_are_those_of_the_atoms() -> None:
    """The center is at fractions of the cell, at its height, and no rotation is the geometry."""
    slab = copper(3, 2, 2)
    space = Pose("H2O", on=slab, height=(3.0, 5.0))
    x = torch.tensor([0.25, 0.6, 3.5, 0.0, 0.0, 0.0], dtype=torch.float64)
    atoms = to_ase(space.decode(x))[0]
    center = atoms.positions[-3:].mean(0)
    expected = 0.25 * slab.cell[0] + 0.6 * slab.cell[1]
    assert center[:2] == pytest.approx(expected[:2])
    assert center[2] == pytest.approx(slab.positions[:, 2].max() + 3.5)
    given = molecule("H2O").positions
    assert atoms.positions[-3:] - center == pytest.approx(given - given.mean(0), abs=2e-6)
    assert len(atoms.constraints[0].index) == len(slab)
    assert space.height == (3.0, 5.0)


def test_encodes_atoms_of_other_images() -> None:
    """A molecule cut by the cell, as a code wraps it, is put together."""
    X = WATER.sample(6, seeded_generator(4))
    images = to_ase(WATER.decode(X))
    for atoms in images:
        atoms.positions += atoms.cell[0]
        atoms.wrap()
    torch.testing.assert_close(WATER.encode(from_ase(images)), X, rtol=0, atol=1e-9)


def test_symmetric_sites_are_one() -> None:
    """The three equal hollows about a top atom are one structure, fcc and hcp are not."""
    third = 1 / 6  # of a 2 x 2 cell of three layers
    space = Pose("CO", on=copper(2, 2, 3), height=(1.5, 4.0))
    up = space.sample(1, seeded_generator(0))[0]
    upright = torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64)
    at = [(third, third), (third + 0.5, third), (third, third + 0.5), (2 * third, 2 * third)]
    X = torch.stack([torch.cat((torch.tensor(p).double(), upright[2:], up[3:])) for p in at])
    same = space.is_duplicate(X[:1], X)
    assert same.tolist() == [True, True, True, False]


def test_atoms_that_are_too_close_are_outside() -> None:
    """A molecule inside the slab or in its images is no pose."""
    x = WATER.sample(1, seeded_generator(0))
    low = x.clone()
    low[:, 2] = WATER.height[0] - 0.5
    assert WATER.contains(torch.cat((x, low))).tolist() == [True, False]
    lying = Pose("CO", on=copper(1, 1, 2))
    X = lying.sample(40, seeded_generator(0))
    upright = rotation_matrices(lying.domain.rotation.of(X)) @ lying.domain.rotation.directions
    assert len(X) == 40
    assert upright.shape == (40, 3, 1)
    for atoms in to_ase(lying.decode(X[:10])):
        D = atoms.repeat((3, 3, 1)).get_all_distances()
        carbon, oxygen = (
            [k for k, s in enumerate(atoms.repeat((3, 3, 1)).symbols) if s == symbol]
            for symbol in "CO"
        )
        pairs = sorted(D[c][o] for c in carbon for o in oxygen)
        assert pairs[9] > 1.6  # after nine molecules


def test_a_pose_needs_room() -> None:
    """A molecule larger than the cell, and a slab without vacuum, are refused with the way out."""
    with pytest.raises(SpaceError, match=r"C6H6, 4\.96 Å long, .* slab\.repeat\(\(4, 4, 1\)\)"):
        Pose("C6H6", on=copper(1, 1, 2))
    assert Pose("C6H6", on=copper(4, 4, 2)).dimension == 6
    with pytest.raises(SpaceError, match=r"Try slab\.center\(vacuum="):
        Pose("C6H6", on=copper(4, 4, 2, vacuum=2.0))
    with pytest.raises(SpaceError, match="`slab` must end"):
        Pose("CO", on=copper(2, 2, 2), height=(1.0, 30.0))
    with pytest.raises(SpaceError, match="`height` must leave room for C6H6"):
        Pose("C6H6", on=copper(4, 4, 2), height=(0.1, 0.2))
    for height in ((3.0,), (3.0, 2.0), (-3.0, -2.0), "high"):
        with pytest.raises(InputError, match="`height` must be a"):
            Pose("CO", on=copper(2, 2, 2), height=height)


def test_refuses_other_structures() -> None:
    """Another geometry, and a slab that has moved, are no poses."""
    good = WATER.decode(WATER.sample(1, seeded_generator(0)))
    bent = good.positions.clone()
    bent[-1] += 0.3
    with pytest.raises(InputError, match="hold H2O with its geometry and order of atoms"):
        WATER.encode(replace(good, positions=bent))
    bent = good.positions.clone()
    bent[0] += 0.5
    with pytest.raises(InputError, match="an atom at the place of every fixed one"):
        WATER.encode(replace(good, positions=bent))
    with pytest.raises(InputError, match="`stored` must hold the slab"):
        Pose.from_description(WATER.description())


NARROW = Pose("CO", on=copper(2, 2, 2, vacuum=3.5))


@pytest.mark.parametrize("space", [CO, METHANOL, ATOM, NARROW])
def test_log_has_the_molecule_and_the_slab(space: Pose) -> None:
    """The space of a description is the same."""
    read = Pose.from_description(space.description(), space.stored_structures())
    assert read.description() == space.description()
    X = space.sample(3, seeded_generator(0))
    assert torch.equal(read.decode(X).positions, space.decode(X).positions)
    assert repr(read) == repr(space)


def campaign(space: Pose, n: int) -> bo.Campaign:
    return bo.Campaign(
        space=space,
        evaluator=bo.evaluators.Calculator(EMT),
        search=bo.candidates.BasinHopping(n_candidates=8, n_rounds=2, max_time_fraction=1e-9),
        stop=bo.stop.Evaluations(n),
    )


def emt_energies(space: Pose, X: Tensor) -> list[float]:
    """Return the energies of poses, eV."""
    found = []
    for atoms in to_ase(space.decode(X)):
        atoms.calc = EMT()
        found.append(atoms.get_potential_energy())
    return found


def test_campaign_finds_the_best_site(tmp_path: Path) -> None:
    """Nitrogen comes below all points of a grid of sites and heights in a dozen energies."""
    space = Pose("N", on=copper(1, 1, 2))
    place = torch.arange(6, dtype=torch.float64) / 6
    height = torch.linspace(*space.height, 12, dtype=torch.float64)
    grid = torch.cartesian_prod(place, place, height)
    best = min(emt_energies(space, grid[space.contains(grid)]))
    log = campaign(space, 12).run(tmp_path, seed=0, progress=False)
    assert min(trial.energy for trial in log.trial_records("done")) < best


def test_log_tells_all(tmp_path: Path) -> None:
    """A run that was stopped is continued as if it had not been, and is verified without the file.

    The landscape over the place is periodic.
    """
    space = Pose("CO", on=copper(2, 2, 2))
    whole = campaign(space, 6).run(tmp_path / "whole", seed=1, progress=False)
    campaign(space, 4).run(tmp_path / "parts", seed=1, progress=False)
    parts = campaign(space, 6).run(tmp_path / "parts", seed=1, progress=False)
    for first, second in zip(whole.trial_records(), parts.trial_records(), strict=True):
        assert torch.equal(first.X, second.X)
    log = open_log(tmp_path / "parts")
    assert isinstance(log.space, Pose)
    assert verify_log(log).is_valid
    for trial in log.trial_records("done"):
        assert emt_energies(log.space, trial.X) == pytest.approx([trial.energy])
    found = Landscape.from_log(log, ["u", "v"])
    assert found.energy.shape == (73, 73)
    torch.testing.assert_close(found.energy[0], found.energy[-1], rtol=0, atol=1e-6)
    assert found.minima
