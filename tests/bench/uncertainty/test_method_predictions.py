import json
from dataclasses import dataclass, replace

import pytest
import torch

from bostruct.bench.uncertainty.method_predictions import (
    ENERGY,
    FORCES,
    Outcome,
    Part,
    identity,
    judge,
    judge_forces,
    measure,
)
from bostruct.bench.uncertainty.split import split
from bostruct.errors import LogError, ShapeError
from bostruct.surrogates import LocalGP
from bostruct.uncertainty import Prediction, Residuals
from tests.bench.uncertainty.fakes import Fake, FakeModel, dimers


def sets(**more):
    return split(dimers(60), train=10, calibrate=10, **more)


def test_errors_of_energies_are_of_an_atom_and_those_of_forces_of_a_component():
    found = measure("mine", Fake(error=0.1, claim=0.3), sets())
    energy, forces = found.parts["test", ENERGY], found.parts["test", FORCES]
    # Deviations of 0.3 or 0.6 eV of two atoms together.
    assert energy.held.std.unique().tolist() == pytest.approx([150.0, 300.0])
    assert energy.held.error.abs().median() == pytest.approx(0.6745 * 50, rel=0.8)
    assert forces.held.n == 6 * energy.held.n
    assert forces.held.std.unique().tolist() == pytest.approx([0.3, 0.6])
    assert forces.structure.tolist() == [i for i in range(28) for _ in range(6)]
    assert found.force_rmse["test"] == pytest.approx(
        float(forces.held.error.square().mean().sqrt())
    )
    assert found.failures == {}
    assert found.fit >= 0
    assert found.force_predict > 0


def test_noise_of_energies_counts():
    b = 3
    known = dimers(b)
    found = Prediction(
        mean=known.energy,
        variance=torch.full((b,), 3.0).double(),
        noise=torch.ones(b).double(),
    )
    assert judge_forces(known, found) == []
    assert judge(known, found).held.std.tolist() == pytest.approx([1000.0] * b)


def test_fixed_atoms_and_unknown_forces_are_left_out():
    known = dimers(2)
    forces = known.forces.clone()
    forces[0, 0] = torch.nan
    fixed = torch.tensor([False, True, False, False])
    known = replace(known, forces=forces, fixed=fixed)
    one = torch.ones(4, 3, dtype=torch.float64)
    found = Prediction(known.energy, one[:2, 0], one[:2, 0], one, force_variance=one)
    (part,) = judge_forces(known, found)
    assert part.structure.tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    free = replace(known, fixed=torch.ones(4, dtype=torch.bool))
    assert judge_forces(free, found) == []


def test_a_vanishing_variance_is_lifted_and_counted():
    known = dimers(3)
    variance = torch.tensor([1.0, 0.0, 4.0], dtype=torch.float64)
    held = judge(known, Prediction(known.energy, variance, 0 * variance)).held
    assert held.floored == 1
    assert held.std[1] == pytest.approx(1e-6 * 500)


def test_shapes_are_those_of_the_structures():
    known = dimers(3)
    wrong = known.energy.unsqueeze(-1)
    with pytest.raises(ShapeError, match=r"`mean` must have shape \[3\]"):
        judge(known, Prediction(wrong, wrong, wrong))


def test_without_variances_of_forces_their_error_is_known_all_the_same():
    found = measure("shy", Fake(forces=False), sets())
    assert ("test", FORCES) not in found.parts
    assert found.force_rmse["test"] > 0
    assert found.force_predict is None


def test_a_species_that_is_not_known_spoils_one_set_alone():
    gold = dimers(12, numbers=(79, 79))
    found = measure("mine", Fake(), sets(shifted={"gold": gold}))
    assert found.failures == {"gold": "`numbers` must be known, got {79}."}
    assert ("test", ENERGY) in found.parts
    assert ("gold", ENERGY) not in found.parts


def test_a_real_model_says_which_species():
    gold = dimers(12, numbers=(79, 79))
    small = LocalGP(cutoff=4.0, inducing=5)
    found = measure("gp", small, sets(shifted={"gold": gold}))
    assert "got [79]" in found.failures["gold"]
    assert ("test", FORCES) in found.parts


@dataclass(frozen=True)
class Certain:
    """Has no doubt about the forces."""

    def fit(self, structures):
        return self

    def predict(self, structures, *, force_variance=False):
        found = FakeModel(Fake()).predict(structures, force_variance=True)
        return replace(found, force_variance=0 * found.force_variance)


def test_forces_that_cannot_be_judged_do_not_spoil_the_energies():
    found = measure("certain", Certain(), sets())
    reason = "`variance` must be positive, got 0.0."
    assert found.failures["forces of test"].startswith(reason)
    assert set(found.parts) == {
        (name, ENERGY) for name in ("calibrate", "test", "high energy")
    }
    assert found.force_rmse["test"] > 0


@dataclass(frozen=True)
class Broken:
    def fit(self, structures):
        return Fake(species=()).fit(structures)


@dataclass(frozen=True)
class Refuses:
    def fit(self, structures):
        return LocalGP().fit(structures.without_results())


def test_nothing_is_said_without_a_calibration():
    found = measure("broken", Broken(), sets())
    assert found.parts == {}
    assert set(found.failures) == {"calibrate", "test", "high energy"}
    found = measure("refuses", Refuses(), sets())
    assert found.parts == {}
    assert "energy" in found.failures["test"]


def test_written_and_read_back(tmp_path):
    found = measure("mine", Fake(), sets())
    found.write(tmp_path / "a.npz")
    again = Outcome.read(tmp_path / "a.npz")
    for name in ("method", "about", "failures", "fit", "predict", "force_rmse"):
        assert getattr(again, name) == getattr(found, name)
    assert list(again.parts) == list(found.parts)
    for key, part in found.parts.items():
        assert torch.equal(again.parts[key].held.error, part.held.error)
        assert torch.equal(again.parts[key].held.variance, part.held.variance)
        assert torch.equal(again.parts[key].structure, part.structure)
    floored = Residuals(torch.ones(2), torch.ones(2), floored=1)
    one = Outcome("m", {}, {("test", ENERGY): Part(floored, torch.arange(2))})
    one.write(tmp_path / "b.npz")
    assert Outcome.read(tmp_path / "b.npz").parts["test", ENERGY].held.floored == 1


def test_refuses_other_files(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    path.write_text("nothing")
    with pytest.raises(LogError, match="could not read"):
        Outcome.read(path)
    with pytest.raises(LogError, match="could not read"):
        Outcome.read(tmp_path / "none.npz")
    monkeypatch.setattr("bostruct.bench.uncertainty.method_predictions.FORMAT", 99)
    measure("mine", Fake(), sets()).write(path)
    monkeypatch.undo()
    with pytest.raises(LogError, match="written by a newer bostruct"):
        Outcome.read(path)


class Plain:
    def fit(self, structures):
        raise NotImplementedError


def test_methods_are_told_apart():
    assert identity(LocalGP())["surrogate"] == "LocalGP"
    assert identity(LocalGP(cutoff=4.0)) != identity(LocalGP())
    assert identity(Fake(error=0.2)) != identity(Fake())
    assert identity(Plain()) == identity(Plain())
    json.dumps(identity(Plain()))
