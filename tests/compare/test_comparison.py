import csv
import json

import pytest
import torch

from bostruct.compare import comparison, page
from bostruct.compare.comparison import compare
from bostruct.errors import InputError, LogError
from tests.compare.fakes import Fake, dimers

METHODS = {
    "right": Fake(error=0.1, claim=0.1),
    "too sure": Fake(error=0.2, claim=0.05),
    "shy": Fake(forces=False),
}
SIZES = {"train": 20, "calibrate": 60}


@pytest.fixture(scope="module")
def data():
    return dimers(250)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """They take seconds, and have tests of their own."""

    def draw(outcomes, rows, quantity, path):
        path.touch()

    monkeypatch.setattr(page, "draw", draw)


def test_every_method_set_and_quantity_has_a_row():
    hot = {"hot": dimers(40, 1, 2.0)}
    found = compare(dimers(1000), METHODS, train=20, calibrate=300, shifted=hot)
    keys = [(row.quantity, row.place, row.method) for row in found.rows]
    assert keys == [
        (quantity, place, method)
        for quantity in ("energy", "forces")
        for place in ("test", "hot")
        for method in METHODS
    ]
    table = {key: row for key, row in zip(keys, found.rows, strict=True)}
    sure = table["energy", "test", "too sure"].scores
    assert sure.alpha == pytest.approx(4.0, rel=0.1)
    assert sure.z2_before == pytest.approx(16.0, rel=0.2)
    for row in found.rows:
        if row.place == "test" and row.scores:
            assert row.verdict == "honest"
            assert row.scores.conformal_low <= row.scores.conformal
            assert row.scores.conformal <= row.scores.conformal_high
    assert table["forces", "test", "shy"].scores is None
    assert min(row.cost for row in found.rows if row.quantity == "energy") == 1.0


def test_the_same_again_whatever_other_methods_there_are(data):
    one = compare(data, {"right": METHODS["right"]}, **SIZES)
    both = compare(data, METHODS, **SIZES)
    mine = [row.scores for row in both.rows if row.method == "right"]
    assert [row.scores for row in one.rows] == mine
    other = compare(data, {"right": METHODS["right"]}, seed=1, **SIZES)
    assert [row.scores for row in other.rows] != mine


def test_everything_is_on_disk(data, tmp_path):
    out = tmp_path / "new" / "folder"
    found = compare(data, METHODS, out=out, **SIZES)
    names = {path.name for path in out.iterdir()}
    assert names == {
        "comparison.csv",
        "comparison.json",
        "comparison.md",
        "energy.png",
        "forces.png",
        "methods",
    }
    values = json.loads((out / "comparison.json").read_text())
    assert values["about"]["sizes"]["calibrate"] == 60
    assert values["units"]["forces"] == "eV/Å"
    assert values["versions"]["bostruct"]
    assert len(values["rows"]) == len(found.rows) == 12
    with (out / "comparison.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert float(lines[0]["z2"]) == found.rows[0].scores.z2
    assert lines[0]["method"] == "right"
    assert "too sure" in (out / "comparison.md").read_text()


def test_the_same_command_goes_on(data, tmp_path):
    told = []
    first = compare(
        data, {"right": Fake()}, out=tmp_path / "o", tell=told.append, **SIZES
    )
    again = compare(data, METHODS, out=tmp_path / "o", tell=told.append, **SIZES)
    assert told == ["right", "too sure", "shy"]
    assert again.rows[0].scores == first.rows[0].scores
    assert again.rows[0].predict_ms == first.rows[0].predict_ms
    changed = {"right": Fake(error=0.3)}
    compare(data, changed, out=tmp_path / "o", tell=told.append, **SIZES)
    assert told[3:] == ["right"]


def test_what_is_known_survives_an_interruption(data, tmp_path, monkeypatch):
    measure = comparison.measure

    def interrupted(name, method, sets):
        if name == "too sure":
            raise KeyboardInterrupt
        return measure(name, method, sets)

    monkeypatch.setattr(comparison, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(data, METHODS, out=tmp_path / "o", **SIZES)
    monkeypatch.undo()
    told = []
    compare(data, METHODS, out=tmp_path / "o", tell=told.append, **SIZES)
    assert told == ["too sure", "shy"]


def test_notes_say_what_is_to_be_known(data):
    gold = dimers(12, numbers=(79, 79))
    found = compare(data, METHODS, shifted={"gold": gold, "old": data}, **SIZES)
    sizes, same, *refused = found.notes
    assert sizes.startswith("Structures: train 20, calibrate 60, test 170, gold 12")
    assert sizes.endswith("shifted: gold, old, given; seed 0.")
    assert same.startswith("The same as a structure of the training: ")
    assert "of old" in same
    assert len(refused) == 3
    assert refused[0] == "right refused gold: `numbers` must be known, got {79}."
    assert "right refused gold" in found.markdown()


def test_an_infinite_width_is_no_number_in_json(data, tmp_path):
    found = compare(data, {"right": Fake()}, train=20, calibrate=8)
    assert found.rows[0].scores.half_width == float("inf")
    found.write(tmp_path)
    values = json.loads((tmp_path / "comparison.json").read_text())
    assert values["rows"][0]["half_width"] is None


def test_refuses_with_a_sentence(data, tmp_path):
    with pytest.raises(InputError, match="`methods` must be at least one"):
        compare(data, {})
    with pytest.raises(
        InputError, match=r"`methods` must be able to learn .* none: `n"
    ):
        compare(data, {"none": Fake(species=())}, **SIZES)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(LogError, match="not the folder of a comparison and not empty"):
        compare(data, METHODS, out=tmp_path / "full", **SIZES)
    compare(data, {"right": Fake()}, out=tmp_path / "o", **SIZES)
    with pytest.raises(LogError, match=r"other structures \(train 20, .* seed 0\)"):
        compare(data, {"right": Fake()}, out=tmp_path / "o", seed=1, **SIZES)
    with pytest.raises(LogError, match="could not make"):
        compare(data, METHODS, out=tmp_path / "full" / "file" / "o", **SIZES)


def test_gradients_are_left_alone(data):
    assert torch.is_grad_enabled()
    compare(data, {"right": Fake()}, **SIZES)
    assert torch.is_grad_enabled()
