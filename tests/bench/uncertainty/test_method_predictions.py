import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from bostruct.bench.uncertainty.method_predictions import (
    ENERGY,
    FORCES,
    MethodPredictions,
    SetResiduals,
    describe_method,
    energy_residuals,
    evaluate_method,
    force_residuals,
)
from bostruct.bench.uncertainty.split import split_structures
from bostruct.errors import LogError, ShapeError
from bostruct.surrogates import LocalGP
from bostruct.uncertainty import Prediction, Residuals
from tests.bench.uncertainty.fakes import Fake, FakeModel, dimers


def sets(**more):
    return split_structures(dimers(60), n_train=10, n_calibrate=10, **more)


def test_errors_of_energies_are_of_an_atom_and_those_of_forces_of_a_component():
    found = evaluate_method("mine", Fake(error=0.1, claim=0.3), sets())
    energy, forces = (found.set_residuals["test", ENERGY], found.set_residuals["test", FORCES])
    # Deviations of 0.3 or 0.6 eV of two atoms together.
    assert energy.residuals.std.unique().tolist() == pytest.approx([150.0, 300.0])
    assert energy.residuals.error.abs().median() == pytest.approx(0.6745 * 50, rel=0.8)
    assert forces.residuals.n_points == 6 * energy.residuals.n_points
    assert forces.residuals.std.unique().tolist() == pytest.approx([0.3, 0.6])
    assert forces.structure_index.tolist() == [i for i in range(28) for _ in range(6)]
    assert found.force_rmse["test"] == pytest.approx(
        float(forces.residuals.error.square().mean().sqrt())
    )
    assert found.failures == {}
    assert found.fit_seconds >= 0
    assert found.force_predict_seconds > 0


def test_noise_of_energies_counts():
    b = 3
    known = dimers(b)
    found = Prediction(
        mean=known.energy,
        variance=torch.full((b,), 3.0).double(),
        noise_variance=torch.ones(b).double(),
    )
    assert force_residuals(known, found) == []
    assert energy_residuals(known, found).residuals.std.tolist() == pytest.approx([1000.0] * b)


def test_fixed_atoms_and_unknown_forces_are_left_out():
    known = dimers(2)
    forces = known.forces.clone()
    forces[0, 0] = torch.nan
    fixed = torch.tensor([False, True, False, False])
    known = replace(known, forces=forces, fixed=fixed)
    one = torch.ones(4, 3, dtype=torch.float64)
    found = Prediction(known.energy, one[:2, 0], one[:2, 0], one, force_variance=one)
    (part,) = force_residuals(known, found)
    assert part.structure_index.tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    free = replace(known, fixed=torch.ones(4, dtype=torch.bool))
    assert force_residuals(free, found) == []


def test_forces_are_judged_with_their_noise():
    known = dimers(2)
    one = torch.ones(4, 3, dtype=torch.float64)
    found = Prediction(known.energy, one[:2, 0], one[:2, 0], one, force_variance=one)
    (part,) = force_residuals(known, replace(found, force_noise_variance=2 * one))
    assert part.residuals.variance.tolist() == [3.0] * 12


def test_a_vanishing_variance_is_lifted_and_counted():
    known = dimers(3)
    variance = torch.tensor([1.0, 0.0, 4.0], dtype=torch.float64)
    held = energy_residuals(known, Prediction(known.energy, variance, 0 * variance)).residuals
    assert held.n_floored == 1
    assert held.std[1] == pytest.approx(1e-6 * 500)


def test_shapes_are_those_of_the_structures():
    known = dimers(3)
    wrong = known.energy.unsqueeze(-1)
    with pytest.raises(ShapeError, match=r"`mean` must have shape \[3\]"):
        energy_residuals(known, Prediction(wrong, wrong, wrong))


def test_without_variances_of_forces_their_error_is_known_all_the_same():
    found = evaluate_method("shy", Fake(forces=False), sets())
    assert ("test", FORCES) not in found.set_residuals
    assert found.force_rmse["test"] > 0
    assert found.force_predict_seconds is None


