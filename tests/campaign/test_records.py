import torch
from ase.build import fcc100

from bostruct.campaign import records
from bostruct.spaces import Surface


def test_numbers_are_packed_bit_for_bit():
    X = torch.tensor([0.1, -0.0, 1e-300, torch.pi], dtype=torch.float64)
    found = records.from_bytes(records.to_bytes(X))
    assert torch.equal(found, X)
    assert torch.signbit(found[1])
    assert records.from_bytes(records.to_bytes(X.reshape(2, 2)), 2).shape == (2, 2)
    assert records.from_bytes(None) is None


def test_what_is_unpacked_can_be_written():
    found = records.from_bytes(records.to_bytes(torch.zeros(2)))
    found += 1


def test_keys_differ_where_they_must():
    keys = {
        records.trial_key(*given)
        for given in [
            ("a", 0, b"x", 1),
            ("b", 0, b"x", 1),
            ("a", 1, b"x", 1),
            ("a", 0, b"y", 1),
            ("a", 0, b"x", 2),
        ]
    }
    assert len(keys) == 5
    first, second = (
        records.trial_key("a", 0, b"x", 1),
        records.trial_key("a", 0, b"x", 2),
    )
    assert first.rpartition("-")[0] == second.rpartition("-")[0]


def test_a_checksum_sees_every_column():
    row = {"a": 1.5, "b": b"\0\1", "c": None, "checksum": "x"}
    whole = records.row_checksum(row)
    assert whole == records.row_checksum({**row, "checksum": "y"})
    for change in ({"a": 1.5000000000000002}, {"b": b"\0\2"}, {"c": ""}):
        assert whole != records.row_checksum({**row, **change})
    assert records.row_checksum(row, ("a",)) == records.row_checksum({**row, "a": 2}, ("a",))


def test_values_of_a_log(log):
    trials, steps = log.trials(), log.steps()
    assert [trial.number for trial in trials] == list(range(8))
    assert [trial.step for trial in trials] == [0, 0, 0, 0, 1, 2, 3, 4]
    assert all(trial.is_finished for trial in trials)
    assert trials[0].mean is None
    assert trials[4].predictive_variance > trials[4].latent_variance > 0
    assert trials[0].forces.shape == (3, 3)
    assert [step.kind for step in steps] == ["random", *["model"] * 4]
    assert steps[4].training_trials == tuple(range(7))
    assert steps[0].file == ""


def test_forces_that_an_evaluator_removed_from_fixed_atoms_are_unknown():
    slab = fcc100("Cu", (1, 1, 3), vacuum=7)
    space = Surface(slab, "Au")
    X = space.sample(2, torch.Generator().manual_seed(0))

    def trial(number, forces):
        return records.Trial(number, 0, "", 1, "done", "", X[number], energy=1.0, forces=forces)

    true = torch.arange(12, dtype=torch.float64).reshape(4, 3)
    removed = true.clone()
    removed[:3] = 0
    found = records.training_structures([trial(0, true), trial(1, removed)], space)
    assert torch.equal(found.forces[:4], true)
    assert found.forces[4:7].isnan().all()
    assert torch.equal(found.forces[7], true[3])
