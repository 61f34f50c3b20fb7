import pytest
import torch

from bostruct.campaign.log.reader import Log
from bostruct.campaign.report.html import structure_viewer
from bostruct.campaign.report.html.structure_viewer import structure_values, viewer_structures
from bostruct.errors import InputError
from tests.campaign.crystals import Cells
from tests.campaign.standin import Box


def test_structures_are_those_of_the_trials(log):
    found = viewer_structures(log, [3, 1])
    assert list(found) == [3, 1]
    trial = log.trials()[3]
    assert found[3]["symbols"] == ["Cu"] * 3
    assert found[3]["positions"] == pytest.approx(trial.X.tolist(), abs=6e-4)
    assert "cell" not in found[3]


def test_atoms_of_crystals_are_in_their_cell():
    X = Cells().sample(1, torch.Generator().manual_seed(0))
    X[:, :6] += 40.0
    crystal = Cells().decode(X)
    values = structure_values(crystal)
    P = torch.tensor(values["positions"]).double().reshape(-1, 3)
    fractional = P @ torch.linalg.inv(crystal.cell[0])
    assert ((fractional > -1e-3) & (fractional < 1 + 1e-3)).all()
    shift = (crystal.positions - P) @ torch.linalg.inv(crystal.cell[0])
    torch.testing.assert_close(shift, shift.round(), atol=1e-3, rtol=0)
    assert len(values["cell"]) == 9


def test_the_most_important_ones_are_kept(log, monkeypatch):
    monkeypatch.setattr(structure_viewer, "MAX_ATOMS", 7)
    assert list(viewer_structures(log, [5, 0, 1, 2])) == [5, 0]


class Forgetful(Box):
    """Decodes the structures of one trial alone, as a space whose function is not known."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def decode(self, X):
        if not (self.x == X).all():
            raise InputError("`function` must be known to make structures, got none.")
        return super().decode(X)


def test_what_a_space_cannot_decode_is_left_out(log, folder):
    known = Log(folder, Forgetful(log.trial_records()[2].X))
    assert list(viewer_structures(known, [1, 2, 3])) == [2]


def test_without_a_space_there_are_none(folder):
    assert viewer_structures(Log(folder), [0]) == {}