def test_a_species_that_is_not_known_spoils_one_set_alone():
    gold = dimers(12, numbers=(79, 79))
    found = evaluate_method("mine", Fake(), sets(shifted={"gold": gold}))
    assert found.failures == {"gold": "`numbers` must be known, got {79}."}
    assert ("test", ENERGY) in found.set_residuals
    assert ("gold", ENERGY) not in found.set_residuals


def test_a_real_model_says_which_species():
    gold = dimers(12, numbers=(79, 79))
    small = LocalGP(cutoff=4.0, max_inducing=5)
    found = evaluate_method("gp", small, sets(shifted={"gold": gold}))
    assert "got [79]" in found.failures["gold"]
    assert ("test", FORCES) in found.set_residuals


@dataclass(frozen=True)
class Certain:
    """Has no doubt about the forces."""

    def fit(self, structures):
        return self

    def predict(self, structures, *, force_variance=False):
        found = FakeModel(Fake()).predict(structures, force_variance=True)
        return replace(found, force_variance=0 * found.force_variance)


def test_forces_that_cannot_be_judged_do_not_spoil_the_energies():
    found = evaluate_method("certain", Certain(), sets())
    reason = "`variance` must be positive, got 0.0."
    assert found.failures["forces of test"].startswith(reason)
    assert set(found.set_residuals) == {
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
    found = evaluate_method("broken", Broken(), sets())
    assert found.set_residuals == {}
    assert set(found.failures) == {"calibrate", "test", "high energy"}
    found = evaluate_method("refuses", Refuses(), sets())
    assert found.set_residuals == {}
    assert "energy" in found.failures["test"]


def test_written_and_read_back(tmp_path):
    found = evaluate_method("mine", Fake(), sets())
    found.write(tmp_path / "a.npz")
    again = MethodPredictions.read(tmp_path / "a.npz")
    for name in (
        "method",
        "description",
        "failures",
        "fit_seconds",
        "predict_seconds",
        "force_rmse",
    ):
        assert getattr(again, name) == getattr(found, name)
    assert list(again.set_residuals) == list(found.set_residuals)
    for key, part in found.set_residuals.items():
        assert torch.equal(again.set_residuals[key].residuals.error, part.residuals.error)
        assert torch.equal(again.set_residuals[key].residuals.variance, part.residuals.variance)
        assert torch.equal(again.set_residuals[key].structure_index, part.structure_index)
    floored = Residuals(torch.ones(2), torch.ones(2), n_floored=1)
    one = MethodPredictions("m", {}, {("test", ENERGY): SetResiduals(floored, torch.arange(2))})
    one.write(tmp_path / "b.npz")
    assert (
        MethodPredictions.read(tmp_path / "b.npz").set_residuals["test", ENERGY].residuals.n_floored
        == 1
    )


def test_refuses_other_files(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    path.write_text("nothing")
    with pytest.raises(LogError, match="could not read"):
        MethodPredictions.read(path)
    with pytest.raises(LogError, match="could not read"):
        MethodPredictions.read(tmp_path / "none.npz")
    monkeypatch.setattr("bostruct.bench.uncertainty.method_predictions.FORMAT_VERSION", 99)
    evaluate_method("mine", Fake(), sets()).write(path)
    monkeypatch.undo()
    with pytest.raises(LogError, match="written by a newer bostruct"):
        MethodPredictions.read(path)
    np.savez(path, about=np.array(json.dumps({"format": 1, "parts": []})))
    with pytest.raises(LogError, match="has format 1, not 2: it was written by an older bostruct"):
        MethodPredictions.read(path)


class Plain:
    def fit(self, structures):
        raise NotImplementedError


def test_methods_are_told_apart():
    assert describe_method(LocalGP())["type"] == "LocalGP"
    assert describe_method(LocalGP(cutoff=4.0)) != describe_method(LocalGP())
    assert describe_method(Fake(error=0.2)) != describe_method(Fake())
    assert describe_method(Plain()) == describe_method(Plain())
    json.dumps(describe_method(Plain()))
